#include "base/fields.h"

#include <algorithm>

#include "base/sha256.h"

namespace ez {
namespace {

const Value::List kNoItems;

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) == 0x7f;
  });
}

}  // namespace

Fields::Fields(const Value& object, std::string where, bool strict)
    : object_(object), where_(std::move(where)), strict_(strict) {
  if (strict_) known_.reserve(16);
  if (!object.is_map())
    fail(Error(Code::RequestInvalid, (where_.empty() ? "the body" : where_) + " must be an object"));
}

std::string Fields::name_of(std::string_view key) const {
  return where_.empty() ? std::string(key) : where_ + "." + std::string(key);
}

void Fields::fail(std::string_view key, std::string_view what) {
  fail(Error(Code::RequestInvalid, name_of(key) + ": " + std::string(what)));
}

void Fields::fail(Error error) {
  if (!error_) error_ = std::move(error);
}

const Value* Fields::find(std::string_view key) {
  if (strict_) known_.push_back(key);
  const Value* value = object_.find(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::string Fields::text(std::string_view key, std::size_t max_bytes) {
  const Value* value = find(key);
  if (value == nullptr) return {};
  if (!value->is_string()) {
    fail(key, "must be a string, not " + std::string(kind_name(value->kind())));
    return {};
  }
  const std::string& text = value->as_string();
  if (text.size() > max_bytes) {
    fail(key, "has " + std::to_string(text.size()) + " bytes; at most " + std::to_string(max_bytes) +
                  " are allowed");
    return {};
  }
  if (text.find('\0') != std::string::npos) fail(key, "must not contain the character U+0000");
  return text;
}

std::string Fields::line(std::string_view key, std::size_t max_bytes) {
  std::string out = text(key, max_bytes);
  if (has_control(out)) fail(key, "must not contain control characters");
  return out;
}

std::string Fields::need_line(std::string_view key, std::size_t max_bytes) {
  std::string out = line(key, max_bytes);
  if (out.empty()) fail(key, "is missing or empty");
  return out;
}

std::string Fields::sha256(std::string_view key) {
  std::string out = text(key, 64);
  if (!out.empty() && !is_sha256_hex(out)) fail(key, "must be a SHA-256 in 64 lower-case hexadecimal digits");
  return out;
}

std::int64_t Fields::number(std::string_view key, std::int64_t fallback, std::int64_t least,
                            std::int64_t most) {
  const Value* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_int() || value->as_int() < least || value->as_int() > most) {
    fail(key, "must be an integer from " + std::to_string(least) + " to " + std::to_string(most));
    return fallback;
  }
  return value->as_int();
}

std::int64_t Fields::need_number(std::string_view key, std::int64_t least, std::int64_t most) {
  const Value* value = object_.find(key);
  if (value == nullptr || value->is_null()) fail(key, "is missing");
  return number(key, least, least, most);
}

bool Fields::flag(std::string_view key, bool fallback) {
  const Value* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_bool()) {
    fail(key, "must be true or false");
    return fallback;
  }
  return value->as_bool();
}

const Value::List& Fields::list(std::string_view key, std::size_t max_items) {
  const Value* value = find(key);
  if (value == nullptr) return kNoItems;
  if (!value->is_list()) {
    fail(key, "must be a list");
    return kNoItems;
  }
  if (value->as_list().size() > max_items) {
    fail(key, "has " + std::to_string(value->as_list().size()) + " elements; at most " +
                  std::to_string(max_items) + " are allowed");
    return kNoItems;
  }
  return value->as_list();
}

Value Fields::map(std::string_view key) {
  const Value* value = find(key);
  if (value != nullptr && value->is_map()) return *value;
  if (value != nullptr) fail(key, "must be an object");
  return Value(Value::Map{});
}

Value Fields::any(std::string_view key) {
  const Value* value = find(key);
  return value == nullptr ? Value() : *value;
}

std::vector<std::string> Fields::lines(std::string_view key, std::size_t max_items, std::size_t max_bytes) {
  std::vector<std::string> out;
  for (const Value& item : list(key, max_items)) {
    if (!item.is_string() || item.as_string().empty() || item.as_string().size() > max_bytes ||
        has_control(item.as_string())) {
      fail(key, "its elements must be texts of 1 to " + std::to_string(max_bytes) +
                    " bytes without control characters");
      return {};
    }
    out.push_back(item.as_string());
  }
  return out;
}

Status Fields::done() {
  if (error_) return *error_;
  if (!strict_) return {};
  for (const auto& [key, value] : object_.as_map()) {
    if (std::find(known_.begin(), known_.end(), key) == known_.end()) {
      fail(std::string_view(key).substr(0, 64), "there is no such field here");
      return *error_;
    }
  }
  return {};
}

}  // namespace ez
