#include "queue/broker/registry.h"

#include <algorithm>

#include "queue/topic.h"

namespace ez::queue::broker {
namespace {

constexpr char kSeparator = '\x1f';

std::vector<std::string_view> pieces_of(std::string_view text, char separator) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    if (end > 0) out.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

}  // namespace

std::string event_text(const Event& event) {
  std::string out(event.kind);
  out.push_back(kSeparator);
  out += event.first;
  out.push_back(kSeparator);
  out += event.second;
  return out;
}

std::optional<Event> read_event(std::string_view text) {
  const std::size_t one = text.find(kSeparator);
  const std::size_t two = one == std::string_view::npos ? one : text.find(kSeparator, one + 1);
  if (two == std::string_view::npos) return std::nullopt;
  return Event{text.substr(0, one), text.substr(one + 1, two - one - 1), text.substr(two + 1)};
}

std::string topic_event(std::string_view topic) { return event_text({"topic", topic, {}}); }
std::string group_event(const GroupName& group) { return event_text({"group", group.pattern, group.group}); }
std::string drop_event(const GroupName& group) { return event_text({"drop", group.pattern, group.group}); }

std::string follow_event(const GroupName& group) {
  return event_text({"follows", group.pattern, group.group});
}

std::string rules_text(const std::vector<ReaderRule>& rules) {
  std::string out;
  for (const ReaderRule& rule : rules) {
    if (!out.empty()) out.push_back(';');
    switch (rule.who) {
      case ReaderRule::Who::kAll:
        out += "all " + rule.pattern;
        break;
      case ReaderRule::Who::kNobody:
        out += "nobody " + rule.pattern;
        break;
      case ReaderRule::Who::kOne:
        out += "one " + rule.pattern + " " + rule.group;
        break;
    }
  }
  return out;
}

std::string rules_event(std::string_view text) { return event_text({"rules", text, {}}); }

bool is_broadcast(const GroupName& group) { return !group.group.empty() && group.group.front() == '~'; }

void Registry::apply(std::string_view text) {
  ++events_;
  const auto event = read_event(text);
  if (!event) return;
  const std::string_view kind = event->kind;
  const std::string first(event->first);
  const std::string second(event->second);
  if (kind == "topic" && check_topic(first).ok()) {
    const auto [place, fresh] = topics_.try_emplace(first);
    if (!fresh) return;
    Topic& topic = place->second;
    topic.made = events_;
    std::vector<std::pair<QueueNumber, GroupName>> matching;
    for (const auto& [group, number] : groups_) {
      if (matches(group.pattern, first) && may_read(group, first)) matching.emplace_back(number, group);
    }
    std::sort(matching.begin(), matching.end());
    for (const auto& [number, group] : matching) add_reader(topic, group, number);
  } else if (kind == "group" && check_pattern(first).ok() && !second.empty()) {
    make_group({first, second});
  } else if (kind == "drop") {
    drop_group({first, second});
  } else if (kind == "follows") {
    if (followers_.insert({first, second}).second) reconsider();
  } else if (kind == "rules") {
    set_rules(first);
  }
}

bool Registry::may_read(const GroupName& group, std::string_view topic) const {
  if (rules_.empty() || !followers_.contains(group)) return true;
  for (const ReaderRule& rule : rules_) {
    if (!matches(rule.pattern, topic)) continue;
    return rule.who == ReaderRule::Who::kAll ||
           (rule.who == ReaderRule::Who::kOne && rule.group == group.group && group.pattern == topic);
  }
  return true;
}

void Registry::set_rules(std::string_view text) {
  rules_text_ = text;
  rules_.clear();
  for (const std::string_view piece : pieces_of(text, ';')) {
    const std::vector<std::string_view> words = pieces_of(piece, ' ');
    if (words.size() < 2 || !check_pattern(words[1]).ok()) continue;
    ReaderRule rule{std::string(words[1]), ReaderRule::Who::kAll, {}};
    if (words[0] == "nobody") rule.who = ReaderRule::Who::kNobody;
    if (words[0] == "one" && words.size() == 3) {
      rule.who = ReaderRule::Who::kOne;
      rule.group = words[2];
    }
    rules_.push_back(std::move(rule));
  }
  reconsider();
}

void Registry::reconsider() {
  std::vector<std::pair<QueueNumber, GroupName>> all;
  for (const auto& [group, number] : groups_) all.emplace_back(number, group);
  std::sort(all.begin(), all.end());
  for (auto& place : topics_) {
    const std::string& name = place.first;
    Topic& topic = place.second;
    std::erase_if(topic.readers, [&](const auto& reader) { return !may_read(reader.second, name); });
    for (const auto& [number, group] : all) {
      if (!matches(group.pattern, name) || !may_read(group, name)) continue;
      const auto same = [&name = group](const auto& reader) { return reader.second == name; };
      if (std::ranges::none_of(topic.readers, same)) add_reader(topic, group, number);
    }
  }
}

void Registry::make_group(const GroupName& group) {
  if (!groups_.emplace(group, events_).second) return;
  for (auto& [name, topic] : topics_) {
    if (matches(group.pattern, name) && may_read(group, name)) add_reader(topic, group, events_);
  }
}

void Registry::add_reader(Topic& topic, const GroupName& group, QueueNumber number) {
  // What was kept belongs to the first group that stays, never to one that listens only to what comes.
  const bool adopts = !is_broadcast(group) && std::ranges::all_of(topic.readers, [](const auto& reader) {
    return is_broadcast(reader.second);
  });
  topic.readers.emplace(adopts ? 0 : number, group);
}

void Registry::drop_group(const GroupName& group) {
  followers_.erase(group);
  if (groups_.erase(group) == 0) return;
  for (auto& [name, topic] : topics_) {
    std::erase_if(topic.readers, [&](const auto& reader) { return reader.second == group; });
  }
}

std::vector<GroupName> Registry::groups() const {
  std::vector<GroupName> out;
  for (const auto& [group, number] : groups_) out.push_back(group);
  return out;
}

std::vector<QueueNumber> Registry::queues_of(const std::string& topic) const {
  const auto found = topics_.find(topic);
  if (found == topics_.end()) return {};
  std::vector<QueueNumber> out;
  bool kept = false;
  for (const auto& [number, group] : found->second.readers) {
    if (!is_broadcast(group)) kept = true;
    out.push_back(number);
  }
  // Nobody who stays: queue 0 keeps the messages for the first group.
  if (!kept && (out.empty() || out.front() != 0)) out.insert(out.begin(), 0);
  return out;
}

std::vector<TopicQueue> Registry::queues_of(const GroupName& group) const {
  std::vector<std::pair<std::uint64_t, TopicQueue>> found;
  for (const auto& [name, topic] : topics_) {
    for (const auto& [number, reader] : topic.readers) {
      if (reader == group) found.push_back({topic.made, queue(name, number)});
    }
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<TopicQueue> out;
  for (auto& [made, queue] : found) out.push_back(std::move(queue));
  return out;
}

std::optional<GroupName> Registry::reader_of(const std::string& topic, QueueNumber queue) const {
  const auto found = topics_.find(topic);
  if (found == topics_.end()) return std::nullopt;
  const auto reader = found->second.readers.find(queue);
  if (reader == found->second.readers.end()) return std::nullopt;
  return reader->second;
}

TopicQueue Registry::queue(const std::string& topic, QueueNumber queue) const {
  TopicQueue out{topic, queue};
  const auto found = topics_.find(topic);
  if (found == topics_.end()) return out;
  const auto reader = found->second.readers.find(queue);
  if (reader == found->second.readers.end()) return out;
  out.reader = reader->second;
  const auto group = groups_.find(reader->second);
  if (group != groups_.end()) out.group = group->second;
  out.older = out.group < found->second.made;
  return out;
}

std::vector<std::string> Registry::topics(std::string_view pattern) const {
  std::vector<std::string> out;
  for (const auto& [name, topic] : topics_) {
    if (matches(pattern, name)) out.push_back(name);
  }
  return out;
}

std::vector<std::string> Registry::topics() const {
  std::vector<std::string> out;
  for (const auto& [name, topic] : topics_) out.push_back(name);
  return out;
}

}  // namespace ez::queue::broker
