// A recursive-descent parser straight into Value. Not Boost.JSON's: its doubles are not correctly rounded in
// 1.81, it takes duplicate members, and its errors have no line and column. The tests compare the two over
// damaged texts.
#include "base/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <vector>

#include "base/json_scan.h"
#include "base/utf8.h"

namespace ez {
namespace {

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

class Parser {
 public:
  Parser(std::string_view text, const JsonLimits& limits)
      : begin_(text.data()), at_(begin_), end_(begin_ + text.size()), limits_(limits) {}

  Result<Value> parse() {
    Value value;
    skip_space();
    if (!parse_value(value, 0)) return error();
    skip_space();
    if (at_ != end_) {
      fail("there is text after the document");
      return error();
    }
    return value;
  }

 private:
  struct Member {
    std::string key;
    Value value;
    const char* at;
  };

  // The first failure is the one that is reported; the whole parser then unwinds with false.
  bool fail(std::string message, const char* at) {
    message_ = std::move(message);
    failed_at_ = at;
    return false;
  }
  bool fail(std::string message) { return fail(std::move(message), at_); }

  bool fail_unexpected(std::string_view expected) {
    std::string message = "expected ";
    message += expected;
    if (at_ == end_) return fail(message + ", but the text ends");
    const std::string_view rest(at_, static_cast<std::size_t>(end_ - at_));
    if (at_ == begin_ && rest.starts_with("\xEF\xBB\xBF")) return fail(message + ", found a byte order mark");
    const auto byte = static_cast<unsigned char>(*at_);
    if (byte > 0x20 && utf8_sequence_length(rest) != 0) {
      return fail(message + ", found '" + std::string(rest.substr(0, utf8_sequence_length(rest))) + "'");
    }
    constexpr char kHex[] = "0123456789ABCDEF";
    return fail(message + ", found the byte 0x" + kHex[byte >> 4] + kHex[byte & 15]);
  }

  Error error() const {
    if (too_large_) return Error(Code::PayloadTooLarge, message_);
    const std::string_view before(begin_, static_cast<std::size_t>(failed_at_ - begin_));
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
    const std::size_t column = count_code_points(before.substr(line_start)) + 1;
    return Error(Code::JsonInvalid,
                 "line " + std::to_string(line) + ", column " + std::to_string(column) + ": " + message_);
  }

  void skip_space() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
  }

  bool count_value() {
    if (++values_seen_ <= limits_.max_values) return true;
    too_large_ = true;
    return fail("the JSON text holds more than " + std::to_string(limits_.max_values) + " values");
  }

  bool parse_value(Value& out, std::size_t depth) {
    if (!count_value()) return false;
    if (at_ == end_) return fail_unexpected("a value");
    switch (*at_) {
      case '{':
        return parse_object(out, depth + 1);
      case '[':
        return parse_array(out, depth + 1);
      case '"': {
        std::string text;
        if (!parse_string(text)) return false;
        out = Value(std::move(text));
        return true;
      }
      case 't':
        return parse_word("true", Value(true), out);
      case 'f':
        return parse_word("false", Value(false), out);
      case 'n':
        return parse_word("null", Value(), out);
      default:
        if (*at_ == '-' || is_digit(*at_)) return parse_number(out);
        return fail_unexpected("a value");
    }
  }

  bool parse_word(std::string_view word, Value value, Value& out) {
    if (!std::string_view(at_, static_cast<std::size_t>(end_ - at_)).starts_with(word)) {
      return fail_unexpected("a value");
    }
    at_ += word.size();
    out = std::move(value);
    return true;
  }

  bool check_depth(std::size_t depth) {
    if (depth <= limits_.max_depth) return true;
    return fail("nested deeper than " + std::to_string(limits_.max_depth) + " levels");
  }

  bool parse_array(Value& out, std::size_t depth) {
    if (!check_depth(depth)) return false;
    ++at_;
    skip_space();
    // Elements gather on one stack for all arrays, so that each array is allocated once and in its exact
    // size.
    const std::size_t mark = elements_.size();
    if (at_ != end_ && *at_ == ']') {
      ++at_;
      out = Value(Value::List());
      return true;
    }
    while (true) {
      Value element;
      if (!parse_value(element, depth)) return false;
      elements_.push_back(std::move(element));
      skip_space();
      if (at_ != end_ && *at_ == ',') {
        ++at_;
        skip_space();
      } else if (at_ != end_ && *at_ == ']') {
        ++at_;
        break;
      } else {
        return fail_unexpected("',' or ']'");
      }
    }
    const auto first = elements_.begin() + static_cast<std::ptrdiff_t>(mark);
    out = Value(Value::List(std::make_move_iterator(first), std::make_move_iterator(elements_.end())));
    elements_.erase(first, elements_.end());
    return true;
  }

  bool parse_object(Value& out, std::size_t depth) {
    if (!check_depth(depth)) return false;
    ++at_;
    skip_space();
    const std::size_t mark = members_.size();
    if (at_ != end_ && *at_ == '}') {
      ++at_;
      out = Value(Value::Map());
      return true;
    }
    while (true) {
      if (at_ == end_ || *at_ != '"') return fail_unexpected("a member name in double quotes");
      Member member{{}, {}, at_};
      if (!parse_string(member.key)) return false;
      skip_space();
      if (at_ == end_ || *at_ != ':') return fail_unexpected("':'");
      ++at_;
      skip_space();
      if (!parse_value(member.value, depth)) return false;
      members_.push_back(std::move(member));
      skip_space();
      if (at_ != end_ && *at_ == ',') {
        ++at_;
        skip_space();
      } else if (at_ != end_ && *at_ == '}') {
        ++at_;
        break;
      } else {
        return fail_unexpected("',' or '}'");
      }
    }
    return finish_object(out, mark);
  }

  // Sorts small records instead of the members themselves: the first eight bytes of the key as a number
  // decide almost every comparison.
  struct Place {
    std::uint64_t prefix;
    std::uint32_t index;
  };

  static std::uint64_t prefix_of(std::string_view key) {
    std::uint64_t prefix = 0;
    for (std::size_t i = 0; i < 8; ++i) {
      prefix = (prefix << 8) | (i < key.size() ? static_cast<unsigned char>(key[i]) : 0U);
    }
    return prefix;
  }

  bool finish_object(Value& out, std::size_t mark) {
    const Member* first = members_.data() + mark;
    const std::size_t count = members_.size() - mark;
    places_.clear();
    for (std::size_t i = 0; i < count; ++i) {
      places_.push_back({prefix_of(first[i].key), static_cast<std::uint32_t>(i)});
    }
    std::sort(places_.begin(), places_.end(), [first](const Place& a, const Place& b) {
      if (a.prefix != b.prefix) return a.prefix < b.prefix;
      const int order = first[a.index].key.compare(first[b.index].key);
      return order != 0 ? order < 0 : a.index < b.index;
    });
    for (std::size_t i = 1; i < count; ++i) {
      if (places_[i - 1].prefix != places_[i].prefix) continue;
      const Member& member = first[places_[i].index];
      if (first[places_[i - 1].index].key != member.key) continue;
      std::string message = "the member ";
      append_json_string(message, std::string_view(member.key).substr(0, 100));
      return fail(message + " is there twice", member.at);
    }
    Value::Map map;
    map.reserve(count);
    for (const Place& place : places_) {
      Member& member = members_[mark + place.index];
      map.emplace_back(std::move(member.key), std::move(member.value));
    }
    members_.erase(members_.begin() + static_cast<std::ptrdiff_t>(mark), members_.end());
    out = Value(std::move(map));
    return true;
  }

  bool parse_string(std::string& out) {
    const char* opening = at_++;
    const char* run = at_;
    while (true) {
      at_ = json::skip_plain(at_, end_);
      if (at_ == end_) return fail("this string has no end", opening);
      const auto byte = static_cast<unsigned char>(*at_);
      if (byte == '"') {
        out.append(run, at_);
        ++at_;
        return true;
      }
      if (byte == '\\') {
        out.append(run, at_);
        if (!parse_escape(out)) return false;
        run = at_;
      } else if (byte < 0x20) {
        return fail("a control character in a string has to be escaped");
      } else {
        const std::size_t length = utf8_sequence_length({at_, static_cast<std::size_t>(end_ - at_)});
        if (length == 0) return fail("the text is not UTF-8");
        at_ += length;
      }
    }
  }

  bool parse_escape(std::string& out) {
    const char* start = at_++;
    if (at_ == end_) return fail("this escape sequence has no end", start);
    switch (*at_++) {
      case '"':
        out.push_back('"');
        return true;
      case '\\':
        out.push_back('\\');
        return true;
      case '/':
        out.push_back('/');
        return true;
      case 'b':
        out.push_back('\b');
        return true;
      case 'f':
        out.push_back('\f');
        return true;
      case 'n':
        out.push_back('\n');
        return true;
      case 'r':
        out.push_back('\r');
        return true;
      case 't':
        out.push_back('\t');
        return true;
      case 'u':
        break;
      default:
        return fail("JSON has no such escape sequence", start);
    }
    std::uint32_t code_point = 0;
    if (!parse_hex4(code_point)) return fail("\\u needs four hexadecimal digits", start);
    if (is_surrogate(code_point)) {
      std::uint32_t low = 0;
      const bool pair = code_point < 0xDC00 && end_ - at_ >= 6 && at_[0] == '\\' && at_[1] == 'u';
      if (pair) at_ += 2;
      if (!pair || !parse_hex4(low) || low < 0xDC00 || low > 0xDFFF) {
        return fail("half of a surrogate pair alone is no character", start);
      }
      code_point = 0x10000 + ((code_point - 0xD800) << 10) + (low - 0xDC00);
    }
    append_utf8(out, code_point);
    return true;
  }

  bool parse_hex4(std::uint32_t& out) {
    if (end_ - at_ < 4) return false;
    const auto [stop, status] = std::from_chars(at_, at_ + 4, out, 16);
    if (status != std::errc() || stop != at_ + 4) return false;
    at_ += 4;
    return true;
  }

  bool take_digits() {
    const char* start = at_;
    while (at_ != end_ && is_digit(*at_)) ++at_;
    return at_ != start;
  }

  bool parse_number(Value& out) {
    const char* start = at_;
    if (*at_ == '-') ++at_;
    const char* whole = at_;
    if (!take_digits()) return fail_unexpected("a digit");
    if (*whole == '0' && at_ - whole > 1) return fail("a number has no leading zeros", start);
    bool integer = true;
    if (at_ != end_ && *at_ == '.') {
      integer = false;
      ++at_;
      if (!take_digits()) return fail_unexpected("a digit");
    }
    if (at_ != end_ && (*at_ == 'e' || *at_ == 'E')) {
      integer = false;
      ++at_;
      if (at_ != end_ && (*at_ == '+' || *at_ == '-')) ++at_;
      if (!take_digits()) return fail_unexpected("a digit");
    }
    if (integer) {
      std::int64_t number = 0;
      if (std::from_chars(start, at_, number).ec == std::errc()) {
        out = Value(number);
        return true;
      }
    }
    const std::optional<double> number = parse_double({start, static_cast<std::size_t>(at_ - start)});
    if (!number) return fail("this number is out of range", start);
    out = Value(*number);
    return true;
  }

  const char* begin_;
  const char* at_;
  const char* end_;
  const JsonLimits& limits_;
  std::size_t values_seen_ = 0;
  std::vector<Value> elements_;
  std::vector<Member> members_;
  std::vector<Place> places_;
  std::string message_;
  const char* failed_at_ = nullptr;
  bool too_large_ = false;
};

}  // namespace

std::optional<double> parse_double(std::string_view text) {
  double number = 0;
  const auto [stop, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (stop != text.data() + text.size() || text.empty()) return std::nullopt;
  if (status == std::errc()) return std::isfinite(number) ? std::optional(number) : std::nullopt;
  if (status != std::errc::result_out_of_range) return std::nullopt;
  // from_chars says "out of range" for too small as well as for too large. Too small is a zero; which of the
  // two it is, the decimal exponent of the first digit that counts tells.
  const bool negative = text.front() == '-';
  if (negative) text.remove_prefix(1);
  const std::size_t e = std::min(text.find_first_of("eE"), text.size());
  std::int64_t exponent = 0;
  if (e < text.size()) {
    std::string_view digits = text.substr(e + 1);
    if (digits.starts_with('+')) digits.remove_prefix(1);
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), exponent);
    // An exponent beyond int64 outweighs any number of digits that fits in memory.
    if (parsed.ec != std::errc()) exponent = digits.starts_with('-') ? -(1LL << 62) : (1LL << 62);
  }
  const std::string_view mantissa = text.substr(0, e);
  const auto point = static_cast<std::int64_t>(std::min(mantissa.find('.'), mantissa.size()));
  const auto first = static_cast<std::int64_t>(std::min(mantissa.find_first_not_of("0."), mantissa.size()));
  if (exponent > first - point) return std::nullopt;
  return negative ? -0.0 : 0.0;
}

Result<Value> parse_json(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return Error(Code::PayloadTooLarge, "the JSON text has " + std::to_string(text.size()) +
                                            " bytes, at most " + std::to_string(limits.max_bytes) +
                                            " are allowed");
  }
  return Parser(text, limits).parse();
}

}  // namespace ez
