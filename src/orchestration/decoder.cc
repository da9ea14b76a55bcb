#include "orchestration/decoder.h"

#include <algorithm>
#include <charconv>

#include "base/utf8.h"
#include "orchestration/shell_place.h"
#include "orchestration/text.h"

namespace ez::orchestration {

std::string quoted(std::string_view text) {
  static constexpr std::size_t kMaxShown = 60;
  std::string out = "`";
  std::size_t shown = 0;
  while (!text.empty() && shown < kMaxShown) {
    const std::uint32_t point = take_code_point(text);
    if (point < 0x20 || point == 0x7F) {
      out += ' ';
    } else {
      append_utf8(out, point);
    }
    ++shown;
  }
  return out + (text.empty() ? "`" : "…`");
}

std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates) {
  const std::string_view near = nearest(word, candidates);
  return near.empty() ? std::string() : " (did you mean " + quoted(near) + "?)";
}

void Decoder::error(Position at, std::string message, std::string hint, Code code) {
  if (diagnostics.size() >= kMaxCollected) return;
  diagnostics.push_back(Diagnostic{at.line, at.column, code, std::move(message), std::move(hint)});
}

void Decoder::error_in(NodeId node, std::size_t offset, std::string message, std::string hint, Code code) {
  if (diagnostics.size() >= kMaxCollected) return;
  error(tree.position_in(node, offset), std::move(message), std::move(hint), code);
}

std::vector<Diagnostic> Decoder::take_diagnostics() {
  std::stable_sort(diagnostics.begin(), diagnostics.end(), [](const Diagnostic& a, const Diagnostic& b) {
    return a.line != b.line ? a.line < b.line : a.column < b.column;
  });
  if (diagnostics.size() > kMaxDiagnostics) diagnostics.resize(kMaxDiagnostics);
  return std::move(diagnostics);
}

Fields::Fields(Decoder& decoder, NodeId map, std::string_view what, std::span<const std::string_view> known)
    : decoder_(decoder), map_(map) {
  const SourceTree& tree = decoder.tree;
  for (std::size_t i = 0; i < tree.size(map); i += 2) {
    const NodeId node = tree.child(map, i);
    const std::string_view name = tree.text(node);
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    if (decoder.diagnostics.size() >= Decoder::kMaxCollected) return;
    std::string hint = std::string(what) + " has the keys ";
    for (std::size_t k = 0; k < known.size(); ++k) {
      hint += (k == 0 ? "" : ", ");
      hint += known[k];
    }
    decoder.error(node, "unknown key " + quoted(name) + did_you_mean(name, known), hint + ".");
  }
}

std::optional<NodeId> Fields::key(std::string_view key) const {
  const SourceTree& tree = decoder_.tree;
  for (std::size_t i = 0; i < tree.size(map_); i += 2) {
    if (tree.text(tree.child(map_, i)) == key) return tree.child(map_, i);
  }
  return std::nullopt;
}

std::optional<NodeId> Fields::get(std::string_view key) const {
  const auto node = decoder_.tree.find(map_, key);
  if (!node || decoder_.tree.kind(*node) == SourceTree::Kind::kNull) return std::nullopt;
  return node;
}

std::optional<std::string_view> Fields::scalar(std::string_view key, std::string_view expected) const {
  const auto node = get(key);
  if (!node) return std::nullopt;
  if (decoder_.tree.is_scalar(*node)) return decoder_.tree.text(*node);
  const bool is_list = decoder_.tree.kind(*node) == SourceTree::Kind::kList;
  decoder_.error(*node,
                 quoted(key) + " must be " + std::string(expected) + ", not a " + (is_list ? "list" : "map"));
  return std::nullopt;
}

void Fields::read_text(std::string_view key, std::string& out, std::size_t max_bytes) const {
  const auto text = scalar(key, "a text");
  if (!text) return;
  if (text->size() > max_bytes) {
    decoder_.error(*get(key), quoted(key) + " has " + std::to_string(text->size()) + " bytes; " +
                                  std::to_string(max_bytes) + " are allowed");
    return;
  }
  out = *text;
}

void Fields::read_name(std::string_view key, std::string& out) const {
  const auto text = scalar(key, "a name");
  if (!text) return;
  if (!is_name(*text)) {
    decoder_.error(
        *get(key), quoted(key) + " cannot be " + quoted(*text),
        "A name starts with a-z or 0-9, goes on with a-z, 0-9, `_` or `-` and has at most 63 characters, "
        "for example `build-all`.");
    return;
  }
  out = *text;
}

void Fields::read_bool(std::string_view key, bool& out) const {
  const auto text = scalar(key, "true or false");
  if (!text) return;
  const NodeId node = *get(key);
  const Value value =
      decoder_.tree.kind(node) == SourceTree::Kind::kPlain ? plain_scalar_value(*text) : Value();
  if (value.is_bool()) {
    out = value.as_bool();
    return;
  }
  decoder_.error(node, quoted(key) + " must be true or false, not " + quoted(*text),
                 "Write `" + std::string(key) + ": true`.");
}

void Fields::read_uint(std::string_view key, std::uint32_t& out, std::uint32_t min, std::uint32_t max) const {
  const auto text = scalar(key, "a whole number");
  if (!text) return;
  std::uint32_t number = 0;
  const auto [end, failure] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (failure == std::errc() && end == text->data() + text->size() && number >= min && number <= max) {
    out = number;
    return;
  }
  decoder_.error(*get(key),
                 quoted(key) + " must be a whole number from " + std::to_string(min) + " to " +
                     std::to_string(max) + ", not " + quoted(*text),
                 "Write for example `" + std::string(key) + ": " +
                     std::to_string(out >= min && out <= max ? out : min) + "`.");
}

void Fields::read_duration(std::string_view key, std::int64_t& out_ms, std::int64_t min_ms,
                           bool zero_is_none) const {
  const auto text = scalar(key, "a duration");
  if (!text) return;
  const auto ms = parse_duration_ms(*text);
  if (ms && (*ms >= min_ms || (zero_is_none && *ms == 0))) {
    out_ms = *ms;
    return;
  }
  const std::string example = "Write for example `500ms`, `30s`, `5m`, `1h30m` or `2d`.";
  if (!ms) {
    decoder_.error(*get(key), quoted(key) + " must be a duration of at most ten years, not " + quoted(*text),
                   example);
    return;
  }
  decoder_.error(*get(key),
                 quoted(key) + " must be at least " + format_duration_ms(min_ms) + ", not " + quoted(*text),
                 zero_is_none ? "`0s` means no limit." : example);
}

void Fields::read_permille(std::string_view key, std::uint32_t& out, std::uint32_t min,
                           std::uint32_t max) const {
  const auto text = scalar(key, "a number");
  if (!text) return;
  const auto permille = parse_permille(*text);
  if (permille && *permille >= min && *permille <= max) {
    out = static_cast<std::uint32_t>(*permille);
    return;
  }
  decoder_.error(*get(key),
                 quoted(key) + " must be a number from " + std::to_string(min / 1000) + " to " +
                     std::to_string(max / 1000) + " with at most 3 decimals, not " + quoted(*text),
                 "Write for example `" + std::string(key) + (max <= 1000 ? ": 0.3`." : ": 2`."));
}

void Fields::read_template(std::string_view key, std::optional<Template>& out, const Scope& scope) const {
  const auto text = scalar(key, "a text");
  if (!text) return;
  auto read = decoder_.read_template(*get(key), scope);
  if (read) out = std::move(read);
}

void Fields::read_script(std::string_view key, std::optional<Template>& out, const Scope& scope) const {
  std::optional<Template> read;
  read_template(key, read, scope);
  if (!read) return;
  if (const auto unsafe = find_unsafe_insert(*read)) {
    decoder_.error(
        *get(key),
        "${{ " + read->expressions()[unsafe->expression].source() + " }} in " + quoted(key) +
            " stands inside " + std::string(unsafe->place) + ", where the shell would read its value again",
        "It is inserted as one quoted word: write it outside of quotes, or give it with `env` and use "
        "\"$NAME\".");
    return;
  }
  out = std::move(read);
}

std::optional<std::size_t> Fields::read_word(std::string_view key,
                                             std::span<const std::string_view> words) const {
  const auto text = scalar(key, "one word");
  if (!text) return std::nullopt;
  const auto found = std::find(words.begin(), words.end(), *text);
  if (found != words.end()) return static_cast<std::size_t>(found - words.begin());
  std::string choice;
  for (std::size_t i = 0; i < words.size(); ++i) {
    choice += i == 0 ? "" : i + 1 == words.size() ? " or " : ", ";
    choice += words[i];
  }
  decoder_.error(*get(key), quoted(key) + " cannot be " + quoted(*text) + did_you_mean(*text, words),
                 "Write " + choice + ".");
  return std::nullopt;
}

std::vector<NodeId> Fields::read_list(std::string_view key, std::size_t max_items,
                                      std::string_view example) const {
  const auto node = get(key);
  if (!node) return {};
  const SourceTree& tree = decoder_.tree;
  if (tree.kind(*node) != SourceTree::Kind::kList) {
    decoder_.error(*node, quoted(key) + " must be a list", "Write `" + std::string(example) + "`.");
    return {};
  }
  if (tree.size(*node) > max_items) {
    decoder_.error(*node,
                   quoted(key) + " has " + std::to_string(tree.size(*node)) + " items; " +
                       std::to_string(max_items) + " are allowed",
                   {}, Code::WorkflowTooLarge);
    return {};
  }
  std::vector<NodeId> items;
  items.reserve(tree.size(*node));
  for (std::size_t i = 0; i < tree.size(*node); ++i) items.push_back(tree.child(*node, i));
  return items;
}

}  // namespace ez::orchestration
