// Files that older versions wrote stay readable for ever. docs/formats/ describes them. With
// EZ_WRITE_GOLDEN=1 in the environment the files that are missing are written; existing ones are never
// changed.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "base/sha256.h"
#include "storage/blob_store.h"
#include "storage/history.h"
#include "storage/sqlite.h"
#include "storage/test_support.h"

namespace ez::storage {
namespace {

namespace fs = std::filesystem;

std::string golden(const std::string& name) {
  const char* source = std::getenv("EZ_SOURCE_DIR");
  return std::string(source == nullptr ? "." : source) + "/tests/golden/storage/" + name;
}
bool must_write(const std::string& path) {
  return std::getenv("EZ_WRITE_GOLDEN") != nullptr && !fs::exists(path);
}

struct GoldenBlob {
  const char* file;
  std::string bytes;
};
std::vector<GoldenBlob> golden_blobs() {
  return {
      {"blob-empty.bin", ""}, {"blob-raw.bin", "golden\n"}, {"blob-zstd.bin", std::string(3000, 'g') + "\n"}};
}

TEST(Golden, BlobFilesAreReadable) {
  for (const GoldenBlob& blob : golden_blobs()) {
    TemporaryFolder folder;
    ManualClock clock;
    BlobLimits limits;
    limits.reserve_bytes = 0;
    auto store = BlobStore::open(folder.path(), limits, clock);
    EZ_ASSERT_OK(store);
    const std::string sha = sha256_hex(blob.bytes);
    const std::string file = folder / ("blobs/" + sha.substr(0, 2) + "/" + sha.substr(2));
    if (must_write(golden(blob.file))) {
      EZ_ASSERT_OK((*store)->put(blob.bytes));
      fs::copy_file(file, golden(blob.file));
    }
    ASSERT_TRUE(fs::exists(golden(blob.file))) << blob.file;
    fs::copy_file(golden(blob.file), file, fs::copy_options::overwrite_existing);
    auto got = (*store)->get(sha, 10'000);
    EZ_ASSERT_OK(got);
    EXPECT_EQ(*got, blob.bytes) << blob.file;
  }
  // The raw form byte by byte, as docs/formats/blobs.md says.
  const std::string raw = read_file(golden("blob-raw.bin"));
  const std::string head = std::string("EZB1\0\0\0\0\x07\0\0\0\0\0\0\0", 16);
  EXPECT_EQ(raw, head + sha256_hex(head).substr(0, 8) + "golden\n");
}

HistoryRow golden_row() {
  HistoryRow row;
  row.id = RunId{7};
  row.namespace_name = "default";
  row.workflow = "repository-checkup";
  row.version = 3;
  row.state = "succeeded";
  row.priority = "high";
  row.created_ms = 1'795'366'080'123;
  row.started_ms = row.created_ms + 5;
  row.finished_ms = row.created_ms + 60'000;
  row.cost_microusd = 1'250'000;
  row.tasks = {6, 4, 0, 1, 1};
  row.record = std::string(600, 'r');
  return row;
}

TEST(Golden, HistoryFileIsReadable) {
  const std::string path = golden("history-v1.db");
  if (must_write(path)) {
    TemporaryFolder folder;
    {
      auto history = History::open(folder.path());
      EZ_ASSERT_OK(history);
      const HistoryRow row = golden_row();
      EZ_ASSERT_OK((*history)->append(std::span(&row, 1), LogIndex{42}));
    }
    fs::copy_file(folder / "history.db", path);
  }
  TemporaryFolder folder;
  fs::copy_file(path, folder / "history.db");
  auto history = History::open(folder.path());
  EZ_ASSERT_OK(history);
  EXPECT_EQ((*history)->position(), LogIndex{42});
  auto row = (*history)->get(RunId{7});
  EZ_ASSERT_OK(row);
  EXPECT_EQ(*row, golden_row());
  EZ_ASSERT_OK((*history)->check());
}

TEST(Golden, HistoryFileWithLabelsIsReadable) {
  const std::string path = golden("history-v2.db");
  HistoryRow row = golden_row();
  row.started_by = "ada";
  row.error_code = "VERIFY_FAILED";
  row.labels = {{"env", "prod"}, {"team", "storage"}};
  if (must_write(path)) {
    TemporaryFolder folder;
    {
      auto history = History::open(folder.path());
      EZ_ASSERT_OK(history);
      EZ_ASSERT_OK((*history)->append(std::span(&row, 1), LogIndex{42}));
    }
    fs::copy_file(folder / "history.db", path);
  }
  TemporaryFolder folder;
  fs::copy_file(path, folder / "history.db");
  auto history = History::open(folder.path());
  EZ_ASSERT_OK(history);
  auto got = (*history)->get(RunId{7});
  EZ_ASSERT_OK(got);
  EXPECT_EQ(*got, row);
  HistoryFilter filter;
  filter.labels = row.labels;
  filter.text = "verify";
  EXPECT_EQ((*history)->list(filter, 10, "")->rows.size(), 1U);
}

}  // namespace
}  // namespace ez::storage
