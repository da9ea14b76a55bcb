// Editing the top level of a JSON object without touching its other bytes.
#include <algorithm>

#include "base/json.h"
#include "models/dialect/dialect.h"

namespace ez::models {

namespace {

Error wrong(std::string_view what) { return {Code::JsonInvalid, std::string(what)}; }

// Walks over text that was, or still has to be, checked by a parser: it finds where things end and trusts
// nothing else.
class Walker {
 public:
  explicit Walker(std::string_view text) : text_(text) {}

  [[nodiscard]] std::size_t at() const { return at_; }
  [[nodiscard]] bool done() const { return at_ >= text_.size(); }

  void skip_space() {
    while (!done() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\r' || text_[at_] == '\n')) {
      ++at_;
    }
  }

  bool take(char wanted) {
    if (done() || text_[at_] != wanted) return false;
    ++at_;
    return true;
  }

  // Past a string whose first quote is next; false when it does not end.
  bool skip_string() {
    if (!take('"')) return false;
    while (true) {
      const std::size_t stop = text_.find_first_of("\"\\", at_);
      if (stop == std::string_view::npos) return false;
      at_ = stop + 1;
      if (text_[stop] == '"') return true;
      ++at_;  // what is escaped
      if (at_ > text_.size()) return false;
    }
  }

  // Past any value.
  bool skip_value() {
    std::size_t depth = 0;
    while (!done()) {
      const char c = text_[at_];
      if (c == '"') {
        if (!skip_string()) return false;
      } else if (c == '{' || c == '[') {
        ++depth;
        ++at_;
      } else if (c == '}' || c == ']') {
        if (depth == 0) return true;
        --depth;
        ++at_;
      } else if (depth == 0 && (c == ',' || c == ' ' || c == '\t' || c == '\r' || c == '\n')) {
        return true;
      } else {
        ++at_;
        continue;
      }
      if (depth == 0) return true;
    }
    return depth == 0;
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
};

std::string key_text(std::string_view literal) {
  if (literal.find('\\') == std::string_view::npos) return std::string(literal.substr(1, literal.size() - 2));
  const Result<Value> parsed = parse_json(literal);
  return parsed.ok() && parsed->is_string() ? parsed->as_string() : std::string();
}

}  // namespace

Result<std::string> edit_object(std::string_view json,
                                const std::vector<std::pair<std::string_view, std::string>>& edits) {
  Walker walker(json);
  walker.skip_space();
  if (!walker.take('{')) return wrong("a JSON object is wanted");
  std::string out(json.substr(0, walker.at()));
  std::size_t extra = 2;
  for (const auto& [key, value] : edits) extra += key.size() + value.size() + 8;
  out.reserve(json.size() + extra);

  std::vector<bool> seen(edits.size(), false);
  bool first = true;
  // Appends a member's bytes (with the space in front of it) behind a comma where one is wanted.
  const auto put = [&](std::string_view bytes) {
    if (!first) out += ',';
    first = false;
    out += bytes;
  };
  std::size_t start = walker.at();
  walker.skip_space();
  bool closed = walker.take('}');
  while (!closed) {
    walker.skip_space();
    const std::size_t key_start = walker.at();
    if (!walker.skip_string()) return wrong("the name of a member is wanted");
    const std::string key = key_text(json.substr(key_start, walker.at() - key_start));
    walker.skip_space();
    if (!walker.take(':')) return wrong("a colon is wanted");
    walker.skip_space();
    const std::size_t value_start = walker.at();
    if (!walker.skip_value() || walker.at() == value_start) return wrong("a value is wanted");
    const std::size_t end = walker.at();
    const auto edit = std::find_if(edits.begin(), edits.end(), [&](const auto& e) { return e.first == key; });
    if (edit == edits.end()) {
      put(json.substr(start, end - start));
    } else {
      const auto index = static_cast<std::size_t>(edit - edits.begin());
      if (seen[index]) return wrong("the member \"" + key + "\" is there twice");
      seen[index] = true;
      if (!edit->second.empty()) {
        put(json.substr(start, value_start - start));
        out += edit->second;
      }
    }
    walker.skip_space();
    closed = walker.take('}');
    if (!closed && !walker.take(',')) return wrong("a comma or the end of the object is wanted");
    start = walker.at();
  }
  for (std::size_t i = 0; i < edits.size(); ++i) {
    if (seen[i] || edits[i].second.empty()) continue;
    std::string member;
    append_json_string(member, edits[i].first);
    put(member + ":" + edits[i].second);
  }
  walker.skip_space();
  if (!walker.done()) return wrong("there is text after the object");
  return out + "}";
}

}  // namespace ez::models
