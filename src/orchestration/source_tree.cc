#include "orchestration/source_tree.h"

#include <charconv>
#include <cmath>

#include "base/check.h"
#include "base/utf8.h"
#include "orchestration/tree_builder.h"

namespace ez::orchestration {
namespace {

// Byte offset of the first byte that is not UTF-8, or npos.
std::size_t find_invalid_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    if (static_cast<unsigned char>(text[i]) < 0x80) {
      ++i;
      continue;
    }
    const std::size_t length = utf8_sequence_length(text.substr(i, 4));
    if (length == 0) return i;
    i += length;
  }
  return std::string_view::npos;
}

// The length of the line break that `text` starts with; 0: none. YAML 1.1 also breaks at U+0085, U+2028 and
// U+2029.
std::size_t break_length(std::string_view text, bool is_yaml) {
  if (text.starts_with("\r\n")) return 2;
  if (text.starts_with('\n') || text.starts_with('\r')) return 1;
  if (!is_yaml || static_cast<unsigned char>(text[0]) < 0x80) return 0;
  if (text.starts_with("\xC2\x85")) return 2;
  if (text.starts_with("\xE2\x80\xA8") || text.starts_with("\xE2\x80\xA9")) return 3;
  return 0;
}

// JSON starts with `{` and a quoted key or nothing; anything else is read as YAML (whose flow style looks
// alike).
bool looks_like_json(std::string_view text) {
  const std::size_t open = text.find_first_not_of(" \t\r\n");
  if (open == std::string_view::npos || text[open] != '{') return false;
  const std::size_t next = text.find_first_not_of(" \t\r\n", open + 1);
  return next == std::string_view::npos || text[next] == '"' || text[next] == '}';
}

}  // namespace

std::unique_ptr<const SourceTree> SourceTree::parse(std::string_view source, SourceError& error,
                                                    const SourceLimits& limits) {
  if (source.size() > limits.max_bytes) {
    error = SourceError{{},
                        "the file has " + std::to_string(source.size()) + " bytes; " +
                            std::to_string(limits.max_bytes) + " are allowed",
                        "Split the workflow or move long texts into files.",
                        true};
    return nullptr;
  }
  auto tree = std::unique_ptr<SourceTree>(new SourceTree());
  if (source.starts_with("\xEF\xBB\xBF")) source.remove_prefix(3);
  tree->source_ = source;
  const bool is_json = looks_like_json(source);
  tree->line_starts_.push_back(0);
  for (std::size_t i = 0; i < source.size();) {
    const std::size_t length = break_length(source.substr(i), !is_json);
    i += length == 0 ? 1 : length;
    if (length != 0) tree->line_starts_.push_back(static_cast<std::uint32_t>(i));
  }
  if (const std::size_t bad = find_invalid_utf8(source); bad != std::string_view::npos) {
    std::size_t line = tree->line_starts_.size();
    while (tree->line_starts_[line - 1] > bad) --line;
    const std::size_t start = tree->line_starts_[line - 1];
    error = SourceError{
        {static_cast<int>(line), static_cast<int>(count_code_points(source.substr(start, bad - start))) + 1},
        "a byte that is not UTF-8",
        "Save the file as UTF-8.",
        false};
    return nullptr;
  }
  TreeBuilder builder(*tree, limits);
  if (is_json) {
    if (!build_from_json(source, builder)) {
      // YAML's flow style may also start like that: `{"name": x}`. The JSON mistake is the one to show
      // otherwise.
      error = builder.error();
      if (error.too_large) return nullptr;
      auto again = std::unique_ptr<SourceTree>(new SourceTree());
      again->source_ = source;
      again->line_starts_ = tree->line_starts_;
      TreeBuilder second(*again, limits);
      if (!build_from_yaml(source, second)) return nullptr;
      second.finish();
      error = {};
      return again;
    }
  } else if (!build_from_yaml(source, builder)) {
    error = builder.error();
    return nullptr;
  }
  builder.finish();
  return tree;
}

std::string_view SourceTree::text(NodeId node) const {
  if (is_collection(node)) return {};
  return std::string_view(texts_).substr(nodes_[node].begin, nodes_[node].count);
}

std::optional<NodeId> SourceTree::find(NodeId map, std::string_view key) const {
  if (kind(map) != Kind::kMap) return std::nullopt;
  for (std::size_t i = 0; i < size(map); i += 2) {
    if (text(child(map, i)) == key) return child(map, i + 1);
  }
  return std::nullopt;
}

std::string_view SourceTree::line_text(std::size_t line) const {
  if (line == 0 || line > line_starts_.size()) return {};
  const std::size_t start = line_starts_[line - 1];
  const std::size_t end = line < line_starts_.size() ? line_starts_[line] : source_.size();
  return std::string_view(source_).substr(start, end - start);
}

namespace {

// Moves past `count` code points.
std::size_t skip_code_points(std::string_view text, int count) {
  std::size_t at = 0;
  for (; count > 0 && at < text.size(); --count) {
    ++at;
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U) ++at;
  }
  return at;
}

struct Escape {
  std::size_t source = 0;  // bytes in the file
  std::size_t text = 0;    // bytes in the value
};

// One escape of a text in double quotes.
Escape measure_escape(std::string_view at) {
  if (at.size() < 2) return {at.size(), 1};
  const std::size_t digits = at[1] == 'x' ? 2 : at[1] == 'u' ? 4 : at[1] == 'U' ? 8 : 0;
  if (digits == 0) return {2, 1};
  std::uint32_t point = 0;
  const std::string_view hex = at.substr(2, digits);
  std::from_chars(hex.data(), hex.data() + hex.size(), point, 16);
  if (point >= 0xD800 && point <= 0xDBFF) return {12, 4};
  return {2 + digits, point < 0x80 ? 1U : point < 0x800 ? 2U : point < 0x10000 ? 3U : 4U};
}

}  // namespace

Position SourceTree::position_in(NodeId node, std::size_t offset) const {
  const Position start = position(node);
  const std::string_view value = text(node);
  if (!is_scalar(node) || start.line <= 0 || offset > value.size()) return start;
  const std::string_view line = line_text(static_cast<std::size_t>(start.line));
  std::size_t at = skip_code_points(line, start.column - 1);
  // An anchor or a tag may stand before the value.
  while (at < line.size() && (line[at] == '&' || line[at] == '!')) {
    at = line.find_first_of(" \t", at);
    if (at == std::string_view::npos) break;
    at = line.find_first_not_of(" \t", at);
    if (at == std::string_view::npos) break;
  }
  if (at < line.size() && kind(node) != Kind::kBlock) {
    const char quote = kind(node) == Kind::kQuoted ? line[at] : '\0';
    if (quote == '"' || quote == '\'') ++at;
    std::size_t seen = 0;
    while (seen < offset && at < line.size() && line[at] != '\n' && line[at] != '\r') {
      if (quote == '"' && line[at] == '\\') {
        const Escape escape = measure_escape(line.substr(at));
        at += escape.source;
        seen += escape.text;
      } else {
        at += quote == '\'' && line.substr(at).starts_with("''") ? 2 : 1;
        ++seen;
      }
    }
    if (seen >= offset && at <= line.size()) {
      return Position{start.line, static_cast<int>(count_code_points(line.substr(0, at))) + 1};
    }
  }
  // A value of several lines: folding changes white space only, so the same word is found again by counting.
  const std::size_t end = value.find_first_of(" \t\r\n", offset);
  const std::string_view word = value.substr(offset, end == std::string_view::npos ? end : end - offset);
  if (word.empty()) return start;
  std::size_t occurrence = 0;
  for (std::size_t i = value.find(word); i != std::string_view::npos && i < offset;
       i = value.find(word, i + 1)) {
    ++occurrence;
  }
  std::size_t found = source_.find(word, line_starts_[static_cast<std::size_t>(start.line) - 1]);
  const std::size_t node_byte =
      line_starts_[static_cast<std::size_t>(start.line) - 1] + skip_code_points(line, start.column - 1);
  while (found != std::string::npos && (found < node_byte || occurrence > 0)) {
    if (found >= node_byte) --occurrence;
    found = source_.find(word, found + 1);
  }
  if (found == std::string::npos) return start;
  std::size_t number = static_cast<std::size_t>(start.line);
  while (number < line_starts_.size() && line_starts_[number] <= found) ++number;
  const std::size_t line_start = line_starts_[number - 1];
  return Position{
      static_cast<int>(number),
      static_cast<int>(count_code_points(std::string_view(source_).substr(line_start, found - line_start))) +
          1};
}

Value SourceTree::to_value(NodeId node) const {
  switch (kind(node)) {
    case Kind::kNull:
      return {};
    case Kind::kPlain:
      return plain_scalar_value(text(node));
    case Kind::kQuoted:
    case Kind::kBlock:
      return Value(text(node));
    case Kind::kList: {
      Value::List list;
      list.reserve(size(node));
      for (std::size_t i = 0; i < size(node); ++i) list.push_back(to_value(child(node, i)));
      return Value(std::move(list));
    }
    case Kind::kMap: {
      Value::Map map;
      map.reserve(size(node) / 2);
      for (std::size_t i = 0; i < size(node); i += 2) {
        map.emplace_back(std::string(text(child(node, i))), to_value(child(node, i + 1)));
      }
      return Value(std::move(map));
    }
  }
  EZ_CHECK(false, "a node of an unknown kind");
}

Value plain_scalar_value(std::string_view text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return {};
  if (text == "true" || text == "True" || text == "TRUE") return Value(true);
  if (text == "false" || text == "False" || text == "FALSE") return Value(false);
  const char first = text[0];
  if (first != '+' && first != '-' && first != '.' && (first < '0' || first > '9')) return Value(text);
  std::string_view digits = text;
  if (first == '+') digits.remove_prefix(1);
  int base = 10;
  if (digits.starts_with("0x") || digits.starts_with("0o")) {
    base = digits[1] == 'x' ? 16 : 8;
    digits.remove_prefix(2);
    if (first == '+' || digits.starts_with('-')) return Value(text);
  }
  if (digits.empty() || (first == '+' && digits[0] == '-')) return Value(text);
  std::int64_t integer = 0;
  const char* end = digits.data() + digits.size();
  const auto whole = std::from_chars(digits.data(), end, integer, base);
  if (whole.ec == std::errc() && whole.ptr == end) return Value(integer);
  if (base != 10 || digits.find_first_not_of("0123456789+-.eE") != std::string_view::npos) return Value(text);
  double number = 0;
  const auto real = std::from_chars(digits.data(), end, number);
  if (real.ec == std::errc() && real.ptr == end && std::isfinite(number)) return Value(number);
  return Value(text);
}

}  // namespace ez::orchestration
