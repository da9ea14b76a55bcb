#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/json.h"
#include "orchestration/decoder.h"
#include "orchestration/parse.h"

namespace ez::orchestration {
namespace {

constexpr std::size_t kMaxInputBytes = 1024 * 1024;

std::string_view example_of(InputType type) {
  switch (type) {
    case InputType::kString:
      return "Give a text; in JSON and YAML put numbers in quotes.";
    case InputType::kInt:
      return "Give a whole number, for example 5.";
    case InputType::kNumber:
      return "Give a number, for example 2.5.";
    case InputType::kBool:
      return "Give true or false.";
    case InputType::kList:
      return "Give a list, for example [\"a\", \"b\"].";
    case InputType::kMap:
      return "Give a map, for example {\"a\": 1}.";
    case InputType::kGit:
      return "Give the path of a git repository.";
  }
  return {};
}

std::optional<Value> convert_int(const Value& value) {
  if (value.is_int()) return value;
  if (value.is_double()) {
    const double number = value.as_double();
    if (std::trunc(number) != number || std::abs(number) >= 9'007'199'254'740'992.0) return std::nullopt;
    return Value(static_cast<std::int64_t>(number));
  }
  if (!value.is_string()) return std::nullopt;
  const std::string& text = value.as_string();
  std::int64_t number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return Value(number);
}

std::optional<Value> convert_number(const Value& value) {
  if (value.is_int()) return value;
  if (value.is_double()) return std::isfinite(value.as_double()) ? std::optional(value) : std::nullopt;
  if (!value.is_string()) return std::nullopt;
  // The numbers of JSON: neither "inf" nor "0x10".
  const Result<Value> parsed = parse_json(value.as_string());
  if (!parsed.ok() || !(parsed->is_int() || parsed->is_double())) return std::nullopt;
  return *parsed;
}

std::optional<Value> convert_bool(const Value& value) {
  if (value.is_bool()) return value;
  if (!value.is_string()) return std::nullopt;
  if (value.as_string() == "true") return Value(true);
  if (value.as_string() == "false") return Value(false);
  return std::nullopt;
}

std::optional<Value> convert_collection(const Value& value, Value::Kind kind) {
  if (value.kind() == kind) return value;
  if (!value.is_string()) return std::nullopt;
  const Result<Value> parsed = parse_json(value.as_string());
  if (!parsed.ok() || parsed->kind() != kind) return std::nullopt;
  return *parsed;
}

std::optional<Value> convert(InputType type, const Value& value) {
  switch (type) {
    case InputType::kString:
      return value.is_string() ? std::optional(value) : std::nullopt;
    case InputType::kGit:
      return value.is_string() && !value.as_string().empty() ? std::optional(value) : std::nullopt;
    case InputType::kInt:
      return convert_int(value);
    case InputType::kNumber:
      return convert_number(value);
    case InputType::kBool:
      return convert_bool(value);
    case InputType::kList:
      return convert_collection(value, Value::Kind::kList);
    case InputType::kMap:
      return convert_collection(value, Value::Kind::kMap);
  }
  return std::nullopt;
}

}  // namespace

Result<Value> convert_input(std::string_view name, InputType type, const Value& value) {
  if (auto converted = convert(type, value)) return std::move(*converted);
  std::string message =
      "the input " + quoted(name) + " must be of the type " + std::string(to_text(type)) + ", not ";
  if (value.is_string()) {
    message += quoted(value.as_string());
  } else {
    message += "a value of the type " + std::string(kind_name(value.kind()));
  }
  return Error(Code::InputInvalid, std::move(message), std::string(example_of(type)));
}

Result<Value> bind_inputs(const Workflow& workflow, const Value& given) {
  if (!given.is_map() && !given.is_null()) {
    return Error(Code::InputInvalid, "the inputs must be a map of names and values");
  }
  if (given.is_map()) {
    for (const auto& [name, value] : given.as_map()) {
      const auto is_it = [&name = name](const Input& input) { return input.name == name; };
      if (std::any_of(workflow.inputs.begin(), workflow.inputs.end(), is_it)) continue;
      std::vector<std::string_view> names;
      for (const Input& input : workflow.inputs) names.push_back(input.name);
      return Error(Code::InputInvalid, "the workflow " + quoted(workflow.name) + " has no input " +
                                           quoted(name) + did_you_mean(name, names));
    }
  }
  Value::Map bound;
  for (const Input& input : workflow.inputs) {
    const Value* value = given.find(input.name);
    if (value == nullptr || value->is_null()) {
      if (!input.fallback) {
        return Error(Code::InputInvalid, "the input " + quoted(input.name) + " is missing",
                     std::string(example_of(input.type)));
      }
      bound.emplace_back(input.name, *input.fallback);
      continue;
    }
    EZ_ASSIGN(Value converted, convert_input(input.name, input.type, *value));
    bound.emplace_back(input.name, std::move(converted));
  }
  Value out(std::move(bound));
  if (const std::size_t bytes = to_json(out).size(); bytes > kMaxInputBytes) {
    return Error(Code::InputInvalid,
                 "the inputs have " + std::to_string(bytes) + " bytes; " + std::to_string(kMaxInputBytes) +
                     " are allowed",
                 "Put large data into a file or the repository.");
  }
  return out;
}

}  // namespace ez::orchestration
