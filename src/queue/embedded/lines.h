// What is ready for whom: one Line for each topic and group, made from the state and kept beside it. Nothing
// of it is logged; after a restart it is made again.
//
// A message that a Line has taken (bit in Chunk::taken) is out, waits for its time, waits behind another one
// of its key, or is ready again; all others are found by going over the chunks.
//
// Not thread-safe: used under the bus's lock.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "queue/embedded/state.h"

namespace ez::queue {

// One that takes from the lines of a subscription.
struct Member {
  std::string pattern;
  std::string group;
  std::vector<Line*> lines;
  std::size_t next_line = 0;  // where the next take begins
  bool ended = false;         // its group was dropped
};

struct KeyLine {
  std::uint64_t active = 0;         // is out, ready or waits for a nack's delay; 0: none
  std::set<std::uint64_t> waiting;  // behind it
};

struct Line {
  Topic* topic = nullptr;
  Group* group = nullptr;
  std::array<std::uint64_t, kPriorities> cursor{};            // chunk number: nothing untaken before it
  std::array<std::set<std::uint64_t>, kPriorities> returned;  // taken, and ready
  std::unordered_map<std::uint64_t, KeyLine> keys;
  std::vector<Member*> members;
  std::uint64_t out = 0;
  bool stirred = false;  // in Lines::stirred
  // Of a group that a broker delivers to: messages that are on their way through it, and since when
  // (monotonic). They are not picked before they have arrived. Nothing of it is logged: after a restart all
  // of them have arrived.
  bool gated = false;
  std::map<std::uint64_t, std::int64_t> on_the_way;
  std::set<std::uint64_t> held;  // of these, those that would have been picked
};

class Lines final : public StateListener {
 public:
  static constexpr std::size_t kMaxOnTheWay = 200'000;  // in all lines together

  explicit Lines(Clock& clock) : clock_(clock) {}

  void join(State& state, Member& member);
  void leave(Member& member);

  // The next message of the line that may go out now; it is then out. Messages whose time has passed are
  // put into expired() instead.
  [[nodiscard]] std::optional<std::uint64_t> pick(Line& line);
  // It is not out any more; what comes next is settled() or returned(), or again().
  void ended(Line& line) { --line.out; }
  // It is ready once more, and nothing is logged of that.
  void again(Line& line, std::uint64_t sequence);

  // Lines that got something ready since the last call.
  [[nodiscard]] std::vector<Line*> take_stirred();
  // Does what is due; gives the time of the next thing, in wall milliseconds.
  [[nodiscard]] std::optional<std::int64_t> run_timers();
  // Messages that outlived their time and are not out: to be logged as expired.
  [[nodiscard]] std::map<std::uint64_t, std::set<std::uint64_t>> take_expired();  // topic id: sequences
  // Their expiry could not be logged yet; they come again from take_expired() in a second or two.
  void expire_later(std::uint64_t topic, const std::set<std::uint64_t>& sequences);
  void stir(Line& line);
  // Whether a member lost its last line since the last call.
  [[nodiscard]] bool take_members_ended() { return std::exchange(members_ended_, false); }
  [[nodiscard]] Line* find(std::uint64_t group) const;  // by its id; nullptr: gone

  // A gated subscription's messages may be on their way; when it is gated no more, all of them have arrived.
  void gate(const std::string& pattern, const std::string& group, bool on);
  // For every gated group of the topic that it waits for. When too many are on their way already, it is not.
  void set_out(Topic& topic, std::uint64_t sequence);
  void arrived(Line& line, std::uint64_t sequence);
  // All that set out at least `age_us` ago.
  void arrived_older(Line& line, std::int64_t age_us);
  [[nodiscard]] std::size_t on_the_way() const { return on_the_way_; }
  [[nodiscard]] std::vector<Line*> lines_of(const std::string& pattern, const std::string& group) const;
  [[nodiscard]] std::vector<Line*> all_lines() const;

  // Messages of the line that wait for their time.
  [[nodiscard]] std::uint64_t delayed(const Line& line) const;

  // StateListener
  void topic_added(Topic& topic) override;
  void group_added(Topic& topic, Group& group) override;
  void group_removed(Topic& topic, Group& group) override;
  void added(Topic& topic, std::uint64_t sequence) override;
  void settled(Topic& topic, Group& group, std::uint64_t sequence) override;
  void returned(Topic& topic, Group& group, std::uint64_t sequence) override;

 private:
  struct Timer {
    std::int64_t at_ms;
    std::uint64_t topic;
    std::uint64_t group;  // 0: the message expires
    std::uint64_t sequence;
    bool operator>(const Timer& other) const { return at_ms > other.at_ms; }
  };

  void available(Line& line, std::uint64_t sequence, const Entry& entry, bool timed);
  void delay(Line& line, std::uint64_t sequence, std::int64_t until_ms);
  void enqueue(Line& line, std::uint64_t sequence, std::uint64_t key);
  void ready(Line& line, std::uint64_t sequence);
  [[nodiscard]] static bool waits(const Line& line, std::uint64_t sequence);
  [[nodiscard]] std::optional<std::uint64_t> next(Line& line);
  [[nodiscard]] bool is_gated(const Line& line) const;
  void forget(Line& line, std::uint64_t sequence);
  void fire(const Timer& timer);

  Clock& clock_;
  std::map<std::uint64_t, Topic*> topics_;
  std::map<std::uint64_t, std::unique_ptr<Line>> lines_;  // by group id
  std::vector<Member*> members_;
  bool members_ended_ = false;
  std::vector<Line*> stirred_;
  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
  std::map<std::uint64_t, std::set<std::uint64_t>> expired_;
  std::set<std::pair<std::string, std::string>> gated_;  // pattern, group
  std::size_t on_the_way_ = 0;
};

}  // namespace ez::queue
