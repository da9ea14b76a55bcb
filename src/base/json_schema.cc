#include "base/json_schema.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <compare>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string_view>

#include "base/json.h"
#include "base/utf8.h"

namespace ez {
namespace {

enum class Shape { kSchema, kSchemas, kSchemaMap, kCount, kNumber, kBool, kPattern, kNames, kOther };
struct Keyword {
  std::string_view name;
  Shape shape;
};

// Sorted by name.
constexpr Keyword kKeywords[] = {
    {"$comment", Shape::kOther},
    {"$defs", Shape::kSchemaMap},
    {"$id", Shape::kOther},
    {"$ref", Shape::kOther},
    {"$schema", Shape::kOther},
    {"additionalProperties", Shape::kSchema},
    {"allOf", Shape::kSchemas},
    {"anyOf", Shape::kSchemas},
    {"const", Shape::kOther},
    {"contains", Shape::kSchema},
    {"contentEncoding", Shape::kOther},
    {"contentMediaType", Shape::kOther},
    {"default", Shape::kOther},
    {"definitions", Shape::kSchemaMap},
    {"dependentRequired", Shape::kOther},
    {"deprecated", Shape::kOther},
    {"description", Shape::kOther},
    {"else", Shape::kSchema},
    {"enum", Shape::kOther},
    {"examples", Shape::kOther},
    {"exclusiveMaximum", Shape::kNumber},
    {"exclusiveMinimum", Shape::kNumber},
    {"format", Shape::kOther},
    {"if", Shape::kSchema},
    {"items", Shape::kSchema},
    {"maxContains", Shape::kCount},
    {"maxItems", Shape::kCount},
    {"maxLength", Shape::kCount},
    {"maxProperties", Shape::kCount},
    {"maximum", Shape::kNumber},
    {"minContains", Shape::kCount},
    {"minItems", Shape::kCount},
    {"minLength", Shape::kCount},
    {"minProperties", Shape::kCount},
    {"minimum", Shape::kNumber},
    {"multipleOf", Shape::kNumber},
    {"not", Shape::kSchema},
    {"oneOf", Shape::kSchemas},
    {"pattern", Shape::kPattern},
    {"patternProperties", Shape::kSchemaMap},
    {"prefixItems", Shape::kSchemas},
    {"properties", Shape::kSchemaMap},
    {"propertyNames", Shape::kSchema},
    {"readOnly", Shape::kOther},
    {"required", Shape::kNames},
    {"then", Shape::kSchema},
    {"title", Shape::kOther},
    {"type", Shape::kOther},
    {"uniqueItems", Shape::kBool},
    {"writeOnly", Shape::kOther},
};
constexpr std::array<std::string_view, 7> kTypes{"null",   "boolean", "integer", "number",
                                                 "string", "array",   "object"};

bool is_number(const Value& value) { return value.is_int() || value.is_double(); }

std::partial_ordering compare(const Value& a, const Value& b) {
  if (a.is_int() && b.is_int()) return a.as_int() <=> b.as_int();
  if (a.is_int()) return compare_numbers(a.as_int(), b.as_double());
  if (b.is_int()) return 0 <=> compare_numbers(b.as_int(), a.as_double());
  return a.as_double() <=> b.as_double();
}

bool is_multiple(const Value& value, const Value& of) {
  if (value.is_int() && of.is_int()) return of.as_int() == -1 || value.as_int() % of.as_int() == 0;
  const double number = value.is_int() ? static_cast<double>(value.as_int()) : value.as_double();
  const double step = of.is_int() ? static_cast<double>(of.as_int()) : of.as_double();
  const double quotient = number / step;
  return std::isfinite(quotient) && std::abs(quotient - std::round(quotient)) < 1e-9;
}

bool is_type(const Value& value, std::string_view type) {
  if (type == "integer") {
    return value.is_int() || (value.is_double() && std::isfinite(value.as_double()) &&
                              std::floor(value.as_double()) == value.as_double());
  }
  if (type == "number") return is_number(value);
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_bool();
  if (type == "array") return value.is_list();
  if (type == "object") return value.is_map();
  return value.is_null();
}

std::string pointer_part(std::string_view name) {
  std::string out = "/";
  for (const char c : name) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

// The schema that a `$ref` of this document names; nullptr when there is none.
const Value* resolve(const Value& root, std::string_view reference) {
  if (reference == "#") return &root;
  if (!reference.starts_with("#/")) return nullptr;
  reference.remove_prefix(1);
  const Value* at = &root;
  while (!reference.empty()) {
    reference.remove_prefix(1);
    const std::size_t slash = std::min(reference.find('/'), reference.size());
    std::string part;
    for (std::size_t i = 0; i < slash; ++i) {
      if (reference[i] == '~' && i + 1 < slash) {
        part += reference[++i] == '1' ? '/' : '~';
      } else {
        part += reference[i];
      }
    }
    reference.remove_prefix(slash);
    if (at->is_list()) {
      std::size_t index = 0;
      for (const char c : part) index = index * 10 + static_cast<std::size_t>(c - '0');
      if (part.empty() || part.size() > 6 || part.find_first_not_of("0123456789") != std::string::npos ||
          index >= at->as_list().size())
        return nullptr;
      at = &at->as_list()[index];
    } else {
      at = at->find(part);
      if (at == nullptr) return nullptr;
    }
  }
  return at->is_map() || at->is_bool() ? at : nullptr;
}

RE2::Options quiet() {
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(1 << 20);
  return options;
}

class Compiler {
 public:
  explicit Compiler(const Value& root) : root_(root) {}

  Status schema(const Value& schema, const std::string& at, std::size_t depth) {
    if (schema.is_bool()) return {};
    if (!schema.is_map()) return wrong(at, "a schema is an object or a boolean");
    if (depth > kMaxSchemaDepth || ++nodes_ > kMaxSchemaNodes) return wrong(at, "the schema is too large");
    for (const auto& [name, value] : schema.as_map()) {
      const auto* known = std::lower_bound(std::begin(kKeywords), std::end(kKeywords), name,
                                           [](const Keyword& k, const std::string& n) { return k.name < n; });
      const std::string place = at + pointer_part(name);
      if (known == std::end(kKeywords) || known->name != name)
        return wrong(place, "this keyword is not supported");
      EZ_TRY(keyword(*known, value, place, depth));
    }
    return {};
  }

 private:
  static Error wrong(const std::string& at, std::string_view what) {
    return Error(Code::InvalidArgument, "JSON Schema: " + (at.empty() ? "/" : at) + ": " + std::string(what));
  }

  Status keyword(const Keyword& known, const Value& value, const std::string& at, std::size_t depth) {
    switch (known.shape) {
      case Shape::kSchema:
        return schema(value, at, depth + 1);
      case Shape::kSchemas:
        if (!value.is_list() || (value.as_list().empty() && known.name != "prefixItems"))
          return wrong(at, "must be a list of schemas");
        for (std::size_t i = 0; i < value.as_list().size(); ++i)
          EZ_TRY(schema(value.as_list()[i], at + "/" + std::to_string(i), depth + 1));
        return {};
      case Shape::kSchemaMap:
        if (!value.is_map()) return wrong(at, "must be an object of schemas");
        for (const auto& [name, inner] : value.as_map()) {
          if (known.name == "patternProperties" && !RE2(name, quiet()).ok())
            return wrong(at + pointer_part(name), "the name is not a regular expression (RE2)");
          EZ_TRY(schema(inner, at + pointer_part(name), depth + 1));
        }
        return {};
      case Shape::kCount:
        return value.is_int() && value.as_int() >= 0 ? Status() : wrong(at, "must be a count");
      case Shape::kNumber:
        if (!is_number(value)) return wrong(at, "must be a number");
        if (known.name == "multipleOf" && compare(value, Value(0)) != std::partial_ordering::greater)
          return wrong(at, "must be positive");
        return {};
      case Shape::kBool:
        return value.is_bool() ? Status() : wrong(at, "must be true or false");
      case Shape::kPattern:
        if (!value.is_string() || !RE2(value.as_string(), quiet()).ok())
          return wrong(at, "must be a regular expression (RE2)");
        return {};
      case Shape::kNames:
        return names(value, at);
      case Shape::kOther:
        return other(known.name, value, at, depth);
    }
    return {};
  }

  static Status names(const Value& value, const std::string& at) {
    const bool good = value.is_list() && std::all_of(value.as_list().begin(), value.as_list().end(),
                                                     [](const Value& name) { return name.is_string(); });
    return good ? Status() : wrong(at, "must be a list of names");
  }

  Status other(std::string_view name, const Value& value, const std::string& at, std::size_t depth) {
    if (name == "type") {
      const auto known = [](const Value& type) {
        return type.is_string() && std::find(kTypes.begin(), kTypes.end(), type.as_string()) != kTypes.end();
      };
      const bool good =
          value.is_list()
              ? !value.as_list().empty() && std::all_of(value.as_list().begin(), value.as_list().end(), known)
              : known(value);
      return good ? Status()
                  : wrong(
                        at,
                        "must be null, boolean, integer, number, string, array or object, or a list of them");
    }
    if (name == "enum" && !value.is_list()) return wrong(at, "must be a list");
    if (name == "dependentRequired") {
      if (!value.is_map()) return wrong(at, "must be an object");
      for (const auto& [key, list] : value.as_map()) EZ_TRY(names(list, at + pointer_part(key)));
    }
    if (name != "$ref") return {};
    const Value* target = value.is_string() ? resolve(root_, value.as_string()) : nullptr;
    if (target == nullptr) return wrong(at, "must name a schema of this document: \"#/$defs/…\"");
    // It may stand where nothing else looks at it as a schema.
    return referred_.insert(target).second ? schema(*target, at, depth + 1) : Status();
  }

  const Value& root_;
  std::set<const Value*> referred_;
  std::size_t nodes_ = 0;
};

class Checker {
 public:
  explicit Checker(const Value& root) : root_(root) {}

  std::vector<std::string> run(const Value& value) {
    (void)fits(root_, value, "", 0);
    return std::move(complaints_);
  }

 private:
  bool complain(const std::string& at, std::string_view what) {
    if (silent_ == 0 && complaints_.size() < kMaxSchemaComplaints)
      complaints_.push_back((at.empty() ? "/" : at) + ": " + std::string(what));
    return false;
  }

  // Whether it fits, without a word.
  bool quietly(const Value& schema, const Value& value, std::size_t depth) {
    ++silent_;
    const bool good = fits(schema, value, "", depth);
    --silent_;
    return good;
  }

  bool fits(const Value& schema, const Value& value, const std::string& at, std::size_t depth) {
    if (schema.is_bool()) return schema.as_bool() || complain(at, "is not allowed");
    if (depth > 4 * kMaxSchemaDepth || ++steps_ > kMaxSchemaSteps)
      return complain(at, "is too deep or too large to be checked");
    bool good = true;
    if (const Value* reference = schema.find("$ref"))
      good = fits(*resolve(root_, reference->as_string()), value, at, depth + 1) && good;
    good = kind(schema, value, at) && good;
    good = choices(schema, value, at, depth) && good;
    if (value.is_string()) good = text(schema, value.as_string(), at) && good;
    if (is_number(value)) good = number(schema, value, at) && good;
    if (value.is_list()) good = list(schema, value.as_list(), at, depth) && good;
    if (value.is_map()) good = map(schema, value, at, depth) && good;
    return good;
  }

  bool kind(const Value& schema, const Value& value, const std::string& at) {
    if (const Value* type = schema.find("type")) {
      bool good = false;
      std::string wanted;
      const Value::List one{*type};
      for (const Value& each : type->is_list() ? type->as_list() : one) {
        good = good || is_type(value, each.as_string());
        wanted += (wanted.empty() ? "" : " or ") + each.as_string();
      }
      if (!good) return complain(at, "must be of type " + wanted);
    }
    if (const Value* fixed = schema.find("const"); fixed != nullptr && !(*fixed == value))
      return complain(at, "must be " + to_json(*fixed).substr(0, 200));
    if (const Value* one_of = schema.find("enum")) {
      const Value::List& all = one_of->as_list();
      if (std::find(all.begin(), all.end(), value) == all.end())
        return complain(at, "must be one of " + to_json(*one_of).substr(0, 500));
    }
    return true;
  }

  bool choices(const Value& schema, const Value& value, const std::string& at, std::size_t depth) {
    bool good = true;
    if (const Value* all = schema.find("allOf")) {
      for (const Value& each : all->as_list()) good = fits(each, value, at, depth + 1) && good;
    }
    const auto matching = [&](const Value& list) {
      return std::count_if(list.as_list().begin(), list.as_list().end(),
                           [&](const Value& each) { return quietly(each, value, depth + 1); });
    };
    if (const Value* any = schema.find("anyOf"); any != nullptr && matching(*any) == 0)
      good = complain(at, "fits none of the alternatives");
    if (const Value* one = schema.find("oneOf")) {
      const auto fitting = matching(*one);
      if (fitting != 1)
        good =
            complain(at, fitting == 0 ? "fits none of the alternatives" : "fits more than one alternative");
    }
    if (const Value* never = schema.find("not"); never != nullptr && quietly(*never, value, depth + 1))
      good = complain(at, "fits what is excluded");
    if (const Value* condition = schema.find("if")) {
      const Value* branch = schema.find(quietly(*condition, value, depth + 1) ? "then" : "else");
      if (branch != nullptr) good = fits(*branch, value, at, depth + 1) && good;
    }
    return good;
  }

  bool text(const Value& schema, const std::string& value, const std::string& at) {
    const auto length = static_cast<std::int64_t>(count_code_points(value));
    if (length < schema.int_or("minLength", 0))
      return complain(at, "has fewer than " + std::to_string(schema.int_or("minLength", 0)) + " characters");
    if (length > schema.int_or("maxLength", INT64_MAX))
      return complain(at, "has more than " + std::to_string(schema.int_or("maxLength", 0)) + " characters");
    if (const Value* pattern = schema.find("pattern"); pattern != nullptr && !matches(*pattern, value))
      return complain(at, "does not match " + pattern->as_string());
    return true;
  }

  bool number(const Value& schema, const Value& value, const std::string& at) {
    struct Bound {
      std::string_view name;
      bool below;
      bool inclusive;
      std::string_view words;
    };
    static constexpr Bound kBounds[] = {{"minimum", true, true, "at least "},
                                        {"exclusiveMinimum", true, false, "more than "},
                                        {"maximum", false, true, "at most "},
                                        {"exclusiveMaximum", false, false, "less than "}};
    for (const Bound& bound : kBounds) {
      const Value* limit = schema.find(bound.name);
      if (limit == nullptr) continue;
      const auto order = compare(value, *limit);
      const bool beyond = bound.below ? order > 0 : order < 0;
      if (!beyond && !(bound.inclusive && order == 0))
        return complain(at, "must be " + std::string(bound.words) + to_json(*limit));
    }
    if (const Value* step = schema.find("multipleOf"); step != nullptr && !is_multiple(value, *step))
      return complain(at, "must be a multiple of " + to_json(*step));
    return true;
  }

  bool list(const Value& schema, const Value::List& value, const std::string& at, std::size_t depth) {
    bool good = true;
    const auto size = static_cast<std::int64_t>(value.size());
    if (size < schema.int_or("minItems", 0))
      good = complain(at, "has fewer than " + std::to_string(schema.int_or("minItems", 0)) + " items");
    if (size > schema.int_or("maxItems", INT64_MAX))
      good = complain(at, "has more than " + std::to_string(schema.int_or("maxItems", 0)) + " items");
    const Value* first = schema.find("prefixItems");
    const Value* rest = schema.find("items");
    for (std::size_t i = 0; i < value.size(); ++i) {
      const bool in_prefix = first != nullptr && i < first->as_list().size();
      const Value* each = in_prefix ? &first->as_list()[i] : rest;
      if (each != nullptr) good = fits(*each, value[i], at + "/" + std::to_string(i), depth + 1) && good;
    }
    if (const Value* wanted = schema.find("contains")) {
      const auto found = std::count_if(value.begin(), value.end(),
                                       [&](const Value& item) { return quietly(*wanted, item, depth + 1); });
      if (found < schema.int_or("minContains", 1)) good = complain(at, "lacks an item that must be there");
      if (found > schema.int_or("maxContains", INT64_MAX)) good = complain(at, "has too many of such items");
    }
    if (schema.bool_or("uniqueItems", false)) {
      std::vector<std::string> texts;
      for (const Value& item : value) texts.push_back(to_json(item));
      std::sort(texts.begin(), texts.end());
      if (std::adjacent_find(texts.begin(), texts.end()) != texts.end())
        good = complain(at, "has the same item twice");
    }
    return good;
  }

  bool map(const Value& schema, const Value& value, const std::string& at, std::size_t depth) {
    bool good = true;
    const auto size = static_cast<std::int64_t>(value.as_map().size());
    if (size < schema.int_or("minProperties", 0)) good = complain(at, "has too few members");
    if (size > schema.int_or("maxProperties", INT64_MAX)) good = complain(at, "has too many members");
    const auto need = [&](const Value& names) {
      for (const Value& name : names.as_list()) {
        if (value.find(name.as_string()) == nullptr) good = complain(at, "lacks the member " + to_json(name));
      }
    };
    if (const Value* required = schema.find("required")) need(*required);
    if (const Value* dependent = schema.find("dependentRequired")) {
      for (const auto& [name, names] : dependent->as_map()) {
        if (value.find(name) != nullptr) need(names);
      }
    }
    const Value* known = schema.find("properties");
    const Value* patterns = schema.find("patternProperties");
    const Value* others = schema.find("additionalProperties");
    const Value* naming = schema.find("propertyNames");
    for (const auto& [name, member] : value.as_map()) {
      const std::string place = at + pointer_part(name);
      if (naming != nullptr && !quietly(*naming, Value(name), depth + 1))
        good = complain(place, "the name is not allowed");
      bool is_known = false;
      if (const Value* own = known != nullptr ? known->find(name) : nullptr) {
        is_known = true;
        good = fits(*own, member, place, depth + 1) && good;
      }
      if (patterns != nullptr) {
        for (const auto& [pattern, inner] : patterns->as_map()) {
          if (!matches(Value(pattern), name)) continue;
          is_known = true;
          good = fits(inner, member, place, depth + 1) && good;
        }
      }
      if (is_known || others == nullptr) continue;
      if (others->is_bool() && !others->as_bool()) {
        good = complain(place, "this member is not known");
      } else {
        good = fits(*others, member, place, depth + 1) && good;
      }
    }
    return good;
  }

  bool matches(const Value& pattern, const std::string& text) {
    std::unique_ptr<RE2>& compiled = patterns_[pattern.as_string()];
    if (compiled == nullptr) compiled = std::make_unique<RE2>(pattern.as_string(), quiet());
    return RE2::PartialMatch(text, *compiled);
  }

  const Value& root_;
  std::vector<std::string> complaints_;
  std::map<std::string, std::unique_ptr<RE2>> patterns_;
  std::size_t steps_ = 0;
  std::size_t silent_ = 0;
};

}  // namespace

Result<JsonSchema> JsonSchema::compile(const Value& schema) {
  EZ_TRY(Compiler(schema).schema(schema, "", 0));
  return JsonSchema(schema);
}

std::vector<std::string> JsonSchema::check(const Value& value) const { return Checker(schema_).run(value); }

}  // namespace ez
