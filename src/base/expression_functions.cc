#include "base/expression_functions.h"

#include <re2/re2.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <limits>

#include "base/expression_evaluator.h"
#include "base/expression_strings.h"
#include "base/json.h"
#include "base/utf8.h"

namespace ez::expression {
namespace {

constexpr std::size_t kMany = 64;

bool wrong_type(const Call& call) {
  std::string message = call.node.text + "() is not possible with ";
  for (std::size_t i = 0; i < call.arguments.size(); ++i) {
    if (i != 0) message += ", ";
    message += kind_name(call.arguments[i]->kind());
  }
  return call.evaluator.fail(call.node, message);
}

bool size(const Call& call, Value& out) {
  const Value& value = *call.arguments[0];
  std::size_t count = 0;
  if (value.is_string()) {
    if (!call.evaluator.charge_bytes(call.node, value.as_string().size())) return false;
    count = count_code_points(value.as_string());
  } else if (value.is_list()) {
    count = value.as_list().size();
  } else if (value.is_map()) {
    count = value.as_map().size();
  } else {
    return wrong_type(call);
  }
  out = static_cast<std::int64_t>(count);
  return true;
}

bool to_int(const Call& call, Value& out) {
  const Value& value = *call.arguments[0];
  if (value.is_int()) {
    out = value;
    return true;
  }
  if (value.is_double()) {
    const double number = std::trunc(value.as_double());
    // Both ends are excluded, as CEL's conformance tests have it.
    if (!(number > -0x1p63 && number < 0x1p63))
      return call.evaluator.fail(call.node, "the double is no int64");
    out = static_cast<std::int64_t>(number);
    return true;
  }
  if (!value.is_string()) return wrong_type(call);
  const std::string& text = value.as_string();
  if (!call.evaluator.charge_bytes(call.node, text.size())) return false;
  std::int64_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) {
    return call.evaluator.fail(call.node, quoted(text) + " is no int");
  }
  out = number;
  return true;
}

bool to_double(const Call& call, Value& out) {
  const Value& value = *call.arguments[0];
  if (value.is_double()) {
    out = value;
    return true;
  }
  if (value.is_int()) {
    out = static_cast<double>(value.as_int());
    return true;
  }
  if (!value.is_string()) return wrong_type(call);
  const std::string& text = value.as_string();
  if (!call.evaluator.charge_bytes(call.node, text.size())) return false;
  const std::optional<double> number = parse_double(text);
  if (!number) return call.evaluator.fail(call.node, quoted(text) + " is no double");
  out = *number;
  return true;
}

bool to_string(const Call& call, Value& out) {
  const Value& value = *call.arguments[0];
  switch (value.kind()) {
    case Value::Kind::kString:
      out = value;
      return true;
    case Value::Kind::kBool:
      out = value.as_bool() ? "true" : "false";
      return true;
    case Value::Kind::kInt:
      out = std::to_string(value.as_int());
      return true;
    case Value::Kind::kDouble: {
      const double number = value.as_double();
      if (std::isnan(number)) {
        out = "NaN";
      } else if (std::isinf(number)) {
        out = number > 0 ? "+Inf" : "-Inf";
      } else {
        std::string text;
        append_json_double(text, number);
        if (text.ends_with(".0")) text.resize(text.size() - 2);
        out = std::move(text);
      }
      return true;
    }
    default:
      return wrong_type(call);
  }
}

bool to_bool(const Call& call, Value& out) {
  const Value& value = *call.arguments[0];
  if (value.is_bool()) {
    out = value;
    return true;
  }
  if (!value.is_string()) return wrong_type(call);
  for (const char* word : {"true", "TRUE", "True", "t", "1"}) {
    if (value.as_string() == word) {
      out = true;
      return true;
    }
  }
  for (const char* word : {"false", "FALSE", "False", "f", "0"}) {
    if (value.as_string() == word) {
      out = false;
      return true;
    }
  }
  return call.evaluator.fail(call.node, quoted(value.as_string()) + " is no bool");
}

bool type(const Call& call, Value& out) {
  out = type_name(call.arguments[0]->kind());
  return true;
}

bool dyn(const Call& call, Value& out) {
  out = *call.arguments[0];
  return true;
}

// math.least and math.greatest of the CEL extensions: several numbers, or one list of them.
bool extreme(const Call& call, bool greatest, Value& out) {
  std::vector<const Value*> numbers = call.arguments;
  if (numbers.size() == 1 && numbers[0]->is_list()) {
    const Value::List& list = numbers[0]->as_list();
    if (!call.evaluator.charge(call.node, list.size())) return false;
    numbers.clear();
    for (const Value& element : list) numbers.push_back(&element);
  }
  if (numbers.empty()) return call.evaluator.fail(call.node, call.node.text + "() of an empty list");
  const Value* best = nullptr;
  for (const Value* number : numbers) {
    if (!number->is_int() && !number->is_double()) return wrong_type(call);
    if (best == nullptr) {
      best = number;
      continue;
    }
    std::partial_ordering order = std::partial_ordering::unordered;
    if (number->is_int() && best->is_int()) {
      order = number->as_int() <=> best->as_int();
    } else if (number->is_int()) {
      order = compare_numbers(number->as_int(), best->as_double());
    } else if (best->is_int()) {
      order = 0 <=> compare_numbers(best->as_int(), number->as_double());
    } else {
      order = number->as_double() <=> best->as_double();
    }
    if (greatest ? order > 0 : order < 0) best = number;
  }
  out = *best;
  return true;
}

bool least(const Call& call, Value& out) { return extreme(call, false, out); }
bool greatest(const Call& call, Value& out) { return extreme(call, true, out); }

// lists.range of the CEL extensions: [0, 1, … n - 1].
bool range(const Call& call, Value& out) {
  if (!call.arguments[0]->is_int()) return wrong_type(call);
  const std::int64_t count = call.arguments[0]->as_int();
  if (count < 0) return call.evaluator.fail(call.node, "lists.range() of a negative number");
  const auto size = static_cast<std::uint64_t>(count);
  if (!call.evaluator.charge(call.node, size / 8)) return false;  // a number costs far less than a step
  Value::List list;
  list.reserve(size);
  for (std::int64_t i = 0; i < count; ++i) list.emplace_back(i);
  out = Value(std::move(list));
  return true;
}

bool two_strings(const Call& call) {
  if (!call.arguments[0]->is_string() || !call.arguments[1]->is_string()) return wrong_type(call);
  return call.evaluator.charge_bytes(
      call.node, call.arguments[0]->as_string().size() + call.arguments[1]->as_string().size());
}

bool contains(const Call& call, Value& out) {
  if (!two_strings(call)) return false;
  out = contains_text(call.arguments[0]->as_string(), call.arguments[1]->as_string());
  return true;
}

bool starts_with(const Call& call, Value& out) {
  if (!two_strings(call)) return false;
  out = call.arguments[0]->as_string().starts_with(call.arguments[1]->as_string());
  return true;
}

bool ends_with(const Call& call, Value& out) {
  if (!two_strings(call)) return false;
  out = call.arguments[0]->as_string().ends_with(call.arguments[1]->as_string());
  return true;
}

bool matches(const Call& call, Value& out) {
  if (!two_strings(call)) return false;
  const re2::RE2* pattern = call.evaluator.pattern(call.node, call.arguments[1]->as_string());
  if (pattern == nullptr) return false;
  const std::string& text = call.arguments[0]->as_string();
  // A large program makes each byte dearer: RE2 looks at up to all of its instructions for one.
  const auto instructions = static_cast<std::uint64_t>(std::max(pattern->ProgramSize(), 0));
  if (!call.evaluator.charge(call.node, (text.size() + 15) / 16 * (instructions / 64))) return false;
  out = re2::RE2::PartialMatch(text, *pattern);
  return true;
}

template <std::string (*convert)(std::string_view)>
bool converted(const Call& call, Value& out) {
  if (!call.arguments[0]->is_string()) return wrong_type(call);
  const std::string& text = call.arguments[0]->as_string();
  if (!call.evaluator.charge_bytes(call.node, text.size())) return false;
  out = convert(text);
  return true;
}

// The optional last argument of split() and replace(): how often at most; below zero: as often as possible.
bool times(const Call& call, std::size_t at, std::size_t& out) {
  out = std::numeric_limits<std::size_t>::max();
  if (call.arguments.size() <= at) return true;
  if (!call.arguments[at]->is_int()) return wrong_type(call);
  const std::int64_t given = call.arguments[at]->as_int();
  if (given >= 0) out = static_cast<std::size_t>(given);
  return true;
}

bool split(const Call& call, Value& out) {
  std::size_t limit = 0;
  if (!two_strings(call) || !times(call, 2, limit)) return false;
  std::vector<std::string_view> pieces =
      split_text(call.arguments[0]->as_string(), call.arguments[1]->as_string(), limit);
  if (!call.evaluator.check_size(call.node, pieces.size() * sizeof(Value))) return false;
  if (!call.evaluator.charge(call.node, pieces.size())) return false;
  Value::List list;
  list.reserve(pieces.size());
  for (const std::string_view piece : pieces) list.emplace_back(piece);
  out = std::move(list);
  return true;
}

bool join(const Call& call, Value& out) {
  if (!call.arguments[0]->is_list()) return wrong_type(call);
  if (call.arguments.size() > 1 && !call.arguments[1]->is_string()) return wrong_type(call);
  const std::string_view separator =
      call.arguments.size() > 1 ? std::string_view(call.arguments[1]->as_string()) : std::string_view();
  std::string text;
  bool first = true;
  for (const Value& element : call.arguments[0]->as_list()) {
    if (!element.is_string()) {
      return call.evaluator.fail(
          call.node, "join() needs a list of strings, found " + std::string(kind_name(element.kind())));
    }
    const std::size_t more = element.as_string().size() + separator.size();
    if (!call.evaluator.charge(call.node, 1) || !call.evaluator.charge_bytes(call.node, more)) return false;
    if (!call.evaluator.check_size(call.node, text.size() + more)) return false;
    if (!first) text += separator;
    first = false;
    text += element.as_string();
  }
  out = std::move(text);
  return true;
}

bool replace(const Call& call, Value& out) {
  std::size_t limit = 0;
  if (!two_strings(call) || !times(call, 3, limit)) return false;
  if (!call.arguments[2]->is_string()) return wrong_type(call);
  const std::string& text = call.arguments[0]->as_string();
  const std::string& old = call.arguments[1]->as_string();
  const std::string& now = call.arguments[2]->as_string();
  const std::size_t count = count_places(text, old, limit);
  // Below 2^63: a text has at most as many places as bytes, and both texts are far below 2^31 bytes.
  const std::size_t bytes = text.size() - count * old.size() + count * now.size();
  if (!call.evaluator.check_size(call.node, bytes)) return false;
  if (!call.evaluator.charge(call.node, count) || !call.evaluator.charge_bytes(call.node, bytes))
    return false;
  out = replace_text(text, old, now, limit);
  return true;
}

// The names and meanings are those of the CEL specification and its strings, math and lists extensions.
constexpr Function kFunctions[] = {
    {"size", false, 1, 1, size},
    {"size", true, 0, 0, size},
    {"int", false, 1, 1, to_int},
    {"double", false, 1, 1, to_double},
    {"string", false, 1, 1, to_string},
    {"bool", false, 1, 1, to_bool},
    {"type", false, 1, 1, type},
    {"dyn", false, 1, 1, dyn},
    {"lists.range", false, 1, 1, range},
    {"math.least", false, 1, kMany, least},
    {"math.greatest", false, 1, kMany, greatest},
    {"matches", false, 2, 2, matches},
    {"matches", true, 1, 1, matches},
    {"contains", true, 1, 1, contains},
    {"startsWith", true, 1, 1, starts_with},
    {"endsWith", true, 1, 1, ends_with},
    {"lowerAscii", true, 0, 0, converted<lower_ascii>},
    {"upperAscii", true, 0, 0, converted<upper_ascii>},
    {"trim", true, 0, 0, converted<trim_space>},
    {"split", true, 1, 2, split},
    {"join", true, 0, 1, join},
    {"replace", true, 2, 3, replace},
};

constexpr std::string_view kTypeNames[] = {"null_type", "bool", "int", "double", "string", "list", "map"};

}  // namespace

const Function* find_function(std::string_view name, bool method) {
  for (const Function& function : kFunctions) {
    if (function.name == name && function.method == method) return &function;
  }
  return nullptr;
}

std::string argument_count(const Function& function) {
  const std::string most = std::to_string(function.max_arguments);
  if (function.min_arguments != function.max_arguments) {
    return std::to_string(function.min_arguments) + " to " + most + " arguments";
  }
  if (function.max_arguments == 0) return "no arguments";
  return most + (function.max_arguments == 1 ? " argument" : " arguments");
}

std::string_view type_name(Value::Kind kind) { return kTypeNames[static_cast<std::size_t>(kind)]; }

bool is_type_name(std::string_view name) {
  return std::find(std::begin(kTypeNames), std::end(kTypeNames), name) != std::end(kTypeNames);
}

}  // namespace ez::expression
