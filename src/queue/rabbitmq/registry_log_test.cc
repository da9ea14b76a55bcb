// The text of the registry's message.
#include "queue/rabbitmq/registry_log.h"

#include <gtest/gtest.h>

#include "queue/broker/registry.h"

namespace ez::queue::rabbitmq {
namespace {

using broker::drop_event;
using broker::group_event;
using broker::topic_event;

TEST(RegistryText, ComesBackAsItWasWritten) {
  const std::vector<std::string> events{"", topic_event("a.b"), "", "", group_event({"a.#", "g"}), ""};
  const std::string text = registry_text::write(events);
  EXPECT_EQ(registry_text::count(text), events.size());
  EXPECT_EQ(registry_text::events(text), events);
  EXPECT_EQ(registry_text::events(registry_text::write({})), std::vector<std::string>{});
}

TEST(RegistryText, OfOthersIsReadAsFarAsItGoes) {
  EXPECT_EQ(registry_text::events("").size(), 0U);
  EXPECT_EQ(registry_text::events("nothing").size(), 0U);
  EXPECT_EQ(registry_text::events("2\nskip 99999999999\n").size(), 2U);
  EXPECT_EQ(registry_text::events("1\na\nb\n").size(), 1U);
}

// What tidy() leaves out changes nothing of what a registry knows.
TEST(RegistryText, BroadcastGroupsThatWereDroppedLeaveNothing) {
  std::vector<std::string> events{
      topic_event("t"), group_event({"t", "~1"}), group_event({"#", "stays"}), drop_event({"t", "~1"}),
      topic_event("u"), group_event({"t", "~2"}), drop_event({"#", "stays"}),  group_event({"u", "new"})};
  broker::Registry whole;
  for (const std::string& event : events) whole.apply(event);
  registry_text::tidy(events);
  EXPECT_EQ(events[1], "");
  EXPECT_EQ(events[3], "");
  EXPECT_NE(events[5], "") << "its reader lives";
  EXPECT_NE(events[6], "") << "a group that is no broadcast has changed the numbers of others";
  broker::Registry tidied;
  for (const std::string& event : registry_text::events(registry_text::write(events))) tidied.apply(event);
  EXPECT_EQ(tidied.events(), whole.events());
  EXPECT_EQ(tidied.groups(), whole.groups());
  for (const char* topic : {"t", "u"}) EXPECT_EQ(tidied.queues_of(topic), whole.queues_of(topic));
}

}  // namespace
}  // namespace ez::queue::rabbitmq
