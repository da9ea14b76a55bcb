#include "storage/history.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <thread>

#include "storage/sqlite.h"
#include "storage/test_support.h"

namespace ez::storage {
namespace {

namespace fs = std::filesystem;

HistoryRow row(std::uint64_t id) {
  HistoryRow out;
  out.id = RunId{id};
  out.namespace_name = id % 2 == 0 ? "default" : "team";
  out.workflow = "flow" + std::to_string(id % 3);
  out.version = 2;
  out.state = id % 5 == 0 ? "failed" : "succeeded";
  out.priority = "normal";
  out.created_ms = 1'000'000 + static_cast<std::int64_t>(id / 4) * 10;  // some share a time
  out.started_ms = out.created_ms + 1;
  out.finished_ms = out.created_ms + 50;
  out.cost_microusd = static_cast<std::int64_t>(id) * 1000;
  out.tasks = {10, 5, 1, 2, 2};
  out.record = text_bytes(id, id % 7 * 400);
  return out;
}

std::vector<HistoryRow> rows(std::uint64_t from, std::uint64_t to) {
  std::vector<HistoryRow> out;
  for (std::uint64_t id = from; id <= to; ++id) out.push_back(row(id));
  return out;
}

class HistoryTest : public testing::Test {
 protected:
  void SetUp() override { open(); }
  void open() {
    history.reset();
    auto opened = History::open(folder.path());
    EZ_ASSERT_OK(opened);
    history = std::move(*opened);
  }
  // All ids, page by page.
  std::vector<std::uint64_t> walk(const HistoryFilter& filter, std::size_t limit) {
    std::vector<std::uint64_t> ids;
    std::string cursor;
    do {
      auto page = history->list(filter, limit, cursor);
      EXPECT_TRUE(page.ok()) << page.error().to_string();
      EXPECT_LE(page->rows.size(), limit);
      for (const HistoryRow& at : page->rows) ids.push_back(at.id.value);
      cursor = page->next_cursor;
    } while (!cursor.empty());
    return ids;
  }

  TemporaryFolder folder;
  std::unique_ptr<History> history;
};

TEST_F(HistoryTest, StartsEmptyAtPositionZero) {
  EXPECT_EQ(history->position(), LogIndex{0});
  EXPECT_EQ(*history->count({}), 0U);
  EXPECT_TRUE(walk({}, 10).empty());
  EZ_EXPECT_CODE(history->get(RunId{1}), RunNotFound);
}

TEST_F(HistoryTest, KeepsRowsAndPositionTogether) {
  EZ_ASSERT_OK(history->append(rows(1, 50), LogIndex{77}));
  EZ_ASSERT_OK(history->append({}, LogIndex{80}));
  open();
  EXPECT_EQ(history->position(), LogIndex{80});
  EXPECT_EQ(*history->count({}), 50U);
  for (std::uint64_t id = 1; id <= 50; ++id) {
    auto got = history->get(RunId{id});
    EZ_ASSERT_OK(got);
    EXPECT_EQ(*got, row(id)) << id;
  }
  EZ_ASSERT_OK(history->check());
}

TEST_F(HistoryTest, AppendIsIdempotentAndPositionNeverGoesBack) {
  EZ_ASSERT_OK(history->append(rows(1, 20), LogIndex{40}));
  EZ_ASSERT_OK(history->append(rows(10, 20), LogIndex{30}));
  EXPECT_EQ(history->position(), LogIndex{40});
  EXPECT_EQ(*history->count({}), 20U);
  HistoryRow changed = row(5);
  changed.state = "cancelled";
  EZ_ASSERT_OK(history->append(std::span(&changed, 1), LogIndex{41}));
  EXPECT_EQ(history->get(RunId{5})->state, "cancelled");
  EXPECT_EQ(*history->count({}), 20U);
}

TEST_F(HistoryTest, AnyBytesAndShardedIds) {
  HistoryRow strange = row(1);
  strange.id = RunId{(0xffffULL << 48) | 3};
  strange.workflow = std::string("nul\0inside", 10);
  strange.record = random_bytes(1, 5000);
  EZ_ASSERT_OK(history->append(std::span(&strange, 1), LogIndex{1}));
  auto got = history->get(strange.id);
  EZ_ASSERT_OK(got);
  EXPECT_EQ(got->record, strange.record);
  EXPECT_EQ(got->id, strange.id);
  HistoryRow large = row(2);
  large.record.resize(kMaxRecordBytes + 1);
  EZ_EXPECT_CODE(history->append(std::span(&large, 1), LogIndex{2}), PayloadTooLarge);
  EXPECT_EQ(history->position(), LogIndex{1});
}

TEST_F(HistoryTest, ListsNewestFirstInPages) {
  EZ_ASSERT_OK(history->append(rows(1, 100), LogIndex{1}));
  std::vector<std::uint64_t> expected;
  for (std::uint64_t id = 100; id >= 1; --id) expected.push_back(id);
  for (const std::size_t limit : {1, 3, 7, 99, 100, 1000}) EXPECT_EQ(walk({}, limit), expected) << limit;
  EXPECT_TRUE(history->list({}, 5, "")->rows[0].record.empty());
}

TEST_F(HistoryTest, FiltersAgreeWithAPlainLoop) {
  EZ_ASSERT_OK(history->append(rows(1, 100), LogIndex{1}));
  for (const char* name : {"", "default", "team", "none"}) {
    for (const char* workflow : {"", "flow1"}) {
      for (const char* state : {"", "failed"}) {
        for (const bool ranged : {false, true}) {
          HistoryFilter filter{name, workflow, state, {}, {}};
          if (ranged) {
            filter.created_from_ms = 1'000'050;
            filter.created_before_ms = 1'000'200;
          }
          std::vector<std::uint64_t> expected;
          for (std::uint64_t id = 100; id >= 1; --id) {
            const HistoryRow at = row(id);
            if (*name != '\0' && at.namespace_name != name) continue;
            if (*workflow != '\0' && at.workflow != workflow) continue;
            if (*state != '\0' && at.state != state) continue;
            if (ranged && (at.created_ms < 1'000'050 || at.created_ms >= 1'000'200)) continue;
            expected.push_back(id);
          }
          EXPECT_EQ(walk(filter, 3), expected) << name << workflow << state << ranged;
          EXPECT_EQ(*history->count(filter), expected.size());
        }
      }
    }
  }
}

TEST_F(HistoryTest, CursorSurvivesAppendsAndRemovals) {
  EZ_ASSERT_OK(history->append(rows(1, 20), LogIndex{1}));
  auto first = history->list({}, 5, "");
  EZ_ASSERT_OK(first);
  EZ_ASSERT_OK(history->append(rows(21, 40), LogIndex{2}));
  EZ_ASSERT_OK(history->remove(first->rows.back().id));
  auto second = history->list({}, 5, first->next_cursor);
  EZ_ASSERT_OK(second);
  EXPECT_EQ(second->rows[0].id, RunId{15});
}

TEST_F(HistoryTest, WrongCursorsAreRefused) {
  EZ_ASSERT_OK(history->append(rows(1, 20), LogIndex{1}));
  const std::string good = history->list({}, 5, "")->next_cursor;
  for (const std::string& bad : {std::string("x"), good + "0", good.substr(1), "2" + good.substr(1),
                                 std::string("1' OR 1=1 --"), std::string(33, 'z'), std::string(33, '\0')}) {
    EZ_EXPECT_CODE(history->list({}, 5, bad), RequestInvalid);
  }
}

TEST_F(HistoryTest, RetentionRemovesTheOldest) {
  EZ_ASSERT_OK(history->append(rows(1, 20), LogIndex{1}));
  auto ids = history->oldest(row(9).created_ms, 5);
  EZ_ASSERT_OK(ids);
  EXPECT_EQ(*ids, (std::vector{RunId{1}, RunId{2}, RunId{3}, RunId{4}, RunId{5}}));
  EXPECT_EQ(*history->remove(*ids), 5U);
  EXPECT_EQ(*history->remove(*ids), 0U);
  EXPECT_EQ(*history->count({}), 15U);
  EZ_EXPECT_CODE(history->get(RunId{1}), RunNotFound);
  EXPECT_EQ(history->position(), LogIndex{1});
}

TEST_F(HistoryTest, ReadersSeeWholeAppendsWhileOneWrites) {
  std::atomic<bool> done{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> readers;
  for (std::size_t t = 0; t < kReaders + 2; ++t) {
    readers.emplace_back([&] {
      while (!done) {
        auto page = history->list({}, 1000, "");
        if (!page.ok() || page->rows.size() % 10 != 0) ++wrong;
        if (!page->rows.empty() && !history->get(page->rows[0].id).ok()) ++wrong;
      }
    });
  }
  for (std::uint64_t batch = 0; batch < 50; ++batch) {
    EXPECT_TRUE(history->append(rows(batch * 10 + 1, batch * 10 + 10), LogIndex{batch + 1}).ok());
  }
  done = true;
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(*history->count({}), 500U);
}

TEST_F(HistoryTest, NewerSchemaIsRefused) {
  history.reset();
  {
    auto database = Database::open(folder / "history.db", Database::Mode::kReadWrite, Code::Internal);
    EZ_ASSERT_OK(database);
    EZ_ASSERT_OK((*database)->execute("UPDATE schema_version SET version=3"));
  }
  auto opened = History::open(folder.path());
  EZ_EXPECT_CODE(opened, HistoryFailed);
  EXPECT_NE(opened.error().hint().find("newer ez"), std::string_view::npos);
}

TEST_F(HistoryTest, ForeignDatabaseIsRefused) {
  TemporaryFolder other;
  {
    auto database = Database::open(other / "history.db", Database::Mode::kReadWrite, Code::Internal);
    EZ_ASSERT_OK(database);
    EZ_ASSERT_OK((*database)->execute("CREATE TABLE mine(x)"));
  }
  EZ_EXPECT_CODE(History::open(other.path()), HistoryFailed);
}

// Flips one byte in every page: opening, reading and checking may fail, but never crash or give another
// record.
TEST_F(HistoryTest, DamageIsReportedWithAdvice) {
  EZ_ASSERT_OK(history->append(rows(1, 60), LogIndex{9}));
  history.reset();
  const std::string good = read_file(folder / "history.db");
  ASSERT_GT(good.size(), 8192U);
  write_file(folder / "history.db", random_bytes(4, 20'000));
  auto garbage = History::open(folder.path());
  EZ_EXPECT_CODE(garbage, HistoryFailed);
  EXPECT_NE(garbage.error().hint().find("move history.db"), std::string_view::npos);

  SeededRandom random(11);
  int reported = 0;
  for (int round = 0; round < 60; ++round) {
    std::string bad = good;
    for (int flip = 0; flip < 40; ++flip) {
      bad[random.below(bad.size())] ^= static_cast<char>(1 + random.below(255));
    }
    write_file(folder / "history.db", bad);
    for (const char* name : {"history.db-wal", "history.db-shm"}) fs::remove(folder / name);
    auto opened = History::open(folder.path());
    if (!opened.ok()) {
      EXPECT_EQ(opened.error().code(), Code::HistoryFailed) << opened.error().to_string();
      ++reported;
      continue;
    }
    const Status checked = (*opened)->check();
    reported += !checked.ok();
    for (std::uint64_t id = 1; id <= 60; ++id) {
      auto got = (*opened)->get(RunId{id});
      if (got.ok() && row(id).record.size() > 512 && got->record.size() == row(id).record.size()) {
        EXPECT_EQ(got->record, row(id).record) << id;
      }
    }
    EXPECT_TRUE((*opened)->list({}, 100, "").ok() || !checked.ok());
  }
  EXPECT_GT(reported, 30);
}

// The bar: 20,000 rows a second in batches. Prints what this machine does; fails far below it.
TEST_F(HistoryTest, AppendsFast) {
  constexpr std::uint64_t kBatches = 20;
  constexpr std::uint64_t kBatch = 1000;
  std::vector<std::vector<HistoryRow>> batches;
  for (std::uint64_t b = 0; b < kBatches; ++b) {
    batches.push_back(rows(b * kBatch + 1, (b + 1) * kBatch));
    for (HistoryRow& at : batches.back()) at.record = text_bytes(at.id.value, 1500);
  }
  const std::int64_t start = system_clock().monotonic_us();
  for (std::uint64_t b = 0; b < kBatches; ++b) EZ_ASSERT_OK(history->append(batches[b], LogIndex{b + 1}));
  const double seconds = static_cast<double>(system_clock().monotonic_us() - start) / 1e6;
  const double rate = static_cast<double>(kBatches * kBatch) / seconds;
  RecordProperty("rows_per_second", std::to_string(static_cast<long>(rate)));
  std::printf("history: %.0f rows/s with records of 1500 bytes\n", rate);
  EXPECT_GT(rate, 1000.0);
}

}  // namespace
}  // namespace ez::storage
