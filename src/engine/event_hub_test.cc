#include "engine/event_hub.h"

#include <gtest/gtest.h>

namespace ez::engine {
namespace {

core::RunEvent change(std::uint64_t run, std::uint32_t task = 0) {
  core::RunEvent event;
  event.run = RunId{run};
  event.task = task;
  return event;
}

// What a follower was told, as "id:run/task".
struct Follower {
  EventHub::Callback callback() {
    return [this](std::span<const HubEvent> events) {
      ++calls;
      for (const HubEvent& event : events) {
        seen.push_back(std::to_string(event.id) + ":" + std::to_string(event.event.run.value) + "/" +
                       std::to_string(event.event.task));
      }
    };
  }
  std::vector<std::string> seen;
  int calls = 0;
};
using Seen = std::vector<std::string>;

TEST(EventHub, EachFollowerIsToldWhatItFollowsInOrder) {
  EventHub hub;
  Follower all, one, again, other;
  const auto all_number = hub.subscribe(RunId{}, 0, all.callback());
  const auto one_number = hub.subscribe(RunId{1}, 0, one.callback());
  (void)hub.subscribe(RunId{1}, 0, again.callback());
  (void)hub.subscribe(RunId{2}, 0, other.callback());
  EXPECT_EQ(hub.subscribers(), 4U);
  const core::RunEvent first[] = {change(1, 1), change(3, 2), change(1, 3)};
  hub.publish(first, 10);
  EXPECT_EQ(all.seen, (Seen{"10:1/1", "11:3/2", "12:1/3"}));
  EXPECT_EQ(one.seen, (Seen{"10:1/1", "12:1/3"}));
  EXPECT_EQ(one.calls, 1);
  EXPECT_EQ(again.seen, one.seen);
  EXPECT_EQ(other.calls, 0);
  hub.unsubscribe(one_number.number);
  hub.unsubscribe(one_number.number);
  hub.unsubscribe(all_number.number);
  const core::RunEvent second[] = {change(2, 4), change(1, 5)};
  hub.publish(second, 20);
  EXPECT_EQ(all.seen.size(), 3U);
  EXPECT_EQ(one.seen.size(), 2U);
  EXPECT_EQ(again.seen.back(), "21:1/5");
  EXPECT_EQ(other.seen, (Seen{"20:2/4"}));
  EXPECT_EQ(hub.subscribers(), 2U);
}

TEST(EventHub, WhoComesLateGetsWhatIsKeptOrIsTold) {
  EventHub hub;
  hub.begin_after(5);
  const core::RunEvent events[] = {change(1, 1), change(2, 2), change(1, 3)};
  hub.publish(events, 6);
  Follower late;
  const auto found = hub.subscribe(RunId{1}, 6, late.callback());
  EXPECT_FALSE(found.gap);
  EXPECT_EQ(found.newest, 8U);
  EXPECT_EQ(late.seen, (Seen{"8:1/3"}));
  EXPECT_TRUE(hub.subscribe(RunId{1}, 4, late.callback()).gap) << "before what is kept";
  EXPECT_TRUE(hub.subscribe(RunId{1}, 9, late.callback()).gap) << "of another log";
}

TEST(EventHub, HasABound) {
  EventHub hub;
  Follower none;
  for (std::size_t i = 0; i < EventHub::kMaxSubscribers; ++i)
    ASSERT_NE(hub.subscribe(RunId{i + 1}, 0, none.callback()).number, 0U);
  EXPECT_EQ(hub.subscribe(RunId{1}, 0, none.callback()).number, 0U);
  const core::RunEvent event[] = {change(7)};
  hub.publish(event, 1);
  EXPECT_EQ(none.calls, 1);
}

}  // namespace
}  // namespace ez::engine
