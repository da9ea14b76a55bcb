#include "models/config/reader.h"

#include "orchestration/text.h"

namespace ez::models {

Reader::Reader(const Value& value, std::string where) : value_(value), where_(std::move(where)) {
  if (!value.is_map() && !value.is_null()) fail("", "must be a map");
}

std::string Reader::path(std::string_view key) const {
  if (key.empty()) return where_.empty() ? "the file" : where_;
  return where_.empty() ? std::string(key) : where_ + "." + std::string(key);
}

void Reader::fail(std::string_view key, std::string_view why) {
  if (!error_) error_ = Error(Code::ModelsConfigInvalid, path(key) + ": " + std::string(why));
}

void Reader::fail(const Error& error) {
  if (!error_) error_ = error;
}

const Value* Reader::get(std::string_view key) {
  seen_.emplace(key);
  const Value* found = value_.find(key);
  return found == nullptr || found->is_null() ? nullptr : found;
}

std::optional<std::string> Reader::text(std::string_view key) {
  const Value* found = get(key);
  if (found == nullptr) return std::nullopt;
  if (!found->is_string() || found->as_string().empty() || found->as_string().size() > 4096) {
    fail(key, "must be a text");
    return std::nullopt;
  }
  return found->as_string();
}

std::optional<bool> Reader::flag(std::string_view key) {
  const Value* found = get(key);
  if (found == nullptr) return std::nullopt;
  if (!found->is_bool()) {
    fail(key, "must be true or false");
    return std::nullopt;
  }
  return found->as_bool();
}

std::optional<std::int64_t> Reader::number(std::string_view key, std::int64_t min, std::int64_t max) {
  const Value* found = get(key);
  if (found == nullptr) return std::nullopt;
  if (!found->is_int() || found->as_int() < min || found->as_int() > max) {
    fail(key, "must be a whole number from " + std::to_string(min) + " to " + std::to_string(max));
    return std::nullopt;
  }
  return found->as_int();
}

std::optional<std::int64_t> Reader::duration_ms(std::string_view key) {
  const Value* found = get(key);
  if (found == nullptr) return std::nullopt;
  const auto ms = found->is_string() ? orchestration::parse_duration_ms(found->as_string()) : std::nullopt;
  if (!ms || *ms <= 0 || *ms > 24 * 3'600'000LL) {
    fail(key, "must be a duration of at most a day, for example 30s");
    return std::nullopt;
  }
  return *ms;
}

std::optional<std::vector<std::string>> Reader::texts(std::string_view key, std::size_t max) {
  const Value* found = get(key);
  if (found == nullptr) return std::nullopt;
  if (found->is_string()) return std::vector<std::string>{found->as_string()};
  std::vector<std::string> out;
  if (found->is_list() && found->as_list().size() <= max) {
    for (const Value& item : found->as_list()) {
      if (!item.is_string() || item.as_string().empty()) break;
      out.push_back(item.as_string());
    }
    if (out.size() == found->as_list().size()) return out;
  }
  fail(key, "must be a list of at most " + std::to_string(max) + " texts");
  return std::nullopt;
}

Status Reader::done() {
  if (!error_ && value_.is_map()) {
    for (const auto& [key, value] : value_.as_map()) {
      if (seen_.find(key) == seen_.end()) fail(key, "is no field here");
    }
  }
  return error_ ? Status(*error_) : Status();
}

}  // namespace ez::models
