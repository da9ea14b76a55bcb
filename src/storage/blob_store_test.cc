#include "storage/blob_store.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "base/sha256.h"
#include "storage/test_support.h"

namespace ez::storage {
namespace {

namespace fs = std::filesystem;

class BlobStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    limits.reserve_bytes = 0;
    open();
  }
  void open() {
    store.reset();
    auto opened = BlobStore::open(folder.path(), limits, clock);
    EZ_ASSERT_OK(opened);
    store = std::move(*opened);
  }
  [[nodiscard]] std::string file_of(const std::string& sha) const {
    return folder / ("blobs/" + sha.substr(0, 2) + "/" + sha.substr(2));
  }
  [[nodiscard]] std::size_t files() const {
    std::size_t count = 0;
    for (const auto& entry : fs::recursive_directory_iterator(folder / "blobs"))
      count += entry.is_regular_file();
    return count;
  }
  // Walks the whole store once, in steps of one blob.
  std::uint64_t collect_all(std::int64_t grace_ms) {
    std::uint64_t removed = 0;
    for (;;) {
      auto step = store->collect(clock.ms, grace_ms, 1);
      EXPECT_TRUE(step.ok()) << step.error().to_string();
      EXPECT_LE(step->examined, 1U);
      removed += step->removed;
      if (step->end) return removed;
    }
  }

  TemporaryFolder folder;
  ManualClock clock;
  BlobLimits limits;
  std::unique_ptr<BlobStore> store;
};

TEST_F(BlobStoreTest, KeepsBytesOfEverySizeAndKind) {
  for (const std::size_t size : {0, 1, 23, 24, 25, 65535, 65536, 65537, 300000, 3000000}) {
    for (const std::string& bytes : {random_bytes(size, size), text_bytes(size, size)}) {
      auto put = store->put(bytes);
      EZ_ASSERT_OK(put);
      EXPECT_EQ(put->sha256, sha256_hex(bytes));
      EXPECT_EQ(put->bytes, size);
      EXPECT_EQ(put->stored_bytes, fs::file_size(file_of(put->sha256)));
      auto got = store->get(put->sha256, size);
      EZ_ASSERT_OK(got);
      EXPECT_TRUE(*got == bytes) << size;
      auto stat = store->stat(put->sha256);
      EZ_ASSERT_OK(stat);
      EXPECT_EQ(stat->bytes, size);
    }
  }
  open();
  EXPECT_EQ(*store->get(sha256_hex(text_bytes(300000, 300000)), 300000), text_bytes(300000, 300000));
}

TEST_F(BlobStoreTest, PacksWhatGetsSmaller) {
  EXPECT_LT(store->put(text_bytes(1, 1'000'000))->stored_bytes, 500'000U);
  EXPECT_EQ(store->put(random_bytes(1, 1'000'000))->stored_bytes, 1'000'024U);
}

TEST_F(BlobStoreTest, StreamsInPiecesAndReadsInPieces) {
  const std::string bytes = text_bytes(7, 500'000);
  auto writer = store->begin_put(sha256_hex(bytes));
  EZ_ASSERT_OK(writer);
  SeededRandom random(7);
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t size = std::min<std::size_t>(random.below(20'000), bytes.size() - at);
    EZ_ASSERT_OK(writer->write(std::string_view(bytes).substr(at, size)));
    at += size;
  }
  EXPECT_EQ(store->count(), 0U);  // nothing is visible before commit
  EZ_ASSERT_OK(writer->commit());
  auto reader = store->open_blob(sha256_hex(bytes));
  EZ_ASSERT_OK(reader);
  EXPECT_EQ(reader->bytes(), bytes.size());
  std::string got;
  for (;;) {
    auto piece = reader->read(1 + random.below(9000));
    EZ_ASSERT_OK(piece);
    if (piece->empty()) break;
    got += *piece;
  }
  EXPECT_TRUE(got == bytes);
}

TEST_F(BlobStoreTest, WrongHashKeepsNothing) {
  {
    auto writer = store->begin_put(sha256_hex("expected"));
    EZ_ASSERT_OK(writer);
    EZ_ASSERT_OK(writer->write("something else"));
    EZ_EXPECT_CODE(writer->commit(), BlobMismatch);
  }
  EZ_EXPECT_CODE(store->begin_put("nonsense"), InvalidArgument);
  {
    auto abandoned = store->begin_put(std::nullopt);
    EZ_ASSERT_OK(abandoned);
    EZ_ASSERT_OK(abandoned->write(random_bytes(1, 200'000)));
    EXPECT_GT(store->stored_bytes(), 0U);
  }
  EXPECT_EQ(files(), 0U);
  EXPECT_EQ(store->stored_bytes(), 0U);
  EZ_EXPECT_CODE(store->get(sha256_hex("expected"), 100), BlobNotFound);
}

TEST_F(BlobStoreTest, HashesThatAreNoHashesReachNoFile) {
  for (const char* bad : {"", "..", "../../../../etc/passwd", "ABCDEF", "zz"}) {
    EZ_EXPECT_CODE(store->get(bad, 100), InvalidArgument);
    EZ_EXPECT_CODE(store->stat(bad), InvalidArgument);
    EZ_EXPECT_CODE(store->add_ref("run/r1", bad), InvalidArgument);
  }
}

TEST_F(BlobStoreTest, PutFromFile) {
  write_file(folder / "source", text_bytes(3, 700'000));
  auto put = store->put_file(folder / "source");
  EZ_ASSERT_OK(put);
  EXPECT_TRUE(*store->get(put->sha256, 700'000) == text_bytes(3, 700'000));
  EZ_EXPECT_CODE(store->put_file(folder / "absent"), IoFailed);
}

TEST_F(BlobStoreTest, SameBytesTakeSpaceOnce) {
  auto first = store->put(text_bytes(1, 100'000));
  EZ_ASSERT_OK(first);
  const auto used = store->stored_bytes();
  EZ_ASSERT_OK(store->put(text_bytes(1, 100'000)));
  auto writer = store->begin_put(std::nullopt);
  EZ_ASSERT_OK(writer->write(text_bytes(1, 100'000)));
  auto again = writer->commit();
  EZ_ASSERT_OK(again);
  EXPECT_EQ(again->sha256, first->sha256);
  *writer = std::move(*store->begin_put(std::nullopt));  // the old writer ends and gives its space back
  EXPECT_EQ(store->stored_bytes(), used);
  EXPECT_EQ(store->count(), 1U);
  EXPECT_EQ(used, fs::file_size(file_of(first->sha256)));
}

TEST_F(BlobStoreTest, DamageNeverGivesOtherBytes) {
  for (const std::string& bytes : {random_bytes(5, 400), text_bytes(5, 4000)}) {
    auto put = store->put(bytes);
    EZ_ASSERT_OK(put);
    const std::string good = read_file(file_of(put->sha256));
    int unused = 0;
    for (std::size_t at = 0; at < good.size(); ++at) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ 0x40);
      write_file(file_of(put->sha256), bad);
      auto got = store->get(put->sha256, 1 << 20);
      if (got.ok()) {  // a bit of the frame that zstd does not use
        EXPECT_EQ(*got, bytes) << at;
        ++unused;
      } else {
        EXPECT_EQ(got.error().code(), Code::BlobDamaged) << at << got.error().to_string();
      }
    }
    EXPECT_LE(unused, 1);
    for (std::size_t size = 0; size < good.size(); ++size) {
      write_file(file_of(put->sha256), good.substr(0, size));
      EZ_EXPECT_CODE(store->get(put->sha256, 1 << 20), BlobDamaged);
    }
    write_file(file_of(put->sha256), good + "x");
    EZ_EXPECT_CODE(store->get(put->sha256, 1 << 20), BlobDamaged);
  }
}

TEST_F(BlobStoreTest, PutHealsADamagedBlob) {
  const std::string bytes = text_bytes(5, 4000);
  auto put = store->put(bytes);
  EZ_ASSERT_OK(put);
  std::string bad = read_file(file_of(put->sha256));
  bad[40] = static_cast<char>(bad[40] ^ 1);
  write_file(file_of(put->sha256), bad);
  EZ_EXPECT_CODE(store->get(put->sha256, 1 << 20), BlobDamaged);
  EZ_ASSERT_OK(store->put(bytes));
  EXPECT_EQ(*store->get(put->sha256, 1 << 20), bytes);
  EXPECT_EQ(store->count(), 1U);
  EXPECT_EQ(store->stored_bytes(), fs::file_size(file_of(put->sha256)));
}

TEST_F(BlobStoreTest, LimitsAreChecked) {
  limits.max_blob_bytes = 100'000;
  limits.total_bytes = 250'000;
  open();
  EZ_EXPECT_CODE(store->put(random_bytes(1, 100'001)), PayloadTooLarge);
  EZ_ASSERT_OK(store->put(random_bytes(1, 100'000)));
  EZ_ASSERT_OK(store->put(random_bytes(2, 100'000)));
  EZ_EXPECT_CODE(store->put(random_bytes(3, 100'000)), DiskFull);
  EXPECT_EQ(store->stored_bytes(), 200'048U);
  EZ_EXPECT_CODE(store->get(sha256_hex(random_bytes(1, 100'000)), 99'999), PayloadTooLarge);
  clock.ms += 10;
  EXPECT_EQ(collect_all(1), 2U);
  EZ_ASSERT_OK(store->put(random_bytes(3, 100'000)));  // comes back when there is room

  limits.reserve_bytes = 1ULL << 60;
  open();
  EZ_EXPECT_CODE(store->put("x"), DiskFull);
}

TEST_F(BlobStoreTest, CollectKeepsWhatIsReferencedOrYoung) {
  const std::string a = store->put("a")->sha256;
  const std::string b = store->put("b")->sha256;
  const std::string c = store->put("c")->sha256;
  EZ_ASSERT_OK(store->add_refs("run/r1", std::vector{a, b}));
  EZ_ASSERT_OK(store->add_refs("run/r1", std::vector{a, b}));
  EZ_ASSERT_OK(store->add_ref("run/r2", b));
  EXPECT_EQ(collect_all(60'000), 0U);
  clock.ms += 60'001;
  EXPECT_EQ(collect_all(60'000), 1U);
  EZ_EXPECT_CODE(store->get(c, 10), BlobNotFound);
  EZ_ASSERT_OK(store->drop_owner("run/r1"));
  EZ_ASSERT_OK(store->drop_owner("run/r1"));
  EXPECT_EQ(collect_all(60'000), 1U);
  EZ_EXPECT_CODE(store->get(a, 10), BlobNotFound);
  EXPECT_EQ(*store->get(b, 10), "b");
  open();
  EXPECT_EQ(*store->refs("run/r2"), std::vector{b});
  EXPECT_EQ(collect_all(60'000), 0U);
  EZ_ASSERT_OK(store->drop_owner("run/r2"));
  EZ_ASSERT_OK(store->put("b"));  // renews the time: a reference may follow
  EXPECT_EQ(collect_all(60'000), 0U);
  clock.ms += 60'001;
  EXPECT_EQ(collect_all(60'000), 1U);
  EXPECT_EQ(store->count(), 0U);
  EXPECT_EQ(store->stored_bytes(), 0U);
}

TEST_F(BlobStoreTest, ReferencesAreAllOrNone) {
  const std::string a = store->put("a")->sha256;
  EZ_EXPECT_CODE(store->add_refs("run/r1", std::vector{a, sha256_hex("absent")}), BlobNotFound);
  EXPECT_TRUE(store->refs("run/r1")->empty());
  EZ_EXPECT_CODE(store->add_ref("", a), InvalidArgument);
  EZ_EXPECT_CODE(store->add_ref(std::string(257, 'o'), a), InvalidArgument);
}

TEST_F(BlobStoreTest, UnfinishedWritesAreRemovedAtStart) {
  EZ_ASSERT_OK(store->put("kept"));
  store.reset();
  write_file(folder / "blobs/new/17", "half of a blo");
  open();
  EXPECT_EQ(files(), 1U);
  EXPECT_EQ(store->count(), 1U);
  EXPECT_EQ(store->stored_bytes(), 28U);
}

TEST_F(BlobStoreTest, LostReferencesNeverRemoveBlobs) {
  const std::string a = store->put("a")->sha256;
  EZ_ASSERT_OK(store->add_ref("run/r1", a));
  store.reset();
  for (const char* name : {"blobs.db", "blobs.db-wal", "blobs.db-shm"}) fs::remove(folder / name);
  open();
  open();  // still unknown after another start
  clock.ms += 1'000'000;
  EXPECT_FALSE(store->references_trusted());
  EZ_EXPECT_CODE(store->collect(clock.ms, 1, 100), WrongState);
  EZ_ASSERT_OK(store->add_ref("run/r1", a));
  EZ_ASSERT_OK(store->trust_references());
  EXPECT_EQ(collect_all(1), 0U);
  open();
  EXPECT_TRUE(store->references_trusted());
}

TEST_F(BlobStoreTest, DamagedOrForeignReferencesAreRefused) {
  store.reset();
  write_file(folder / "blobs.db", random_bytes(9, 8192));
  for (const char* name : {"blobs.db-wal", "blobs.db-shm"}) fs::remove(folder / name);
  EZ_EXPECT_CODE(BlobStore::open(folder.path(), limits, clock), BlobReferencesFailed);
}

TEST_F(BlobStoreTest, ConcurrentPutsOfTheSameBlobs) {
  constexpr int kThreads = 4;
  constexpr int kBlobs = 40;
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kBlobs; ++i) {
        const std::string bytes = text_bytes(static_cast<std::uint64_t>(i), 70'000);
        auto writer = store->begin_put(sha256_hex(bytes));
        if (!writer.ok() || !writer->write(bytes).ok() || !writer->commit().ok()) ++failures;
        if (!store->add_ref("run/r1", sha256_hex(bytes)).ok()) ++failures;
        if (!store->collect(clock.ms, 0, 10).ok()) ++failures;
        auto got = store->get(sha256_hex(bytes), 70'000);
        if (!got.ok() || *got != bytes) ++failures;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(store->count(), static_cast<std::uint64_t>(kBlobs));
  std::uint64_t size = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder / "blobs")) {
    if (entry.is_regular_file()) size += entry.file_size();
  }
  EXPECT_EQ(store->stored_bytes(), size);
  EXPECT_EQ(files(), static_cast<std::size_t>(kBlobs));
}

}  // namespace
}  // namespace ez::storage
