#include "queue/topic.h"

#include <string>
#include <vector>

#include "queue/message.h"

namespace ez::queue {
namespace {

bool is_word_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

bool is_word(std::string_view word) {
  if (word.empty()) return false;
  for (const char c : word) {
    if (!is_word_byte(c)) return false;
  }
  return true;
}

struct Split {
  std::string_view space;  // namespace; empty: default
  std::vector<std::string_view> words;
};

Split split(std::string_view name) {
  Split out;
  if (const auto slash = name.find('/'); slash != std::string_view::npos) {
    out.space = name.substr(0, slash);
    name = name.substr(slash + 1);
  }
  for (;;) {
    const auto dot = name.find('.');
    out.words.push_back(name.substr(0, dot));
    if (dot == std::string_view::npos) return out;
    name = name.substr(dot + 1);
  }
}

Status check(std::string_view name, bool pattern) {
  const std::string what = pattern ? "the pattern " : "the topic ";
  if (name.empty() || name.size() > kMaxTopicBytes) {
    return Error(Code::InvalidArgument, what + "has " + std::to_string(name.size()) + " bytes, 1 to " +
                                            std::to_string(kMaxTopicBytes) + " are possible");
  }
  const Split parts = split(name);
  const bool slash = name.find('/') != std::string_view::npos;
  bool good = !slash || is_word(parts.space);
  for (const std::string_view word : parts.words) {
    good = good && (is_word(word) || (pattern && (word == "*" || word == "#")));
  }
  if (good) return {};
  std::string shown;
  for (const char c : name) shown.push_back(c > ' ' && c < 127 ? c : '?');
  return Error(Code::InvalidArgument, what + "'" + shown +
                                          "' is not words of letters, digits, _ and -, joined by dots" +
                                          (pattern ? " (with * for one word and # for any)" : ""));
}

bool match_words(const std::vector<std::string_view>& pattern, const std::vector<std::string_view>& topic) {
  // reached[i]: the words of the pattern so far match the first i words of the topic.
  std::vector<bool> reached(topic.size() + 1, false);
  reached[0] = true;
  for (const std::string_view word : pattern) {
    std::vector<bool> next(topic.size() + 1, false);
    if (word == "#") {
      bool any = false;
      for (std::size_t i = 0; i <= topic.size(); ++i) next[i] = any = any || reached[i];
    } else {
      for (std::size_t i = 0; i < topic.size(); ++i) {
        next[i + 1] = reached[i] && (word == "*" || word == topic[i]);
      }
    }
    reached = std::move(next);
  }
  return reached[topic.size()];
}

}  // namespace

Status check_topic(std::string_view topic) { return check(topic, false); }
Status check_pattern(std::string_view pattern) { return check(pattern, true); }

Status check_group(std::string_view group) {
  bool good = !group.empty() && group.size() <= 64;
  for (const char c : group) good = good && (is_word_byte(c) || c == '.');
  if (good) return {};
  return Error(Code::InvalidArgument, "a group has 1 to 64 letters, digits, _, - and dots");
}

bool is_wild(std::string_view pattern) { return pattern.find_first_of("*#") != std::string_view::npos; }

bool matches(std::string_view pattern, std::string_view topic) {
  if (!is_wild(pattern)) return pattern == topic;
  const Split p = split(pattern);
  const Split t = split(topic);
  return p.space == t.space && match_words(p.words, t.words);
}

}  // namespace ez::queue
