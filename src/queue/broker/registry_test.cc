#include "queue/broker/registry.h"

#include <gtest/gtest.h>

namespace ez::queue::broker {
namespace {

using Numbers = std::vector<QueueNumber>;

TEST(RegistryTest, TheFirstGroupGetsWhatWasKept) {
  Registry registry;
  registry.apply(topic_event("orders.new"));
  EXPECT_EQ(registry.queues_of("orders.new"), Numbers{0});
  registry.apply(group_event({"orders.*", "billing"}));
  registry.apply(group_event({"#", "audit"}));
  EXPECT_EQ(registry.queues_of("orders.new"), (Numbers{0, 3}));
  EXPECT_EQ(registry.reader_of("orders.new", 0)->group, "billing");
  EXPECT_EQ(registry.reader_of("orders.new", 3)->group, "audit");
}

TEST(RegistryTest, TopicsThatComeLaterAreReadByTheGroupsThatAreThere) {
  Registry registry;
  registry.apply(group_event({"b.#", "late"}));
  registry.apply(group_event({"a.#", "one"}));
  registry.apply(topic_event("a.x"));
  registry.apply(topic_event("a.y"));
  const auto queues = registry.queues_of(GroupName{"a.#", "one"});
  ASSERT_EQ(queues.size(), 2U);
  EXPECT_EQ(queues[0].topic, "a.x");
  EXPECT_EQ(queues[0].queue, 0U);
  EXPECT_EQ(queues[1].topic, "a.y");
}

TEST(RegistryTest, ABroadcastNeverTakesWhatIsKept) {
  Registry registry;
  registry.apply(topic_event("t"));
  registry.apply(group_event({"t", "~1"}));
  EXPECT_EQ(registry.queues_of("t"), (Numbers{0, 2}));
  registry.apply(group_event({"t", "g"}));
  EXPECT_EQ(registry.reader_of("t", 0)->group, "g");
  EXPECT_EQ(registry.queues_of("t"), (Numbers{0, 2}));
  // The same when the groups are there first.
  registry.apply(group_event({"u", "~2"}));
  registry.apply(group_event({"u", "g"}));
  registry.apply(topic_event("u"));
  EXPECT_EQ(registry.reader_of("u", 0)->group, "g");
}

TEST(RegistryTest, ADroppedGroupComesBackAsANewOne) {
  Registry registry;
  registry.apply(topic_event("t"));
  registry.apply(group_event({"t", "a"}));
  registry.apply(group_event({"t", "b"}));
  registry.apply(drop_event({"t", "a"}));
  EXPECT_EQ(registry.queues_of("t"), Numbers{3}) << "b stays, nothing is kept";
  registry.apply(group_event({"t", "a"}));
  EXPECT_EQ(registry.reader_of("t", 5)->group, "a");
  registry.apply(drop_event({"t", "a"}));
  registry.apply(drop_event({"t", "b"}));
  EXPECT_EQ(registry.queues_of("t"), Numbers{0}) << "kept again";
}

const std::string kRules = rules_event(rules_text({{"jobs.done", ReaderRule::Who::kOne, "ez-dispatch"},
                                                   {"jobs.here", ReaderRule::Who::kAll, ""},
                                                   {"jobs.#", ReaderRule::Who::kNobody, ""}}));

// What programs of others consume at the broker stays in queue 0, whoever of ours would match it first.
TEST(RegistryTest, RulesKeepGroupsThatFollowThemFromTopics) {
  Registry registry;
  registry.apply(kRules);
  for (const GroupName& group : {GroupName{"#", "audit"}, GroupName{"jobs.done", "ez-dispatch"}}) {
    registry.apply(follow_event(group));
    registry.apply(group_event(group));
  }
  registry.apply(group_event({"jobs.#", "outside"}));  // of a program of somebody else
  for (const char* topic : {"jobs.render", "jobs.done", "jobs.here", "orders"})
    registry.apply(topic_event(topic));
  EXPECT_EQ(registry.reader_of("jobs.render", 0)->group, "outside");
  EXPECT_EQ(registry.queues_of("jobs.render").size(), 1U);
  EXPECT_EQ(registry.reader_of("jobs.done", 0)->group, "ez-dispatch")
      << "the first one of ours takes queue 0";
  EXPECT_EQ(registry.reader_of("jobs.here", 0)->group, "audit");
  EXPECT_EQ(registry.reader_of("orders", 0)->group, "audit");
  registry.apply(drop_event({"jobs.#", "outside"}));
  EXPECT_EQ(registry.queues_of("jobs.render"), Numbers{0})
      << "kept, for programs that know nothing of groups";
  EXPECT_FALSE(registry.reader_of("jobs.render", 0).has_value());
}

TEST(RegistryTest, RulesThatComeLaterTakeTopicsFromGroupsAndGiveThemBack) {
  Registry registry;
  registry.apply(topic_event("jobs.render"));
  for (const char* name : {"one", "two"}) registry.apply(group_event({"#", name}));
  EXPECT_EQ(registry.queues_of("jobs.render"), (Numbers{0, 3}));
  registry.apply(kRules);
  EXPECT_EQ(registry.queues_of("jobs.render"), (Numbers{0, 3})) << "neither has said that it follows";
  registry.apply(follow_event({"#", "one"}));
  registry.apply(follow_event({"#", "two"}));
  EXPECT_EQ(registry.queues_of("jobs.render"), Numbers{0});
  EXPECT_TRUE(registry.queues_of(GroupName{"#", "two"}).empty());
  EXPECT_EQ(registry.rules(), "one jobs.done ez-dispatch;all jobs.here;nobody jobs.#");
  registry.apply(rules_event(""));
  EXPECT_EQ(registry.reader_of("jobs.render", 0)->group, "one");
  EXPECT_EQ(registry.reader_of("jobs.render", 3)->group, "two");
}

TEST(RegistryTest, RulesThatAreNotUnderstoodHoldForNothing) {
  Registry registry;
  registry.apply(follow_event({"#", "g"}));
  registry.apply(group_event({"#", "g"}));
  registry.apply(rules_event("nobody;;nobody a..b; nobody  t ;what u"));
  registry.apply(topic_event("t"));
  registry.apply(topic_event("u"));
  EXPECT_FALSE(registry.reader_of("t", 0).has_value());
  EXPECT_TRUE(registry.reader_of("u", 0).has_value());
}

TEST(RegistryTest, RepetitionsAndNonsenseChangeNothing) {
  Registry registry;
  for (const std::string& event : {topic_event("t"), topic_event("t"), group_event({"t", "g"}),
                                   group_event({"t", "g"}), drop_event({"x", "y"}), topic_event("no good"),
                                   std::string("topic"), std::string(), std::string("\x1f\x1f\x1f")}) {
    registry.apply(event);
  }
  EXPECT_EQ(registry.topics("#"), std::vector<std::string>{"t"});
  EXPECT_EQ(registry.groups().size(), 1U);
  EXPECT_EQ(registry.queues_of("t"), Numbers{0});
  EXPECT_TRUE(registry.queues_of("absent").empty());
}

TEST(RegistryTest, NamespacesStayApart) {
  Registry registry;
  registry.apply(group_event({"#", "all"}));
  registry.apply(topic_event("team/a"));
  EXPECT_FALSE(registry.reader_of("team/a", 0).has_value());
  EXPECT_EQ(registry.topics("team/#"), std::vector<std::string>{"team/a"});
}

}  // namespace
}  // namespace ez::queue::broker
