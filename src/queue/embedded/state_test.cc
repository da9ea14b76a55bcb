#include "queue/embedded/state.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.h"
#include "log/testing.h"
#include "queue/embedded/lines.h"

namespace ez::queue {
namespace {

class StateTest : public testing::Test {
 protected:
  Applied apply(std::string record) {
    auto applied = state_->apply(++index_, record, lines_);
    EXPECT_TRUE(applied.ok()) << applied.error().to_string();
    records_.push_back(std::move(record));
    return applied.ok() ? *applied : Applied{};
  }
  Applied publish(const std::string& topic, const std::string& id, const std::string& key = "",
                  std::int64_t ttl_ms = 0) {
    Message message;
    message.topic = topic;
    message.id = id;
    message.key = key;
    message.payload = "payload of " + id;
    message.ttl_ms = ttl_ms;
    const Message* one = &message;
    const char own = 0;
    RecordWriter writer(clock_.now_ms());
    writer.publish(topic, std::span(&one, 1), std::span(&own, 1));
    return apply(writer.take());
  }
  void group(const std::string& pattern, const std::string& name) {
    RecordWriter writer(clock_.now_ms());
    writer.group(pattern, name, true);
    apply(writer.take());
  }
  Topic& topic(const std::string& name) { return *state_->topic_named(name); }
  Group& group_of(const std::string& topic_name, const std::string& name) {
    return *topic(topic_name).group_named(name);
  }
  void ack(const std::string& topic_name, const std::string& name, std::vector<std::uint64_t> sequences) {
    RecordWriter writer(clock_.now_ms());
    writer.ack(topic(topic_name).id, group_of(topic_name, name).id, sequences);
    apply(writer.take());
  }
  std::string text(const Ref& ref) {
    return std::string(std::string_view(records_[ref.record - 1]).substr(ref.offset, ref.bytes));
  }
  // The state survives a snapshot, byte for byte.
  void expect_same_after_snapshot() {
    const std::string bytes = state_->encode();
    auto decoded = State::decode(bytes, index_);
    ASSERT_TRUE(decoded.ok()) << decoded.error().to_string();
    EXPECT_TRUE((*decoded)->encode() == bytes);
    EXPECT_EQ((*decoded)->oldest_record(), state_->oldest_record());
    EXPECT_EQ((*decoded)->live_bytes(), state_->live_bytes());
  }

  log::ManualClock clock_;
  Lines lines_{clock_};
  std::unique_ptr<State> state_ = std::make_unique<State>();
  std::vector<std::string> records_;
  std::uint64_t index_ = 0;
};

TEST_F(StateTest, RefersToTheBytesInTheRecord) {
  group("jobs", "workers");
  publish("jobs", "a");
  const Entry* entry = topic("jobs").find(1);
  ASSERT_NE(entry, nullptr);
  auto delivery = decode_message(text(entry->ref), "jobs");
  ASSERT_TRUE(delivery.ok());
  EXPECT_EQ(delivery->message.id, "a");
  EXPECT_EQ(delivery->message.payload, "payload of a");
  EXPECT_EQ(delivery->published_ms, clock_.now_ms());
  expect_same_after_snapshot();
}

TEST_F(StateTest, NothingRefersToARecordWhenAllGroupsAreDone) {
  group("jobs", "a");
  group("jobs", "b");
  publish("jobs", "one");
  EXPECT_EQ(state_->oldest_record(), index_);
  ack("jobs", "a", {1});
  EXPECT_EQ(topic("jobs").live, 1U);
  ack("jobs", "b", {1});
  EXPECT_EQ(topic("jobs").live, 0U);
  EXPECT_EQ(topic("jobs").bytes, 0U);
  EXPECT_EQ(state_->oldest_record(), index_ + 1);
  ack("jobs", "b", {1, 7});  // again, and one that never was: nothing happens
  expect_same_after_snapshot();
}

TEST_F(StateTest, AnIdIsTakenOnceAlsoAfterASnapshot) {
  EXPECT_FALSE(publish("jobs", "same").duplicates[0]);
  EXPECT_TRUE(publish("jobs", "same").duplicates[0]);
  EXPECT_FALSE(publish("other", "same").duplicates[0]);
  auto decoded = State::decode(state_->encode(), index_);
  ASSERT_TRUE(decoded.ok());
  state_ = std::move(*decoded);
  EXPECT_TRUE(publish("jobs", "same").duplicates[0]);
  EXPECT_EQ(topic("jobs").live, 1U);
}

TEST_F(StateTest, DeadLettersKeepTheMessageAndItsHistory) {
  group("jobs", "workers");
  publish("jobs", "a", "key");
  const std::uint64_t record = index_;
  RecordWriter nack(clock_.now_ms());
  nack.nack(topic("jobs").id, group_of("jobs", "workers").id, 0, "first", std::vector<std::uint64_t>{1});
  apply(nack.take());
  RecordWriter bury(clock_.now_ms());
  bury.bury(topic("jobs").id, group_of("jobs", "workers").id, 1, "second");
  apply(bury.take());
  EXPECT_EQ(topic("jobs").live, 0U);
  ASSERT_EQ(state_->dead().size(), 1U);
  const DeadLetter letter = state_->dead().begin()->second;
  EXPECT_EQ(letter.attempts, 2U);
  EXPECT_EQ(letter.reason, "second");
  ASSERT_EQ(letter.history.size(), 2U);
  EXPECT_EQ(letter.history[0].second, "first");
  EXPECT_EQ(letter.ref.record, record);
  EXPECT_EQ(state_->oldest_record(), record);
  expect_same_after_snapshot();

  // Moved forward, it lets go of the old record.
  RecordWriter move(clock_.now_ms());
  const std::vector<std::pair<std::uint64_t, std::string>> bytes{{letter.number, text(letter.ref)}};
  move.move(0, bytes);
  apply(move.take());
  EXPECT_EQ(state_->oldest_record(), index_);
  EXPECT_EQ(text(state_->dead().begin()->second.ref), bytes[0].second);

  // Redriven, it goes back to its own group only.
  group("jobs", "others");
  RecordWriter redrive(clock_.now_ms());
  redrive.redrive(std::vector<std::uint64_t>{letter.number, letter.number + 5});
  EXPECT_EQ(apply(redrive.take()).count, 1U);
  EXPECT_TRUE(state_->dead().empty());
  EXPECT_EQ(topic("jobs").waiting_in(group_of("jobs", "workers").slot), 1U);
  EXPECT_EQ(topic("jobs").waiting_in(group_of("jobs", "others").slot), 0U);
  expect_same_after_snapshot();
}

TEST_F(StateTest, PurgeKeepsWhatIsNamed) {
  group("jobs", "workers");
  for (int i = 0; i < 200; ++i) publish("jobs", std::to_string(i));
  RecordWriter purge(clock_.now_ms());
  purge.purge(topic("jobs").id, 150, std::vector<std::uint64_t>{3, 70});
  EXPECT_EQ(apply(purge.take()).count, 148U);
  EXPECT_EQ(topic("jobs").live, 52U);
  EXPECT_NE(topic("jobs").find(3), nullptr);
  EXPECT_NE(topic("jobs").find(151), nullptr);
  EXPECT_EQ(topic("jobs").find(150), nullptr);
  expect_same_after_snapshot();
}

TEST_F(StateTest, MessagesMoveForward) {
  group("jobs", "workers");
  publish("jobs", "a");
  publish("jobs", "b");
  auto kept = state_->kept_of(index_ - 1);
  ASSERT_EQ(kept.size(), 1U);
  ASSERT_EQ(kept[0].second, (std::vector<std::uint64_t>{1}));
  RecordWriter writer(clock_.now_ms());
  const std::vector<std::pair<std::uint64_t, std::string>> moved{{1, text(topic("jobs").find(1)->ref)}};
  writer.move(kept[0].first->id, moved);
  apply(writer.take());
  EXPECT_EQ(state_->oldest_record(), index_ - 1);
  EXPECT_EQ(decode_message(text(topic("jobs").find(1)->ref), "jobs")->message.id, "a");
  EXPECT_EQ(state_->kept_of(index_).size(), 1U);
  expect_same_after_snapshot();
}

TEST_F(StateTest, ATimeToLiveEndsOnce) {
  group("jobs", "workers");
  publish("jobs", "brief", "", 100);
  EXPECT_TRUE(lines_.take_expired().empty());
  clock_.advance_ms(101);
  static_cast<void>(lines_.run_timers());
  const auto expired = lines_.take_expired();
  ASSERT_EQ(expired.size(), 1U);
  RecordWriter writer(clock_.now_ms());
  writer.expire(topic("jobs").id, std::vector<std::uint64_t>{1});
  apply(writer.take());
  EXPECT_EQ(topic("jobs").live, 0U);
  EXPECT_EQ(topic("jobs").expired, 1U);
  EXPECT_TRUE(topic("jobs").timing.empty());
}

TEST_F(StateTest, BrokenBytesAreRefused) {
  group("jobs", "workers");
  publish("jobs", "a");
  const std::string good = records_.back();
  SeededRandom random(7);
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string bad = good;
    for (std::uint64_t n = 1 + random.below(3); n > 0; --n) {
      bad[random.below(bad.size())] = static_cast<char>(random.next());
    }
    if (random.chance(1, 4)) bad.resize(random.below(bad.size()));
    State state;
    Lines lines(clock_);
    if (!state.apply(1, bad, lines).ok()) ++refused;
  }
  EXPECT_GT(refused, 1000);
  const std::string snapshot = state_->encode();
  for (int i = 0; i < 3000; ++i) {
    std::string bad = snapshot;
    bad[random.below(bad.size())] = static_cast<char>(random.next());
    if (random.chance(1, 2)) bad.resize(random.below(bad.size()));
    static_cast<void>(State::decode(bad, index_).ok());
  }
  RecordWriter writer(0);
  std::string newer = writer.take();
  newer[0] = 2;
  State state;
  EXPECT_EQ(state.apply(1, newer, lines_).error().code(), Code::LogFormatNewer);
}

// Random records, applied twice: once straight, once with a snapshot in between now and then.
TEST_F(StateTest, TheSameLogGivesTheSameState) {
  SeededRandom random(42);
  const std::vector<std::string> topics{"jobs", "orders.new", "orders.old", "team/x"};
  const std::vector<std::string> groups{"a", "b"};
  auto replica = std::make_unique<State>();
  auto replica_lines = std::make_unique<Lines>(clock_);
  for (int step = 0; step < 3000; ++step) {
    clock_.advance_ms(static_cast<std::int64_t>(random.below(50)));
    const std::string& name = topics[random.below(topics.size())];
    const std::size_t before = records_.size();
    Topic* found = state_->topic_named(name);
    const std::uint64_t kind = random.below(20);
    RecordWriter writer(clock_.now_ms());
    if (found == nullptr || kind < 9) {
      publish(name, "i" + std::to_string(random.below(2000)), random.chance(1, 2) ? "k" : "",
              random.chance(1, 9) ? 500 : 0);
    } else if (kind == 9) {
      group(random.chance(1, 2) ? name : "orders.#", groups[random.below(2)]);
    } else if (kind == 10) {
      writer.drop_group(random.chance(1, 2) ? name : "orders.#", groups[random.below(2)]);
      apply(writer.take());
    } else {
      Group* of = found->group_named(groups[random.below(2)]);
      const std::vector<std::uint64_t> some{1 + random.below(found->next_sequence)};
      if (kind < 16 && of != nullptr) writer.ack(found->id, of->id, some);
      if (kind == 16 && of != nullptr) writer.nack(found->id, of->id, clock_.now_ms() + 50, "no", some);
      if (kind == 17 && of != nullptr) writer.bury(found->id, of->id, some[0], "dead");
      if (kind == 18) writer.expire(found->id, some);
      if (kind == 19 && random.chance(1, 10)) writer.purge(found->id, some[0], {});
      if (kind == 19) writer.redrive(std::vector<std::uint64_t>{1 + random.below(40)});
      apply(writer.take());
    }
    for (std::size_t i = before; i < records_.size(); ++i) {
      ASSERT_TRUE(replica->apply(i + 1, records_[i], *replica_lines).ok());
    }
    if (random.chance(1, 100)) {
      const std::string bytes = replica->encode();
      auto decoded = State::decode(bytes, index_);
      ASSERT_TRUE(decoded.ok()) << decoded.error().to_string();
      auto lines = std::make_unique<Lines>(clock_);
      (*decoded)->introduce(*lines);
      replica = std::move(*decoded);
      replica_lines = std::move(lines);
    }
  }
  EXPECT_TRUE(replica->encode() == state_->encode());
  EXPECT_GT(state_->dead().size() + topic("jobs").published, 100U);
}

}  // namespace
}  // namespace ez::queue
