// Which requests are the same.
#include <algorithm>

#include <re2/re2.h>

#include "base/json.h"
#include "base/sha256.h"
#include "base/utf8.h"
#include "models/cassette/codec.h"

namespace ez::models {

namespace {

constexpr std::size_t kMaxRules = 256;
constexpr std::size_t kMaxPatternBytes = 1'000;
constexpr std::size_t kMinValueBytes = 4;
constexpr int kMaxDepth = 80;  // deeper than a body can be

// What never says anything about the answer: names of users, keys of caches, wishes for the form of a stream.
constexpr std::string_view kAlwaysIgnored[] = {
    "metadata",      "user",  "safety_identifier",     "prompt_cache_key", "stream_options", "service_tier",
    "cache_control", "store", "prompt_cache_retention"};

Error bad_rules(std::string_view what) {
  return {Code::CassetteDamaged, "the rules of the cassette: " + std::string(what)};
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> out;
  while (true) {
    const std::size_t dot = text.find('.');
    out.emplace_back(text.substr(0, dot));
    if (dot == std::string_view::npos) return out;
    text.remove_prefix(dot + 1);
  }
}

}  // namespace

struct MatchRules::Patterns {
  std::vector<std::unique_ptr<re2::RE2>> all;
};

MatchRules::MatchRules() : patterns_(std::make_unique<Patterns>()) {}
MatchRules::~MatchRules() = default;
MatchRules::MatchRules(MatchRules&& other) noexcept = default;
MatchRules& MatchRules::operator=(MatchRules&& other) noexcept = default;

Result<MatchRules> MatchRules::parse(const Value& rules) {
  MatchRules out;
  if (rules.is_null()) return out;
  if (!rules.is_map()) return bad_rules("an object is wanted");
  for (const auto& [key, value] : rules.as_map()) {
    if (key != "ignore" && key != "patterns") return bad_rules("the member \"" + key + "\" is not known");
    if (!value.is_list() || value.as_list().size() > kMaxRules) return bad_rules(key + ": a list is wanted");
    for (const Value& each : value.as_list()) {
      if (!each.is_string() || each.as_string().empty() || each.as_string().size() > kMaxPatternBytes) {
        return bad_rules(key + ": texts of at most 1000 bytes are wanted");
      }
      if (key == "ignore") {
        out.ignore_.push_back(split(each.as_string()));
        continue;
      }
      re2::RE2::Options options;
      options.set_log_errors(false);
      options.set_max_mem(1 << 20);
      auto pattern = std::make_unique<re2::RE2>(each.as_string(), options);
      if (!pattern->ok()) return bad_rules("the pattern \"" + each.as_string() + "\": " + pattern->error());
      out.patterns_->all.push_back(std::move(pattern));
    }
  }
  out.text_ = rules;
  return out;
}

Value MatchRules::walk(const Value& value, const Substitutions& substitutions, int depth) const {
  if (depth > kMaxDepth) return {};
  if (value.is_string()) {
    std::string text = substituted(value.as_string(), substitutions, false);
    for (const auto& pattern : patterns_->all) re2::RE2::GlobalReplace(&text, *pattern, "~");
    return Value(std::move(text));
  }
  if (value.is_list()) {
    Value::List out;
    out.reserve(value.as_list().size());
    for (const Value& each : value.as_list()) out.push_back(walk(each, substitutions, depth + 1));
    return Value(std::move(out));
  }
  if (value.is_map()) {
    Value::Map out;
    for (const auto& [key, member] : value.as_map()) {
      if (key == "cache_control") continue;  // at any depth
      out.emplace_back(key, walk(member, substitutions, depth + 1));
    }
    return Value(std::move(out));
  }
  return value;
}

namespace {

// The value without the member that the path names; "*" is every element or member.
Value without(const Value& value, const std::vector<std::string>& path, std::size_t at) {
  const std::string& step = path[at];
  if (value.is_list()) {
    Value::List out;
    for (std::size_t i = 0; i < value.as_list().size(); ++i) {
      const Value& each = value.as_list()[i];
      if (step != "*" && step != std::to_string(i)) {
        out.push_back(each);
      } else if (at + 1 < path.size()) {
        out.push_back(without(each, path, at + 1));
      }
    }
    return Value(std::move(out));
  }
  if (!value.is_map()) return value;
  Value::Map out;
  for (const auto& [key, member] : value.as_map()) {
    if (step != "*" && step != key) {
      out.emplace_back(key, member);
    } else if (at + 1 < path.size()) {
      out.emplace_back(key, without(member, path, at + 1));
    }
  }
  return Value(std::move(out));
}

}  // namespace

Value MatchRules::canonical(const Value& body, const Substitutions& substitutions) const {
  Value out = walk(body, ordered(substitutions), 0);
  for (const std::string_view key : kAlwaysIgnored) out = without(out, {std::string(key)}, 0);
  for (const std::vector<std::string>& path : ignore_) out = without(out, path, 0);
  return out;
}

Substitutions ordered(const Substitutions& substitutions) {
  Substitutions out;
  for (const auto& each : substitutions) {
    if (each.first.size() >= kMinValueBytes && !each.second.empty()) out.push_back(each);
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
  return out;
}

std::string substituted(std::string_view text, const Substitutions& ordered, bool back) {
  std::string out;
  std::size_t at = 0;
  while (!ordered.empty() && at < text.size()) {
    // The nearest of all values; of those that begin at one place the longest, which comes first.
    std::size_t nearest = std::string_view::npos;
    const std::pair<std::string, std::string>* chosen = nullptr;
    for (const auto& each : ordered) {
      const std::size_t found = text.find(back ? each.second : each.first, at);
      if (found < nearest) {
        nearest = found;
        chosen = &each;
      }
    }
    if (chosen == nullptr) break;
    out += text.substr(at, nearest - at);
    out += back ? chosen->first : chosen->second;
    at = nearest + (back ? chosen->second : chosen->first).size();
  }
  return out += text.substr(at);
}

std::string_view plain_path(std::string_view path) { return path.substr(0, path.find_first_of("?#")); }

std::string request_hash(std::string_view method, std::string_view path, const Value& body) {
  Sha256 hash;
  hash.update(method);
  hash.update(" ");
  hash.update(path);
  hash.update("\n");
  hash.update(to_json(body));
  return hash.finish_hex();
}

namespace {

std::string excerpt(const Value& value) {
  constexpr std::size_t kBytes = 60;
  std::string text = to_json(value);
  if (text.size() <= kBytes) return text;
  std::size_t end = kBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return text.substr(0, end) + "…";
}

// Where two long texts part ways, so that the difference is in what is shown.
std::string text_difference(const std::string& recorded, const std::string& asked) {
  constexpr std::size_t kBefore = 15;
  std::size_t at = 0;
  while (at < recorded.size() && at < asked.size() && recorded[at] == asked[at]) ++at;
  std::size_t start = at < kBefore ? 0 : at - kBefore;
  while (start > 0 && (static_cast<unsigned char>(recorded[start]) & 0xC0U) == 0x80U) --start;
  return "from byte " + std::to_string(at) + ": " + excerpt(Value(asked.substr(start))) + " instead of " +
         excerpt(Value(recorded.substr(start)));
}

void compare(const Value& recorded, const Value& asked, const std::string& path, std::size_t limit,
             std::vector<std::string>& out) {
  if (out.size() >= limit || recorded == asked) return;
  if (recorded.is_map() && asked.is_map()) {
    for (const auto& [key, value] : asked.as_map()) {
      const std::string at = path.empty() ? key : path + "." + key;
      const Value* other = recorded.find(key);
      if (other == nullptr) {
        out.push_back(at + ": " + excerpt(value) + " is new");
      } else {
        compare(*other, value, at, limit, out);
      }
      if (out.size() >= limit) return;
    }
    for (const auto& [key, value] : recorded.as_map()) {
      if (asked.find(key) != nullptr) continue;
      out.push_back((path.empty() ? key : path + "." + key) + ": " + excerpt(value) + " is missing");
      if (out.size() >= limit) return;
    }
    return;
  }
  if (recorded.is_list() && asked.is_list()) {
    const std::size_t old_size = recorded.as_list().size(), size = asked.as_list().size();
    for (std::size_t i = 0; i < std::min(old_size, size) && out.size() < limit; ++i) {
      compare(recorded.as_list()[i], asked.as_list()[i], path + "[" + std::to_string(i) + "]", limit, out);
    }
    if (old_size != size && out.size() < limit) {
      out.push_back(path + ": " + std::to_string(size) + " elements instead of " + std::to_string(old_size));
    }
    return;
  }
  if (recorded.is_string() && asked.is_string()) {
    out.push_back(path + " " + text_difference(recorded.as_string(), asked.as_string()));
    return;
  }
  out.push_back(path + ": " + excerpt(asked) + " instead of " + excerpt(recorded));
}

}  // namespace

std::vector<std::string> differences(const Value& recorded, const Value& asked, std::size_t limit) {
  std::vector<std::string> out;
  compare(recorded, asked, "", limit, out);
  return out;
}

}  // namespace ez::models
