#include "telemetry/log_line.h"

#include <charconv>
#include <cmath>

#include "base/clock.h"
#include "base/json.h"
#include "telemetry/text.h"

namespace ez::telemetry {
namespace {

constexpr std::size_t kMaxComponentBytes = 64;
constexpr std::size_t kMaxKeyBytes = 128;
constexpr std::size_t kTailBytes = 32;  // room for the truncated field, the end and the newline

constexpr std::string_view kTimeColor = "\x1b[2m";
constexpr std::string_view kNoColor = "\x1b[0m";

std::string_view level_color(Level level) {
  switch (level) {
    case Level::kDebug:
      return "\x1b[36m";
    case Level::kInfo:
      return "\x1b[32m";
    case Level::kWarning:
      return "\x1b[33m";
    default:
      return "\x1b[31m";
  }
}

// A JSON string literal whose characters a terminal does not act on: also DEL and the C1 controls are
// escaped.
void append_safe_string(std::string& out, std::string_view text) {
  std::string literal;
  append_json_string(literal, text);
  static constexpr char kHex[] = "0123456789abcdef";
  for (std::size_t i = 0; i < literal.size(); ++i) {
    const auto byte = static_cast<unsigned char>(literal[i]);
    const auto next = static_cast<unsigned char>(i + 1 < literal.size() ? literal[i + 1] : 0);
    if (byte == 0x7f) {
      out += "\\u007f";
    } else if (byte == 0xC2 && next >= 0x80 && next <= 0x9F) {
      out += "\\u00";
      out += kHex[next >> 4];
      out += kHex[next & 15];
      ++i;
    } else {
      out += literal[i];
    }
  }
}

// Redacts, then cuts between two characters, and says how much is missing.
std::string cut(const Redactor& redactor, std::string_view text, std::size_t limit) {
  const std::string_view shown = utf8_prefix(text, limit);
  // The redactor sees the whole text, so that a secret that the cut goes through is recognised.
  std::string out = redactor.redact(text, shown.size());
  if (shown.size() < text.size()) out += "[cut " + std::to_string(text.size() - shown.size()) + " bytes]";
  return out;
}

template <typename T>
void append_number(std::string& out, T value) {
  char text[40];
  out.append(text, std::to_chars(text, text + sizeof text, value).ptr);
}

// Whether a text may stand in a line for people without quotes.
bool is_plain(std::string_view text) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= ' ' || c == '"' || c == '=' || c == '\\' ||
        static_cast<unsigned char>(c) >= 0x7f) {
      return false;
    }
  }
  return true;
}

bool is_reserved(std::string_view key) {
  return key == "time" || key == "level" || key == "component" || key == "message" || key == "truncated";
}

class Line {
 public:
  Line(LogFormat format, const LineLimits& limits, const Redactor& redactor)
      : json_(format == LogFormat::kJson),
        color_(format == LogFormat::kColor),
        limits_(limits),
        redactor_(redactor) {}

  void head(std::int64_t now_ms, Level level, std::string_view component, std::string_view message) {
    const std::string name = cut(redactor_, component, kMaxComponentBytes);
    const std::string text = cut(redactor_, message, limits_.max_value_bytes);
    if (json_) {
      out_ = "{\"time\":\"" + format_time(now_ms) + "\",\"level\":\"" + std::string(level_name(level)) +
             "\",\"component\":";
      append_safe_string(out_, name);
      out_ += ",\"message\":";
      append_safe_string(out_, text);
      return;
    }
    std::string upper(level_name(level));
    for (char& c : upper) c = static_cast<char>(c - 'a' + 'A');
    upper.resize(7, ' ');
    out_ = color_ ? std::string(kTimeColor) + format_time(now_ms) + std::string(kNoColor) + " " +
                        std::string(level_color(level)) + upper + std::string(kNoColor) + " "
                  : format_time(now_ms) + " " + upper + " ";
    append_unquoted(name);
    out_ += ": ";
    append_unquoted(text);
  }

  void field(const Field& field) {
    std::string piece(json_ ? "," : " ");
    std::string key = cut(redactor_, field.key, kMaxKeyBytes);
    if (is_reserved(key)) key = "field_" + key;
    if (json_ || !is_plain(key)) {
      append_safe_string(piece, key);
    } else {
      piece += key;
    }
    piece += json_ ? ':' : '=';
    const bool number = !std::holds_alternative<std::string_view>(field.value);
    if (is_secret_name(field.key, number)) {
      append_text(piece, kRedacted);
    } else {
      append_value(piece, field.value);
    }
    if (out_.size() + piece.size() + kTailBytes > limits_.max_line_bytes) {
      truncated_ = true;
    } else {
      out_ += piece;
    }
  }

  std::string take() {
    if (truncated_) out_ += json_ ? ",\"truncated\":true" : " truncated=true";
    out_ += json_ ? "}\n" : "\n";
    return std::move(out_);
  }

 private:
  void append_unquoted(std::string_view text) {
    std::string literal;
    append_safe_string(literal, text);
    out_ += std::string_view(literal).substr(1, literal.size() - 2);
  }
  void append_text(std::string& piece, std::string_view text) const {
    if (json_ || !is_plain(text)) {
      append_safe_string(piece, text);
    } else {
      piece += text;
    }
  }
  void append_value(std::string& piece, const Field::Scalar& value) const {
    if (const auto* text = std::get_if<std::string_view>(&value)) {
      append_text(piece, cut(redactor_, *text, limits_.max_value_bytes));
    } else if (const auto* truth = std::get_if<bool>(&value)) {
      piece += *truth ? "true" : "false";
    } else if (const auto* whole = std::get_if<std::int64_t>(&value)) {
      append_number(piece, *whole);
    } else if (const auto* positive = std::get_if<std::uint64_t>(&value)) {
      append_number(piece, *positive);
    } else if (const double real = std::get<double>(value); std::isfinite(real)) {
      append_number(piece, real);
    } else {
      append_text(piece, std::isnan(real) ? "NaN" : real > 0 ? "Infinity" : "-Infinity");
    }
  }

  const bool json_;
  const bool color_;
  const LineLimits& limits_;
  const Redactor& redactor_;
  std::string out_;
  bool truncated_ = false;
};

}  // namespace

std::string format_line(LogFormat format, const LineLimits& limits, const Redactor& redactor,
                        std::int64_t now_ms, Level level, std::string_view component,
                        std::string_view message, std::span<const Field> fields) {
  Line line(format, limits, redactor);
  line.head(now_ms, level, component, message);
  for (const Field& field : fields) line.field(field);
  return line.take();
}

}  // namespace ez::telemetry
