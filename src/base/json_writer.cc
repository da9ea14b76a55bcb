// Values, doubles and strings as JSON.
#include <charconv>
#include <cmath>
#include <iterator>

#include "base/json.h"
#include "base/json_scan.h"
#include "base/utf8.h"

namespace ez {
namespace {

void append_number(std::string& out, std::int64_t number) {
  char buffer[24];
  const auto [end, status] = std::to_chars(std::begin(buffer), std::end(buffer), number);
  out.append(buffer, end);
}

// One writer for both forms; `indent` below zero is the compact one.
void append_value(std::string& out, const Value& value, int indent) {
  const auto new_line = [&](int levels) {
    if (indent < 0) return;
    out.push_back('\n');
    out.append(static_cast<std::size_t>(levels) * 2, ' ');
  };
  const int inner = indent < 0 ? indent : indent + 1;
  switch (value.kind()) {
    case Value::Kind::kNull:
      out += "null";
      return;
    case Value::Kind::kBool:
      out += value.as_bool() ? "true" : "false";
      return;
    case Value::Kind::kInt:
      append_number(out, value.as_int());
      return;
    case Value::Kind::kDouble:
      append_json_double(out, value.as_double());
      return;
    case Value::Kind::kString:
      append_json_string(out, value.as_string());
      return;
    case Value::Kind::kList: {
      const Value::List& list = value.as_list();
      out.push_back('[');
      for (std::size_t i = 0; i < list.size(); ++i) {
        if (i != 0) out.push_back(',');
        new_line(inner);
        append_value(out, list[i], inner);
      }
      if (!list.empty()) new_line(indent);
      out.push_back(']');
      return;
    }
    case Value::Kind::kMap: {
      const Value::Map& map = value.as_map();
      out.push_back('{');
      for (std::size_t i = 0; i < map.size(); ++i) {
        if (i != 0) out.push_back(',');
        new_line(inner);
        append_json_string(out, map[i].first);
        out += indent < 0 ? ":" : ": ";
        append_value(out, map[i].second, inner);
      }
      if (!map.empty()) new_line(indent);
      out.push_back('}');
      return;
    }
  }
}

}  // namespace

void append_json_double(std::string& out, double number) {
  if (!std::isfinite(number)) {
    out += "null";
    return;
  }
  char buffer[40];
  // Whole numbers up to 1e15 in the plain form that people expect, all others in the shortest one.
  const bool plain = std::fabs(number) < 1e15 && std::trunc(number) == number;
  const auto [end, status] =
      plain ? std::to_chars(std::begin(buffer), std::end(buffer), number, std::chars_format::fixed)
            : std::to_chars(std::begin(buffer), std::end(buffer), number);
  const std::string_view text(buffer, static_cast<std::size_t>(end - buffer));
  out += text;
  if (text.find_first_of(".e") == std::string_view::npos) out += ".0";
}

void append_json_string(std::string& out, std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  out.push_back('"');
  const char* at = text.data();
  const char* end = at + text.size();
  while (true) {
    const char* run = at;
    at = json::skip_plain(at, end);
    if (at != run) out.append(run, static_cast<std::size_t>(at - run));
    if (at == end) break;
    const auto byte = static_cast<unsigned char>(*at);
    if (byte >= 0x80) {
      std::string_view rest(at, static_cast<std::size_t>(end - at));
      append_utf8(out, take_code_point(rest));
      at = rest.data();
      continue;
    }
    ++at;
    switch (byte) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        out += "\\u00";
        out.push_back(kHex[byte >> 4]);
        out.push_back(kHex[byte & 15]);
    }
  }
  out.push_back('"');
}

void append_json(std::string& out, const Value& value) { append_value(out, value, -1); }

std::string to_json(const Value& value) {
  std::string out;
  append_json(out, value);
  return out;
}

std::string to_pretty_json(const Value& value) {
  std::string out;
  append_value(out, value, 0);
  return out;
}

}  // namespace ez
