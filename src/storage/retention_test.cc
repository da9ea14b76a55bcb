#include "storage/retention.h"

#include "storage/test_support.h"

namespace ez::storage {
namespace {

constexpr std::int64_t kDayMs = 24LL * 3600 * 1000;

class RetentionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    history = std::move(*History::open(folder.path()));
    blobs = std::move(*BlobStore::open(folder.path(), {}, clock));
    logs = std::move(*AttemptLogs::open(folder.path(), {}));
    retention = std::make_unique<Retention>(*history, *blobs, *logs);
    ASSERT_TRUE(blobs->trust_references().ok());
  }
  // A finished run with an artifact of its own, one that all share, and a log; finished `days` ago.
  void add(std::uint64_t id, std::int64_t days, const std::string& workflow = "w") {
    HistoryRow row;
    row.id = RunId{id};
    row.namespace_name = "default";
    row.workflow = workflow;
    row.version = 1;
    row.state = "succeeded";
    row.priority = "normal";
    row.finished_ms = clock.now_ms() - days * kDayMs;
    row.created_ms = row.finished_ms - 5'000;
    row.record = "record";
    ASSERT_TRUE(history->append(std::span(&row, 1), LogIndex{id}).ok());
    const std::string owner = "run/r" + std::to_string(id);
    for (const std::string& text : {"own of " + owner, std::string("shared")}) {
      const auto put = blobs->put(text);
      ASSERT_TRUE(put.ok());
      ASSERT_TRUE(blobs->add_ref(owner, put->sha256).ok());
    }
    ASSERT_TRUE(logs->append({RunId{id}, "a", 1}, 0, "printed\n").ok());
  }
  std::size_t step(std::vector<RetentionRule> rules) {
    const auto removed = retention->step(rules, clock.now_ms());
    EXPECT_TRUE(removed.ok());
    return removed.ok() ? *removed : 0;
  }
  [[nodiscard]] bool there(std::uint64_t id) const { return history->get(RunId{id}).ok(); }
  void collect() {
    clock.ms += 2 * kDayMs;
    while (true) {
      const auto collected = blobs->collect(clock.now_ms(), kDayMs, 10);
      ASSERT_TRUE(collected.ok());
      if (collected->end) return;
    }
  }

  TemporaryFolder folder;
  ManualClock clock;
  std::unique_ptr<History> history;
  std::unique_ptr<BlobStore> blobs;
  std::unique_ptr<AttemptLogs> logs;
  std::unique_ptr<Retention> retention;
};

TEST_F(RetentionTest, OldRunsLeaveWithTheirBlobsAndLogs) {
  add(1, 40);
  add(2, 31);
  add(3, 29);
  const std::uint64_t logged = logs->stored_bytes();
  EXPECT_EQ(blobs->count(), 4U);
  EXPECT_EQ(step({{"", "", 30, 0}}), 2U);
  EXPECT_FALSE(there(1));
  EXPECT_FALSE(there(2));
  EXPECT_TRUE(there(3));
  EXPECT_EQ(logs->stored_bytes(), logged / 3);
  collect();
  EXPECT_EQ(blobs->count(), 2U);  // its own of the third, and what is shared with it
  EXPECT_EQ(blobs->refs("run/r3")->size(), 2U);
  EXPECT_TRUE(blobs->refs("run/r1")->empty());
}

TEST_F(RetentionTest, TheNewestSoManyStay) {
  for (std::uint64_t id = 1; id <= 5; ++id) add(id, static_cast<std::int64_t>(10 - id));
  EXPECT_EQ(step({{"", "", 0, 2}}), 3U);
  EXPECT_FALSE(there(3));
  EXPECT_TRUE(there(4));
  EXPECT_TRUE(there(5));
  EXPECT_EQ(step({{"", "", 0, 2}}), 0U);
}

TEST_F(RetentionTest, AWorkflowsOwnRuleReplacesTheRuleForAll) {
  add(1, 40, "kept");
  add(2, 40, "brief");
  add(3, 5, "brief");
  add(4, 40, "other");
  EXPECT_EQ(step({{"", "", 30, 0}, {"default", "kept", 365, 0}, {"default", "brief", 0, 1}}), 2U);
  EXPECT_TRUE(there(1));
  EXPECT_FALSE(there(2));
  EXPECT_TRUE(there(3));
  EXPECT_FALSE(there(4));
}

TEST_F(RetentionTest, ALongRunCountsFromItsEnd) {
  add(1, 3);
  HistoryRow row = *history->get(RunId{1});
  row.created_ms -= 100 * kDayMs;
  ASSERT_TRUE(history->append(std::span(&row, 1), LogIndex{1}).ok());
  EXPECT_EQ(step({{"", "", 30, 0}}), 0U);
  EXPECT_EQ(step({{"", "", 2, 0}}), 1U);
}

TEST_F(RetentionTest, AStepIsBoundedAndWithoutRulesNothingGoes) {
  std::vector<HistoryRow> rows(Retention::kRunsPerStep + 10);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i].id = RunId{i + 1};
    rows[i].namespace_name = "default";
    rows[i].workflow = "w";
    rows[i].state = "failed";
    rows[i].priority = "normal";
    rows[i].created_ms = rows[i].finished_ms = static_cast<std::int64_t>(i) + 1;
    rows[i].record = "x";
  }
  ASSERT_TRUE(history->append(rows, LogIndex{1}).ok());
  EXPECT_EQ(step({}), 0U);
  EXPECT_EQ(step({{"", "", 1, 0}}), Retention::kRunsPerStep);
  EXPECT_EQ(step({{"", "", 1, 0}}), 10U);
}

}  // namespace
}  // namespace ez::storage
