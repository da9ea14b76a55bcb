#include "models/dialect/fields.h"

#include <algorithm>
#include <cmath>

namespace ez::models {

namespace {
constexpr std::int64_t kMaxCount = 1'000'000'000'000;  // tokens of one call: anything above is no figure
}

std::string Path::text() const {
  if (parent == nullptr) return std::string(key);
  std::string out = parent->text();
  if (is_index) return out + "[" + std::to_string(index) + "]";
  if (!out.empty()) out += '.';
  return out + std::string(key);
}

void ReadContext::fail(const Path& path, std::string_view what) {
  if (error.has_value()) return;
  std::string message = path.text();
  if (!message.empty()) message += ": ";
  error.emplace(code, message + std::string(what));
}

Fields::Fields(ReadContext& context, const Value& value, const Path& path)
    : context_(context), value_(value), path_(path) {
  if (!value.is_map()) context.fail(path, "an object is wanted");
}

const Value* Fields::take(std::string_view key) {
  if (context_.failed()) return nullptr;
  taken_.push_back(key);
  const Value* found = value_.find(key);
  return found == nullptr || found->is_null() ? nullptr : found;
}

const Value* Fields::any(std::string_view key) { return take(key); }

const Value* Fields::typed(std::string_view key, Value::Kind kind, std::string_view what) {
  const Value* found = take(key);
  if (found == nullptr || found->kind() == kind) return found;
  context_.fail(path_.at(key), what);
  return nullptr;
}

std::string Fields::text(std::string_view key) {
  const Value* found = typed(key, Value::Kind::kString, "a string is wanted");
  return found == nullptr ? std::string() : found->as_string();
}

std::string Fields::need_text(std::string_view key) {
  std::string found = text(key);
  if (found.empty()) context_.fail(path_.at(key), "a string that is not empty is wanted");
  return found;
}

std::optional<std::int64_t> Fields::integer(std::string_view key, std::int64_t min, std::int64_t max) {
  const Value* found = take(key);
  if (found == nullptr) return std::nullopt;
  std::optional<std::int64_t> number;
  if (found->is_int()) {
    number = found->as_int();
  } else if (found->is_double() && std::nearbyint(found->as_double()) == found->as_double() &&
             std::abs(found->as_double()) < 9e15) {
    number = static_cast<std::int64_t>(found->as_double());
  }
  if (number.has_value() && *number >= min && *number <= max) return number;
  context_.fail(path_.at(key),
                "a whole number from " + std::to_string(min) + " to " + std::to_string(max) + " is wanted");
  return std::nullopt;
}

std::optional<double> Fields::number(std::string_view key) {
  const Value* found = take(key);
  if (found == nullptr) return std::nullopt;
  if (found->is_double()) return found->as_double();
  if (found->is_int()) return static_cast<double>(found->as_int());
  context_.fail(path_.at(key), "a number is wanted");
  return std::nullopt;
}

std::optional<bool> Fields::boolean(std::string_view key) {
  const Value* found = typed(key, Value::Kind::kBool, "true or false is wanted");
  if (found == nullptr) return std::nullopt;
  return found->as_bool();
}

const Value* Fields::list(std::string_view key) { return typed(key, Value::Kind::kList, "a list is wanted"); }

const Value* Fields::map(std::string_view key) {
  return typed(key, Value::Kind::kMap, "an object is wanted");
}

const Value* Fields::need_list(std::string_view key) {
  const Value* found = list(key);
  if (found == nullptr) context_.fail(path_.at(key), "a list is wanted");
  return found;
}

Value Fields::rest() const {
  Value left;
  if (!value_.is_map()) return left;
  for (const auto& [key, member] : value_.as_map()) {
    if (std::find(taken_.begin(), taken_.end(), key) == taken_.end()) left.set(key, member);
  }
  return left;
}

void add_extras(Value& to, const Value& extras) {
  if (!extras.is_map()) return;
  for (const auto& [key, member] : extras.as_map()) {
    if (to.find(key) == nullptr) to.set(key, member);
  }
}

std::optional<std::int64_t> count_of(const Value* value) {
  if (value == nullptr) return std::nullopt;
  if (value->is_int()) {
    const std::int64_t count = value->as_int();
    if (count < 0 || count > kMaxCount) return std::nullopt;
    return count;
  }
  if (!value->is_double()) return std::nullopt;
  const double number = value->as_double();
  if (!(number >= 0) || number > static_cast<double>(kMaxCount) || std::nearbyint(number) != number) {
    return std::nullopt;
  }
  return static_cast<std::int64_t>(number);
}

}  // namespace ez::models
