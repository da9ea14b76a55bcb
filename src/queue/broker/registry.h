// Registry: which topics and groups a broker has, as every handle of it sees them. Its events lie in one
// totally ordered log at the broker, so all handles come to the same picture: a pure state machine.
//
// Queues. Each group has a queue of its own for every topic that its pattern matches; a publisher's message
// goes into all of them. Queue 0 of a topic belongs to the first group that matches it; while there is no
// group, it keeps what is published. Other queues have the number of the event that made their group. A group
// that comes again after it was dropped has a new number, so nothing of its former life comes back.
//
// Rules (queue/bus.h, ReaderRule) keep groups from topics: those groups that are said to follow them. When
// none is left that may read a topic, queue 0 keeps what is published, for programs that speak the broker.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "queue/bus.h"

namespace ez::queue::broker {

struct GroupName {
  std::string pattern;
  std::string group;
  auto operator<=>(const GroupName&) const = default;
};

using QueueNumber = std::uint64_t;

// An event in its parts, which never contain the separator. Drivers write kinds of their own into the same
// log; the registry passes over them.
struct Event {
  std::string_view kind;
  std::string_view first;
  std::string_view second;
};
[[nodiscard]] std::string event_text(const Event& event);
[[nodiscard]] std::optional<Event> read_event(
    std::string_view text);  // none: not an event; views of the text
[[nodiscard]] std::string topic_event(std::string_view topic);
[[nodiscard]] std::string group_event(const GroupName& group);
[[nodiscard]] std::string drop_event(const GroupName& group);
[[nodiscard]] std::string follow_event(const GroupName& group);  // the group follows the rules
// "all PATTERN", "nobody PATTERN" or "one PATTERN GROUP", with semicolons between.
[[nodiscard]] std::string rules_text(const std::vector<ReaderRule>& rules);
[[nodiscard]] std::string rules_event(std::string_view text);

// A broadcast consumer's group; its name begins with '~', which no other may.
[[nodiscard]] bool is_broadcast(const GroupName& group);

struct TopicQueue {
  std::string topic;
  QueueNumber queue = 0;
  // For brokers on which groups share one log of a topic: who reads it.
  std::optional<GroupName> reader = std::nullopt;
  QueueNumber group = 0;  // of the event that made the reader's group
  bool older = false;     // the group is older than the topic
};

class Registry {
 public:
  // The next event of the log. Repetitions and text that is not understood change nothing.
  void apply(std::string_view text);

  [[nodiscard]] std::uint64_t events() const { return events_; }
  [[nodiscard]] bool has_topic(const std::string& topic) const { return topics_.contains(topic); }
  [[nodiscard]] bool has_group(const GroupName& group) const { return groups_.contains(group); }
  [[nodiscard]] std::vector<GroupName> groups() const;
  [[nodiscard]] const std::string& rules() const { return rules_text_; }
  [[nodiscard]] bool follows(const GroupName& group) const { return followers_.contains(group); }

  // The queues that a message of this topic goes into.
  [[nodiscard]] std::vector<QueueNumber> queues_of(const std::string& topic) const;
  // The queues that a group reads, by age of the topics.
  [[nodiscard]] std::vector<TopicQueue> queues_of(const GroupName& group) const;
  // The group that reads this queue, when there is one.
  [[nodiscard]] std::optional<GroupName> reader_of(const std::string& topic, QueueNumber queue) const;
  // With all that is known of its reader.
  [[nodiscard]] TopicQueue queue(const std::string& topic, QueueNumber queue) const;
  // By name.
  [[nodiscard]] std::vector<std::string> topics(std::string_view pattern) const;
  [[nodiscard]] std::vector<std::string> topics() const;  // all, of all namespaces

 private:
  struct Topic {
    std::uint64_t made = 0;
    std::map<QueueNumber, GroupName> readers;
  };
  static void add_reader(Topic& topic, const GroupName& group, QueueNumber number);
  [[nodiscard]] bool may_read(const GroupName& group, std::string_view topic) const;
  void set_rules(std::string_view text);
  void reconsider();  // who reads what
  void make_group(const GroupName& group);
  void drop_group(const GroupName& group);

  std::uint64_t events_ = 0;
  std::map<std::string, Topic> topics_;
  std::map<GroupName, QueueNumber> groups_;
  std::set<GroupName> followers_;
  std::string rules_text_;
  std::vector<ReaderRule> rules_;
};

}  // namespace ez::queue::broker
