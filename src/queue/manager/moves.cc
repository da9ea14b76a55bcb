#include "queue/manager/moves.h"

#include <algorithm>

#include "base/json.h"
#include "queue/topic.h"

namespace ez::queue {
namespace {

std::pair<std::string_view, std::string_view> namespace_and_words(std::string_view pattern) {
  const std::size_t slash = pattern.find('/');
  if (slash == std::string_view::npos) return {"", pattern};
  return {pattern.substr(0, slash), pattern.substr(slash + 1)};
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> out;
  while (true) {
    const std::size_t dot = text.find('.');
    out.push_back(text.substr(0, dot));
    if (dot == std::string_view::npos) return out;
    text.remove_prefix(dot + 1);
  }
}

// The rules after a move; `held` makes it one that is under way.
std::vector<RouteRule> after_move(const std::vector<RouteRule>& rules, const Move& move, bool held) {
  std::vector<RouteRule> out;
  for (const RouteRule& rule : rules) {
    const bool from_here = rule.config.primary == move.from;
    const bool concerned = from_here || (held && rule.config.primary == move.to);
    // Consumers that speak a broker cannot be left without one.
    const bool possible = !(rule.config.direct && move.to == kEmbedded);
    const bool some =
        move.topic.empty() || rule.config.topic.empty() || overlap(rule.config.topic, move.topic);
    if (!concerned || !possible || !some) {
      out.push_back(rule);
      continue;
    }
    RouteRule moved = rule;
    moved.held = held;
    moved.config.primary = move.to;
    if (move.to == kEmbedded || moved.config.fallback == move.to) moved.config.fallback = kEmbedded;
    const bool whole = move.topic.empty() ||
                       std::find(rule.within.begin(), rule.within.end(), move.topic) != rule.within.end();
    if (!whole) moved.within.push_back(move.topic);
    out.push_back(std::move(moved));
    if (!whole) out.push_back(rule);
  }
  // One that says what the next one would say of its topics says nothing.
  for (std::size_t i = 0; i + 1 < out.size();) {
    const RouteRule& one = out[i];
    const RouteRule& next = out[i + 1];
    const bool wider = std::all_of(next.within.begin(), next.within.end(), [&](const std::string& pattern) {
      return std::find(one.within.begin(), one.within.end(), pattern) != one.within.end();
    });
    if (one.origin == next.origin && one.config == next.config && one.held == next.held && wider) {
      out.erase(out.begin() + static_cast<std::ptrdiff_t>(i));
      i = 0;
    } else {
      ++i;
    }
  }
  return out;
}

Value move_value(const Move& move) {
  return Value(Value::Map{{"from", Value(move.from)},
                          {"to", Value(move.to)},
                          {"topic", Value(move.topic)},
                          {"at_ms", Value(move.at_ms)}});
}

Move read_move(const Value& value) {
  return {std::string(value.string_or("from", "")), std::string(value.string_or("to", "")),
          std::string(value.string_or("topic", "")), value.int_or("at_ms", 0)};
}

}  // namespace

bool covers(const RouteRule& rule, std::string_view topic) {
  if (!rule.config.topic.empty() && !matches(rule.config.topic, topic)) return false;
  return std::all_of(rule.within.begin(), rule.within.end(),
                     [&](const std::string& pattern) { return matches(pattern, topic); });
}

std::string name_of(const RouteRule& rule) {
  if (!rule.within.empty()) return rule.within.back();
  return rule.config.topic.empty() ? "#" : rule.config.topic;
}

std::vector<RouteRule> rules_of(const std::vector<RouteConfig>& routes, const std::vector<Move>& moves,
                                const std::optional<Move>& moving) {
  std::vector<RouteRule> rules;
  for (std::size_t i = 0; i < routes.size(); ++i) rules.push_back({routes[i], {}, i, false});
  for (const Move& move : moves) rules = after_move(rules, move, false);
  if (moving) rules = after_move(rules, *moving, true);
  return rules;
}

std::vector<Move> that_matter(const std::vector<RouteConfig>& routes, const std::vector<Move>& moves) {
  std::vector<Move> out;
  std::vector<RouteRule> rules = rules_of(routes, {}, std::nullopt);
  const std::vector<RouteRule> configured = rules;
  for (const Move& move : moves) {
    std::vector<RouteRule> next = after_move(rules, move, false);
    if (next == rules) continue;
    rules = std::move(next);
    out.push_back(move);
  }
  // There and back again.
  if (rules == configured) out.clear();
  return out;
}

bool overlap(std::string_view one, std::string_view other) {
  const auto [space_a, text_a] = namespace_and_words(one);
  const auto [space_b, text_b] = namespace_and_words(other);
  if (space_a != space_b) return false;
  const std::vector<std::string_view> a = words_of(text_a);
  const std::vector<std::string_view> b = words_of(text_b);
  // possible[i][j]: what follows word i of one and word j of the other can be the same.
  std::vector<std::vector<char>> possible(a.size() + 1, std::vector<char>(b.size() + 1, 0));
  for (std::size_t i = a.size() + 1; i-- > 0;) {
    for (std::size_t j = b.size() + 1; j-- > 0;) {
      bool good = i == a.size() && j == b.size();
      if (i < a.size() && a[i] == "#") good = good || possible[i + 1][j] != 0;
      if (j < b.size() && b[j] == "#") good = good || possible[i][j + 1] != 0;
      if (i < a.size() && j < b.size()) {
        // A word of one is eaten by the # of the other.
        if (a[i] == "#") good = good || possible[i][j + 1] != 0;
        if (b[j] == "#") good = good || possible[i + 1][j] != 0;
        const bool same = a[i] == b[j] || a[i] == "*" || b[j] == "*";
        if (same && a[i] != "#" && b[j] != "#") good = good || possible[i + 1][j + 1] != 0;
      }
      possible[i][j] = good ? 1 : 0;
    }
  }
  return possible[0][0] != 0;
}

std::string write_moves(const MoveRecord& record) {
  Value::List made;
  for (const Move& move : record.made) made.push_back(move_value(move));
  Value::Map all{{"made", Value(std::move(made))}};
  if (record.phase != MoveRecord::Phase::kNone) {
    all.emplace_back("current", move_value(record.current));
    all.emplace_back("phase", Value(record.phase == MoveRecord::Phase::kCopying ? "copying" : "removing"));
  }
  return to_json(Value(std::move(all)));
}

MoveRecord read_moves(const std::string& text) {
  MoveRecord out;
  const auto parsed = parse_json(text);
  if (!parsed.ok() || !parsed->is_map()) return out;
  if (const Value* made = parsed->find("made"); made != nullptr && made->is_list()) {
    for (const Value& one : made->as_list()) out.made.push_back(read_move(one));
  }
  const std::string phase(parsed->string_or("phase", ""));
  const Value* current = parsed->find("current");
  if (current == nullptr || (phase != "copying" && phase != "removing")) return out;
  out.phase = phase == "copying" ? MoveRecord::Phase::kCopying : MoveRecord::Phase::kRemoving;
  out.current = read_move(*current);
  return out;
}

}  // namespace ez::queue
