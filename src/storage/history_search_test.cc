#include <gtest/gtest.h>

#include <filesystem>

#include "storage/history.h"
#include "storage/sqlite.h"
#include "storage/test_support.h"

namespace ez::storage {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kRows = 240;

HistoryRow row(std::uint64_t id) {
  static constexpr const char* kStates[] = {"succeeded", "succeeded", "failed", "cancelled", "succeeded"};
  HistoryRow out;
  out.id = RunId{id};
  out.namespace_name = id % 4 == 0 ? "team" : "default";
  out.workflow = id % 3 == 0 ? "Nightly-build" : "deploy" + std::to_string(id % 7);
  out.version = 1;
  out.state = kStates[id % 5];
  out.priority = "normal";
  out.created_ms = 1'000'000 + static_cast<std::int64_t>(id / 3) * 10;  // some share a time
  out.finished_ms = out.created_ms + static_cast<std::int64_t>(id % 11) * 100;
  out.started_by = id % 6 == 0 ? "ada@example.com" : "ci";
  if (out.state == "failed") out.error_code = id % 2 == 0 ? "VERIFY_FAILED" : "COMMAND_FAILED";
  if (id % 2 == 0) out.labels.emplace_back("env", id % 8 == 0 ? "prod" : "test");
  if (id % 5 == 0) out.labels.emplace_back("team", "storage");
  out.record = "r";
  return out;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
bool contains(std::string text, std::string part) {
  for (char& c : text) c = lower(c);
  for (char& c : part) c = lower(c);
  return text.find(part) != std::string::npos;
}

bool matches(const HistoryFilter& filter, const HistoryRow& at) {
  if (!filter.namespace_name.empty() && at.namespace_name != filter.namespace_name) return false;
  if (!filter.workflow.empty() && at.workflow != filter.workflow) return false;
  if (!filter.state.empty() && at.state != filter.state) return false;
  if (!filter.started_by.empty() && at.started_by != filter.started_by) return false;
  if (!filter.error_code.empty() && at.error_code != filter.error_code) return false;
  if (filter.created_from_ms && at.created_ms < *filter.created_from_ms) return false;
  if (filter.created_before_ms && at.created_ms >= *filter.created_before_ms) return false;
  if (filter.finished_from_ms && at.finished_ms < *filter.finished_from_ms) return false;
  if (filter.finished_before_ms && at.finished_ms >= *filter.finished_before_ms) return false;
  for (const auto& label : filter.labels) {
    if (std::find(at.labels.begin(), at.labels.end(), label) == at.labels.end()) return false;
  }
  if (filter.text.empty()) return true;
  const std::string id = std::to_string(at.id.value);
  return filter.text == id || filter.text == "r" + id || contains(at.workflow, filter.text) ||
         contains(at.started_by, filter.text) || contains(at.error_code, filter.text);
}

class HistorySearch : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = History::open(folder.path());
    EZ_ASSERT_OK(opened);
    history = std::move(*opened);
    std::vector<HistoryRow> rows;
    for (std::uint64_t id = 1; id <= kRows; ++id) rows.push_back(row(id));
    EZ_ASSERT_OK(history->append(rows, LogIndex{1}));
  }
  std::vector<std::uint64_t> walk(const HistoryFilter& filter, std::size_t limit) {
    std::vector<std::uint64_t> ids;
    std::string cursor;
    do {
      auto page = history->list(filter, limit, cursor);
      EXPECT_TRUE(page.ok()) << page.error().to_string();
      if (!page.ok()) return ids;
      for (const HistoryRow& at : page->rows) {
        ids.push_back(at.id.value);
        HistoryRow whole = row(at.id.value);
        whole.record.clear();
        EXPECT_EQ(at, whole);
      }
      cursor = page->next_cursor;
    } while (!cursor.empty());
    return ids;
  }
  std::int64_t entries() {
    auto database = Database::open(folder / "history.db", Database::Mode::kReadOnly, Code::Internal);
    auto count = (*database)->prepare("SELECT (SELECT count(*) FROM terms) + (SELECT count(*) FROM facets)");
    EXPECT_TRUE(count.ok() && *count->step());
    return count->integer(0);
  }

  TemporaryFolder folder;
  std::unique_ptr<History> history;
};

TEST_F(HistorySearch, EveryCombinationAgreesWithAPlainLoop) {
  const HistoryRow::Labels labels[] = {
      {}, {{"env", "prod"}}, {{"env", "test"}, {"team", "storage"}}, {{"none", "x"}}};
  int found = 0;
  for (const auto& label : labels) {
    for (const char* text : {"", "NIGHTLY", "ada", "verify", "failed", "r42", "42", "deploy", "nothing"}) {
      for (const char* state : {"", "failed", "succeeded"}) {
        for (const int more : {0, 1, 2, 3, 4}) {
          HistoryFilter filter;
          filter.labels = label;
          filter.text = text;
          filter.state = state;
          if (more == 1) filter.namespace_name = "team";
          if (more == 2) filter.workflow = "Nightly-build";
          if (more == 3) {
            filter.started_by = "ci";
            filter.created_from_ms = 1'000'100;
            filter.created_before_ms = 1'000'700;
          }
          if (more == 4) {
            filter.error_code = "VERIFY_FAILED";
            filter.finished_from_ms = 1'000'300;
            filter.finished_before_ms = 1'001'200;
          }
          std::vector<std::uint64_t> expected;
          for (std::uint64_t id = kRows; id >= 1; --id) {
            if (matches(filter, row(id))) expected.push_back(id);
          }
          found += static_cast<int>(expected.size());
          ASSERT_EQ(walk(filter, 3), expected) << text << " " << state << " " << more;
          ASSERT_EQ(walk(filter, 1000), expected) << text << " " << state << " " << more;
        }
      }
    }
  }
  EXPECT_GT(found, 3'000);
}

TEST_F(HistorySearch, WhatIsReplacedOrRemovedIsNotFoundByItsOldWords) {
  HistoryRow changed = row(10);
  changed.state = "failed";
  changed.error_code = "TASK_TIMEOUT";
  changed.labels = {{"env", "other"}};
  const std::int64_t before = entries();
  EZ_ASSERT_OK(history->append(std::span(&changed, 1), LogIndex{2}));
  HistoryFilter filter;
  filter.labels = {{"env", "other"}};
  EXPECT_EQ(history->list(filter, 10, "")->rows.size(), 1U);
  filter.labels = {{"env", "test"}};
  filter.state = row(10).state;
  const auto left = history->list(filter, 1000, "");
  EZ_ASSERT_OK(left);
  for (const HistoryRow& at : left->rows) EXPECT_NE(at.id, RunId{10});
  EXPECT_EQ(entries(), before);  // one label less, one error more
  std::vector<RunId> all;
  for (std::uint64_t id = 1; id <= kRows; ++id) all.push_back(RunId{id});
  EXPECT_EQ(*history->remove(all), kRows);
  EXPECT_EQ(entries(), 0);
}

TEST_F(HistorySearch, ATextThatFarTooManyNamesContainIsRefused) {
  std::vector<HistoryRow> rows;
  for (std::uint64_t id = 1; id <= 300; ++id) {
    rows.push_back(row(1000 + id));
    rows.back().workflow = "many" + std::to_string(id);
  }
  EZ_ASSERT_OK(history->append(rows, LogIndex{2}));
  HistoryFilter filter;
  filter.text = "many";
  EZ_EXPECT_CODE(history->list(filter, 10, ""), RequestInvalid);
  filter.text = "many29";
  EXPECT_EQ(history->list(filter, 100, "")->rows.size(), 11U);
}

TEST_F(HistorySearch, AnyBytesMayBeSearchedFor) {
  for (const std::string& text :
       {std::string("%"), std::string("'; DROP TABLE runs; --"), std::string("\xff\0x", 3),
        std::string(300, 'x'), std::string("r"), std::string("r0"), std::string("-1")}) {
    HistoryFilter filter;
    filter.text = text;
    EXPECT_TRUE(history->list(filter, 10, "").ok());
    filter.text.clear();
    filter.labels = {{text, text}};
    EXPECT_TRUE(history->list(filter, 10, "")->rows.empty());
  }
}

// What ez wrote before it knew labels is brought up to date in place, and searched by what it knows.
TEST(HistoryMigration, AnOlderFileIsBroughtUpToDate) {
  const char* source = std::getenv("EZ_SOURCE_DIR");
  TemporaryFolder folder;
  fs::copy_file(std::string(source == nullptr ? "." : source) + "/tests/golden/storage/history-v1.db",
                folder / "history.db");
  for (int round = 0; round < 2; ++round) {
    auto history = History::open(folder.path());
    EZ_ASSERT_OK(history);
    EXPECT_EQ((*history)->position(), LogIndex{round == 0 ? 42U : 43U});
    HistoryFilter filter;
    filter.text = "CHECKUP";
    ASSERT_EQ((*history)->list(filter, 10, "")->rows.size(), 1U);
    EXPECT_EQ((*history)->list(filter, 10, "")->rows[0].started_by, "");
    HistoryRow fresh = row(8 + static_cast<std::uint64_t>(round) * 8);
    EZ_ASSERT_OK((*history)->append(std::span(&fresh, 1), LogIndex{43}));
    filter = {};
    filter.labels = {{"env", "prod"}};
    EXPECT_EQ((*history)->list(filter, 10, "")->rows.size(), static_cast<std::size_t>(round + 1));
    EXPECT_EQ(*(*history)->remove(fresh.id), 1U);
    EZ_ASSERT_OK((*history)->append(std::span(&fresh, 1), LogIndex{43}));
    EZ_ASSERT_OK((*history)->check());
  }
}

}  // namespace
}  // namespace ez::storage
