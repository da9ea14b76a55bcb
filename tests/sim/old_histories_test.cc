// Old logs lead to the states that they led to when they were written:
// tests/golden/core/history-<seed>.log.zst holds the log of a simulated world with everything that goes on in
// one, history-<seed>.state.zst the state after it, as a snapshot. EZ_WRITE_GOLDEN=1 writes them anew. That
// may be done until a version of core::kSemantics is released; afterwards new histories only join the old
// ones.
//
// A log here: for each record four bytes of length, the lowest first, then a core Batch; packed by zstd.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <utility>

#include "core/apply.h"
#include "core/invariants.h"
#include "core/snapshot.h"
#include "storage/zstd_stream.h"
#include "world.h"

namespace ez::sim {
namespace {

constexpr std::size_t kMaxBytes = 64 * 1024 * 1024;
constexpr int kSteps = 1'200;
constexpr std::uint64_t kSeeds[] = {26, 30, 48, 59};

std::string path_of(std::uint64_t seed, const std::string& what) {
  const char* root = std::getenv("EZ_SOURCE_DIR");
  return std::string(root == nullptr ? "." : root) + "/tests/golden/core/history-" + std::to_string(seed) +
         "." + what + ".zst";
}

std::string read(std::uint64_t seed, const std::string& what) {
  std::ifstream file(path_of(seed, what), std::ios::binary);
  const std::string packed{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const auto bytes = storage::zstd_unpack(packed, kMaxBytes, Code::LogDamaged);
  EXPECT_TRUE(bytes.ok()) << path_of(seed, what);
  return bytes.ok() ? *bytes : std::string();
}

void write(std::uint64_t seed, const std::string& what, const std::string& bytes) {
  std::ofstream(path_of(seed, what), std::ios::binary) << storage::zstd_pack(bytes);
}

std::string packed(const std::vector<std::string>& records) {
  std::string bytes;
  for (const std::string& record : records) {
    for (unsigned shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(record.size() >> shift);
    bytes += record;
  }
  return bytes;
}

std::vector<std::string> unpacked(std::string_view bytes) {
  std::vector<std::string> records;
  while (bytes.size() >= 4) {
    std::size_t size = 0;
    for (unsigned i = 0; i < 4; ++i) size |= std::size_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
    records.emplace_back(bytes.substr(4, size));
    bytes.remove_prefix(std::min(bytes.size(), 4 + size));
  }
  return records;
}

std::string encoded(const core::State& state) {
  std::string bytes;
  const Status status = core::encode_snapshot(core::freeze(state), [&](std::string_view piece) {
    bytes += piece;
    return Status();
  });
  EXPECT_TRUE(status.ok());
  return bytes;
}

void replay(const std::vector<std::string>& records, core::State& state, std::set<int>& kinds) {
  core::Effects effects;
  std::uint64_t index = 0;
  for (const std::string& record : records) {
    ++index;
    core::pb::Batch batch;
    ASSERT_TRUE(batch.ParseFromString(record));
    for (const core::pb::Command& command : batch.commands()) {
      kinds.insert(command.body_case());
      effects.clear();
      core::apply(state, command, LogIndex{index}, effects);
    }
  }
}

TEST(OldHistories, LeadToTheSameStates) {
  std::set<int> kinds;
  for (const std::uint64_t seed : kSeeds) {
    SCOPED_TRACE(seed);
    if (std::getenv("EZ_WRITE_GOLDEN") != nullptr) {
      World world(seed);
      world.keep_log();
      ASSERT_EQ(world.trouble(kSteps), "");
      const std::vector<std::string> records = world.records();
      core::State state;
      replay(records, state, kinds);
      write(seed, "log", packed(records));
      write(seed, "state", encoded(state));
    }
    const std::vector<std::string> records = unpacked(read(seed, "log"));
    ASSERT_FALSE(records.empty());
    core::State state;
    replay(records, state, kinds);
    const std::string bytes = read(seed, "state");
    bool given = false;
    core::State old;
    const Status status = core::decode_snapshot(
        [&]() -> Result<std::string> { return std::exchange(given, true) ? std::string() : bytes; }, old);
    ASSERT_TRUE(status.ok()) << status.error().to_string();
    EXPECT_TRUE(core::find_broken_invariants(old).empty());
    EXPECT_GT(old.live_runs, 0U);
    EXPECT_EQ(encoded(state), encoded(old));
  }
  // All kinds but two: the removal of an agent is in batch.bin (core/golden_test.cc), and an import brings
  // bytes of the format of history.
  const std::set<int> all{10, 11, 12, 13, 14, 16, 17, 18, 19,  30, 31,
                          40, 41, 50, 60, 61, 62, 63, 64, 100, 101};
  EXPECT_EQ(kinds, all);
}

}  // namespace
}  // namespace ez::sim
