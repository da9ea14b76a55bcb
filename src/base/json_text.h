// JSON written piece by piece into one string, for answers that are too frequent to build a Value first.
//
//   JsonText json(out);
//   json.begin('{').key("run").text(id).key("tasks").begin('[').number(1).end(']').end('}');
//
// The caller keeps the shape right (keys in objects only, every begin() ended); separators come by
// themselves. Not thread-safe.
#pragma once

#include <charconv>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>

#include "base/json.h"

namespace ez {

class JsonText {
 public:
  // Appends to `out`, which outlives this.
  explicit JsonText(std::string& out) : out_(out) {}

  JsonText& begin(char bracket) {
    separate();
    out_.push_back(bracket);
    first_ = true;
    return *this;
  }
  JsonText& end(char bracket) {
    out_.push_back(bracket);
    first_ = false;
    return *this;
  }
  JsonText& key(std::string_view name) {
    separate();
    append_json_string(out_, name);
    out_.push_back(':');
    first_ = true;
    return *this;
  }
  // A name that stands in the source has nothing to escape.
  template <std::size_t size>
  JsonText& key(const char (&name)[size]) {
    out_.append(first_ ? "\"" : ",\"", first_ ? 1 : 2).append(name, size - 1).append("\":", 2);
    first_ = true;
    return *this;
  }
  JsonText& text(std::string_view value) {
    separate();
    append_json_string(out_, value);
    return *this;
  }
  template <typename Integer>
  JsonText& number(Integer value) {
    separate();
    char digits[24];
    out_.append(digits, std::to_chars(std::begin(digits), std::end(digits), value).ptr);
    return *this;
  }
  JsonText& boolean(bool value) { return raw(value ? "true" : "false"); }
  JsonText& value(const Value& value) {
    separate();
    append_json(out_, value);
    return *this;
  }
  // Text that is JSON already.
  JsonText& raw(std::string_view json) {
    separate();
    out_.append(json);
    return *this;
  }

 private:
  void separate() {
    if (!first_) out_.push_back(',');
    first_ = false;
  }

  std::string& out_;
  bool first_ = true;
};

}  // namespace ez
