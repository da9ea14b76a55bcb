// The conformance suite of Log: what every provider has to do, whatever stands behind it. A provider's test
// program derives a LogHarness and instantiates LogConformance with it. One source file of a program includes
// it.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "log/log.h"
#include "log/testing.h"

namespace ez::log {

// One place where a log lives; opened several times in the course of a test, one handle at a time.
class LogHarness {
 public:
  virtual ~LogHarness() = default;
  virtual Result<std::unique_ptr<Log>> open() = 0;
};

struct HarnessFactory {
  std::string name;
  std::function<std::unique_ptr<LogHarness>()> make;
};

class LogConformance : public testing::TestWithParam<HarnessFactory> {
 protected:
  LogConformance() : harness_(GetParam().make()) {}

  // Opens, starts after `applied` and polls until it leads.
  void lead(std::uint64_t applied = 0) {
    log_.reset();
    auto opened = harness_->open();
    ASSERT_TRUE(opened.ok()) << opened.error().to_string();
    log_ = std::move(opened).value();
    listener_ = std::make_unique<RecordingListener>(applied);
    ASSERT_TRUE(log_->start(LogIndex{applied}, *listener_).ok());
    ASSERT_TRUE(poll_until(*log_, [&] { return listener_->leading; }));
  }
  void append(const std::string& bytes) {
    const Status status = log_->append(listener_->epoch, Ticket{++ticket_}, bytes);
    ASSERT_TRUE(status.ok()) << status.error().to_string();
    expected_.push_back(bytes);
  }
  void settle() {
    ASSERT_TRUE(poll_until(*log_, [&] {
      return !listener_->records.empty() && log_->last_index().value == expected_.size() &&
             listener_->records.back().index == expected_.size();
    }));
  }
  Code refusal(Epoch epoch, std::string bytes) {
    const Status status = log_->append(epoch, Ticket{++ticket_}, std::move(bytes));
    return status.ok() ? Code::Internal : status.error().code();
  }
  void snapshot(std::uint64_t index, const std::string& state) {
    auto writer = log_->begin_snapshot(LogIndex{index}, listener_->epoch);
    ASSERT_TRUE(writer.ok()) << writer.error().to_string();
    ASSERT_TRUE((*writer)->write(state).ok());
    ASSERT_TRUE((*writer)->commit().ok());
  }
  static std::string read_all(SnapshotReader& reader) {
    std::string out;
    for (;;) {
      auto part = reader.read(1000);
      EXPECT_TRUE(part.ok());
      EXPECT_LE(part->size(), 1000U);
      if (part->empty()) return out;
      out += *part;
    }
  }

  std::unique_ptr<LogHarness> harness_;
  std::unique_ptr<RecordingListener> listener_;  // outlives the log
  std::unique_ptr<Log> log_;
  std::vector<std::string> expected_;
  std::uint64_t ticket_ = 0;
};

TEST_P(LogConformance, AnEmptyLogLeadsItsFirstEpoch) {
  lead();
  EXPECT_EQ(log_->first_index().value, 1U);
  EXPECT_EQ(log_->last_index().value, 0U);
  EXPECT_GE(listener_->epoch.value, 1U);
  EXPECT_TRUE(listener_->records.empty());
  EXPECT_EQ(log_->bytes_since_snapshot(), 0U);
}

TEST_P(LogConformance, AppendsAreCommittedInOrderWithTheirTickets) {
  lead();
  for (int i = 0; i < 300; ++i) append("record " + std::to_string(i));
  settle();
  ASSERT_EQ(listener_->bodies(), expected_);
  for (std::size_t i = 0; i < expected_.size(); ++i) {
    EXPECT_EQ(listener_->records[i].ticket, i + 1);
    EXPECT_EQ(listener_->records[i].epoch, listener_->epoch.value);
  }
  EXPECT_TRUE(listener_->ended.empty());
}

TEST_P(LogConformance, ARecordIsReadBackWhileItIsKept) {
  lead();
  for (int i = 0; i < 50; ++i) {
    append("record " + std::to_string(i) + std::string(static_cast<std::size_t>(i) * 37, 'x'));
    if (i % 7 == 0) settle();
  }
  settle();
  for (int life = 0; life < 2; ++life) {
    for (std::uint64_t index = 1; index <= expected_.size(); ++index) {
      auto body = log_->read(LogIndex{index});
      ASSERT_TRUE(body.ok()) << body.error().to_string();
      EXPECT_EQ(*body, expected_[index - 1]);
    }
    for (const std::uint64_t absent : {std::uint64_t{0}, expected_.size() + 1}) {
      auto body = log_->read(LogIndex{absent});
      ASSERT_FALSE(body.ok());
      EXPECT_EQ(body.error().code(), Code::InvalidArgument);
    }
    lead(expected_.size());
    append("another");
    settle();
  }
}

TEST_P(LogConformance, AnyBytesComeBackFromAnyPoint) {
  lead();
  std::string all_bytes;
  for (int i = 0; i < 256; ++i) all_bytes.push_back(static_cast<char>(i));
  append("");
  append(all_bytes);
  append(std::string(100'000, '\0'));
  settle();
  append("x");
  settle();
  const Epoch before = listener_->epoch;
  for (std::uint64_t applied = 0; applied <= expected_.size(); ++applied) {
    lead(applied);
    const std::vector<std::string> rest(expected_.begin() + static_cast<std::ptrdiff_t>(applied),
                                        expected_.end());
    EXPECT_EQ(listener_->bodies(), rest) << "after " << applied;
    EXPECT_EQ(listener_->records_when_led, rest.size()) << "leadership comes after the last replayed record";
    for (const auto& record : listener_->records) {
      EXPECT_EQ(record.ticket, 0U) << "an earlier life wrote it";
      EXPECT_EQ(record.epoch, before.value);
    }
    EXPECT_GT(listener_->epoch, before) << "a new leader has a larger epoch";
  }
}

TEST_P(LogConformance, GoesOnWhereItStoppedAgainAndAgain) {
  for (int life = 0; life < 5; ++life) {
    lead();
    EXPECT_EQ(listener_->bodies(), expected_);
    for (int i = 0; i < 20; ++i) append("life " + std::to_string(life) + " record " + std::to_string(i));
    settle();
  }
  lead();
  EXPECT_EQ(listener_->bodies(), expected_);
}

TEST_P(LogConformance, RefusesOtherEpochsAndProposalsBeforeLeadership) {
  auto opened = harness_->open();
  ASSERT_TRUE(opened.ok());
  log_ = std::move(opened).value();
  EXPECT_EQ(refusal(Epoch{1}, "early"), Code::NotLeader);
  log_.reset();
  lead();
  EXPECT_EQ(refusal(Epoch{listener_->epoch.value - 1}, "old"), Code::NotLeader);
  EXPECT_EQ(refusal(Epoch{listener_->epoch.value + 1}, "future"), Code::NotLeader);
  append("present");
  settle();
  EXPECT_EQ(listener_->bodies(), expected_);
}

TEST_P(LogConformance, RecordsHaveALimit) {
  lead();
  EXPECT_EQ(refusal(listener_->epoch, std::string(kMaxRecordBytes + 1, 'x')), Code::PayloadTooLarge);
  append(std::string(kMaxRecordBytes, 'y'));
  settle();
  lead();
  EXPECT_EQ(listener_->bodies(), expected_);
}

TEST_P(LogConformance, WhatWaitsHasALimitAndThenThereIsRoomAgain) {
  lead();
  const std::string big(4 * 1024 * 1024, 'b');
  Status status;
  for (int i = 0; i < 40 && status.ok(); ++i) {
    status = log_->append(listener_->epoch, Ticket{++ticket_}, big);
    if (status.ok()) expected_.push_back(big);
  }
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), Code::Overloaded);
  EXPECT_GE(expected_.size() * big.size(), kMaxOutstandingBytes - 2 * big.size());
  settle();
  append("after");
  settle();
}

TEST_P(LogConformance, CallbacksMayAppend) {
  lead();
  listener_->on_committed = [&](const Record& record) {
    if (record.index.value < 50) append("next " + std::to_string(record.index.value));
  };
  append("first");
  ASSERT_TRUE(poll_until(*log_, [&] { return listener_->records.size() == 50; }));
  EXPECT_EQ(listener_->bodies(), expected_);
}

TEST_P(LogConformance, WakeEndsAWaitingPoll) {
  lead();
  log_->wake();
  log_->poll(std::chrono::minutes(10));  // hangs the test when a wake before the wait is lost
  std::thread other([&] { log_->wake(); });
  log_->poll(std::chrono::minutes(10));
  other.join();
}

TEST_P(LogConformance, SealEndsLeadershipAndAnswersEverything) {
  lead();
  append("one");
  settle();
  for (int i = 0; i < 10; ++i) append("pending " + std::to_string(i));
  const Epoch epoch = listener_->epoch;
  ASSERT_TRUE(log_->seal(epoch).ok());
  const std::uint64_t last = log_->last_index().value;
  EXPECT_EQ(refusal(epoch, "late"), Code::NotLeader);
  ASSERT_TRUE(poll_until(*log_, [&] { return !listener_->leading; }));
  ASSERT_TRUE(poll_until(*log_, [&] { return listener_->records.size() + listener_->ended.size() == 11; }));
  for (const auto& [ticket, outcome] : listener_->ended)
    EXPECT_EQ(outcome, AppendOutcome::kUnknown) << ticket;
  EXPECT_EQ(log_->last_index().value, last) << "nothing commits after seal()";
  ASSERT_TRUE(log_->seal(epoch).ok()) << "sealing twice is no error";
  const std::vector<std::string> committed = listener_->bodies();
  EXPECT_EQ(committed.size(), last);
  lead();
  EXPECT_EQ(listener_->bodies(), committed);
}

TEST_P(LogConformance, SnapshotsAreVisibleOnlyWhenCommittedAndTwoAreKept) {
  lead();
  EXPECT_EQ(log_->newest_snapshot().value(), nullptr);
  EXPECT_EQ(log_->oldest_snapshot().value(), nullptr);
  for (int i = 1; i <= 40; ++i) append("record " + std::to_string(i));
  settle();
  const auto ahead = log_->begin_snapshot(LogIndex{41}, listener_->epoch);
  EXPECT_EQ(ahead.ok() ? Code::Internal : ahead.error().code(), Code::InvalidArgument);
  {
    auto dropped = log_->begin_snapshot(LogIndex{10}, listener_->epoch);
    ASSERT_TRUE(dropped.ok());
    ASSERT_TRUE((*dropped)->write("never seen").ok());
    const auto second = log_->begin_snapshot(LogIndex{11}, listener_->epoch);
    EXPECT_EQ(second.ok() ? Code::Internal : second.error().code(), Code::Overloaded);
  }
  EXPECT_EQ(log_->newest_snapshot().value(), nullptr);

  std::string large;
  for (int i = 0; i < 200'000; ++i) large += std::to_string(i);
  snapshot(10, "ten");
  snapshot(20, large);
  const auto again = log_->begin_snapshot(LogIndex{20}, listener_->epoch);
  EXPECT_EQ(again.ok() ? Code::Internal : again.error().code(), Code::InvalidArgument);
  snapshot(30, "");
  const std::uint64_t epoch = listener_->epoch.value;
  for (int life = 0; life < 2; ++life) {
    auto newest = log_->newest_snapshot();
    ASSERT_TRUE(newest.ok()) << newest.error().to_string();
    EXPECT_EQ((*newest)->index().value, 30U);
    EXPECT_EQ((*newest)->epoch().value, epoch);
    EXPECT_EQ(read_all(**newest), "");
    auto oldest = log_->oldest_snapshot();
    ASSERT_TRUE(oldest.ok()) << oldest.error().to_string();
    EXPECT_EQ((*oldest)->index().value, 20U);
    EXPECT_EQ(read_all(**oldest), large);
    lead(30);
    EXPECT_EQ(listener_->records.size(), 10U);
  }
}

TEST_P(LogConformance, ASnapshotIsWrittenByAnotherThreadWhileTheLogGoesOn) {
  lead();
  append("one");
  settle();
  auto writer = log_->begin_snapshot(LogIndex{1}, listener_->epoch);
  ASSERT_TRUE(writer.ok());
  bool written = false;
  std::thread other([&, held = std::move(*writer)] {
    written = held->write(std::string(3'000'000, 's')).ok() && held->commit().ok();
  });
  for (int i = 0; i < 100; ++i) {
    append("meanwhile " + std::to_string(i));
    log_->poll(microseconds(0));
  }
  other.join();
  EXPECT_TRUE(written);
  settle();
  lead();
  EXPECT_EQ(listener_->bodies(), expected_);
  auto newest = log_->newest_snapshot();
  ASSERT_TRUE(newest.ok() && *newest != nullptr);
  EXPECT_EQ(read_all(**newest), std::string(3'000'000, 's'));
}

TEST_P(LogConformance, TrimRemovesOnlyWhatTheOldestSnapshotCovers) {
  lead();
  for (int i = 1; i <= 200; ++i) {
    append(std::string(1000, 'r') + std::to_string(i));
    if (i % 10 == 0) settle();
  }
  ASSERT_TRUE(log_->trim(LogIndex{150}).ok());
  EXPECT_EQ(log_->first_index().value, 1U) << "no snapshot: nothing is removed";
  const std::uint64_t all_bytes = log_->bytes_since_snapshot();
  EXPECT_GE(all_bytes, 200'000U);
  snapshot(100, "hundred");
  EXPECT_LT(log_->bytes_since_snapshot(), all_bytes);
  snapshot(180, "later");
  EXPECT_LT(log_->bytes_since_snapshot(), all_bytes / 2);
  ASSERT_TRUE(log_->trim(LogIndex{180}).ok());
  EXPECT_LE(log_->first_index().value, 101U);
  const std::uint64_t first = log_->first_index().value;
  EXPECT_EQ(log_->last_index().value, 200U);

  log_.reset();
  auto opened = harness_->open();
  ASSERT_TRUE(opened.ok()) << opened.error().to_string();
  log_ = std::move(opened).value();
  EXPECT_EQ(log_->first_index().value, first);
  if (first > 1) {
    RecordingListener stale(0);
    const Status refused = log_->start(LogIndex{first - 2}, stale);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code(), Code::LogDamaged);
  }
  lead(180);
  EXPECT_EQ(listener_->bodies(), std::vector<std::string>(expected_.begin() + 180, expected_.end()));
}

TEST_P(LogConformance, RefusesAStateThatIsAheadOfTheLog) {
  lead();
  append("one");
  settle();
  log_.reset();
  auto opened = harness_->open();
  ASSERT_TRUE(opened.ok());
  RecordingListener listener(2);
  const Status refused = (*opened)->start(LogIndex{2}, listener);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::LogDamaged);
}

}  // namespace ez::log
