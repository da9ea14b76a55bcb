#include "queue/manager/moves.h"

#include <gtest/gtest.h>

#include "log/testing.h"
#include "queue/manager/copies.h"
#include "queue/manager/inlet.h"

namespace ez::queue {
namespace {

std::vector<RouteConfig> three_routes() {
  return {{"audit.#", std::string(kEmbedded), std::string(kEmbedded), false},
          {"work.#", "redis", "kafka", true},
          {"", "redis", "rabbit", false}};
}

std::string primary_of(const std::vector<RouteRule>& rules, std::string_view topic) {
  for (const RouteRule& rule : rules) {
    if (covers(rule, topic)) return rule.config.primary + (rule.held ? " held" : "");
  }
  return "none";
}

TEST(Moves, EveryTopicOfABackendGoesWithIt) {
  const auto rules = rules_of(three_routes(), {{"redis", "kafka", "", 1}}, std::nullopt);
  EXPECT_EQ(primary_of(rules, "work.a"), "kafka");
  EXPECT_EQ(primary_of(rules, "orders"), "kafka");
  EXPECT_EQ(primary_of(rules, "audit.x"), "embedded");
  ASSERT_EQ(rules.size(), 3U);
  EXPECT_EQ(rules[1].config.fallback, "embedded") << "its fallback was where it goes";
  EXPECT_EQ(rules[2].config.fallback, "rabbit");
}

TEST(Moves, APatternMovesItsTopicsOnly) {
  const auto rules = rules_of(three_routes(), {{"redis", "kafka", "work.eu.*", 1}}, std::nullopt);
  EXPECT_EQ(primary_of(rules, "work.eu.a"), "kafka");
  EXPECT_EQ(primary_of(rules, "work.us.a"), "redis");
  EXPECT_EQ(primary_of(rules, "orders"), "redis");
  EXPECT_EQ(name_of(rules[1]), "work.eu.*");
}

TEST(Moves, WhatIsUnderWayHoldsBothSides) {
  const auto rules = rules_of(three_routes(), {}, Move{"redis", std::string(kEmbedded), "", 1});
  EXPECT_EQ(primary_of(rules, "orders"), "embedded held");
  EXPECT_EQ(primary_of(rules, "audit.x"), "embedded held");
  EXPECT_EQ(primary_of(rules, "work.a"), "redis") << "its consumers speak Redis";
}

TEST(Moves, ThereAndBackAndWhatTheConfigurationSaysAreForgotten) {
  const Move there{"redis", "kafka", "", 1};
  const Move back{"kafka", "redis", "", 2};
  EXPECT_EQ(that_matter({{"", "redis", "rabbit", false}}, {there, back}), std::vector<Move>{});
  EXPECT_EQ(that_matter(three_routes(), {there}), std::vector<Move>{there});
  const Move some{"redis", "kafka", "orders.eu", 3};
  const Move again{"kafka", "redis", "orders.eu", 4};
  EXPECT_EQ(that_matter(three_routes(), {some}), std::vector<Move>{some});
  EXPECT_EQ(that_matter(three_routes(), {some, again}), std::vector<Move>{});
  EXPECT_EQ(that_matter({{"", "kafka", "rabbit", false}}, {there}), std::vector<Move>{});
}

TEST(Moves, PatternsThatHaveATopicInCommon) {
  EXPECT_TRUE(overlap("a.#", "*.b"));
  EXPECT_TRUE(overlap("#", "x"));
  EXPECT_TRUE(overlap("a.#.z", "a.b.*.z"));
  EXPECT_TRUE(overlap("#.z", "a.#"));
  EXPECT_FALSE(overlap("a.*", "a"));
  EXPECT_FALSE(overlap("a.b", "a.c"));
  EXPECT_FALSE(overlap("#.z", "a.b"));
  EXPECT_FALSE(overlap("team/#", "a"));
  EXPECT_TRUE(overlap("team/#", "team/a.b"));
}

TEST(Moves, TheRecordIsReadAsItWasWritten) {
  MoveRecord record;
  record.made = {{"redis", "kafka", "", 17}, {"kafka", "rabbit", "a.#", 18}};
  EXPECT_EQ(read_moves(write_moves(record)), record);
  record.phase = MoveRecord::Phase::kRemoving;
  record.current = {"a", "b", "c.*", 19};
  EXPECT_EQ(read_moves(write_moves(record)), record);
  EXPECT_EQ(read_moves("no json"), MoveRecord{});
}

Lying lying(std::string id) {
  Lying out;
  out.message.id = std::move(id);
  out.message.topic = "orders";
  out.message.payload = "p";
  out.message.headers = {{"b", "2"}, {"a", "1"}};
  out.published_ms = 10'000;
  return out;
}

TEST(Copies, WhatMayNotChangeIsInTheDigest) {
  const Copy one = copy_of(lying("1"), "me", 20'000);
  Lying turned = lying("1");
  std::swap(turned.message.headers[0], turned.message.headers[1]);
  turned.message.headers.emplace_back(kJournalHeader, "other/1.2");
  turned.due_ms = 60'000;
  const Copy same = copy_of(turned, "me", 20'000);
  EXPECT_EQ(one.digest, same.digest);
  EXPECT_EQ(same.message.delay_ms, 40'000);
  EXPECT_TRUE(same.delayed);
  for (auto change : {+[](Message& m) { m.payload = "q"; }, +[](Message& m) { m.key = "k"; },
                      +[](Message& m) { m.priority = Priority::kLow; }, +[](Message& m) { m.id = "2"; },
                      +[](Message& m) { m.topic = "other"; }, +[](Message& m) { m.headers.pop_back(); }}) {
    Lying changed = lying("1");
    change(changed.message);
    EXPECT_NE(copy_of(changed, "me", 20'000).digest, one.digest);
  }
}

TEST(Copies, TimeThatHasPassedIsPassed) {
  Lying mortal = lying("1");
  mortal.message.ttl_ms = 15'000;
  EXPECT_EQ(copy_of(mortal, "me", 20'000).message.ttl_ms, 5'000);
  EXPECT_EQ(copy_of(mortal, "me", 25'000).kind, Copy::Kind::kExpired);
  Lying own = lying("1");
  own.message.headers.emplace_back(kJournalHeader, "me/4.7");
  EXPECT_EQ(copy_of(own, "me", 20'000).kind, Copy::Kind::kOwn);
  Lying large = lying("1");
  large.message.payload.assign(kMaxPayloadBytes + 1, 'x');
  EXPECT_EQ(copy_of(large, "me", 20'000).kind, Copy::Kind::kRefused);
}

TEST(Copies, TheManifestIsWholeOrRefused) {
  const log::TemporaryDirectory directory;
  const std::string path = directory.path() + "/manifest";
  EXPECT_FALSE(Manifest::read(path).ok());
  Manifest manifest;
  for (const char* id : {"1", "2", "3"}) manifest.digests.push_back(copy_of(lying(id), "me", 20'000).digest);
  std::sort(manifest.digests.begin(), manifest.digests.end());
  ASSERT_TRUE(manifest.write(path).ok());
  auto read = Manifest::read(path);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->digests, manifest.digests);
  EXPECT_TRUE(read->contains(copy_of(lying("2"), "me", 20'000).digest));
  EXPECT_FALSE(read->contains(copy_of(lying("4"), "me", 20'000).digest));
  std::FILE* file = std::fopen(path.c_str(), "r+b");
  ASSERT_NE(file, nullptr);
  std::fseek(file, 30, SEEK_SET);
  std::fputc('!', file);
  std::fclose(file);
  EXPECT_FALSE(Manifest::read(path).ok());
}

}  // namespace
}  // namespace ez::queue
