// Golden files: a small log directory in tests/golden/log as version 1 writes it. It stays readable for ever,
// and the same content gives the same bytes. After a change of the format (a new version) a new directory is
// added beside it: EZ_GOLDEN_WRITE=1 log_tests --gtest_filter=Golden.* writes the files.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "log/fake_disk.h"
#include "log/inspect.h"
#include "log/testing.h"

namespace ez::log {
namespace {

constexpr const char* kDirectory = "/data/log";
using Files = std::map<std::string, std::string>;

std::filesystem::path golden_directory() {
  const char* source = std::getenv("EZ_SOURCE_DIR");
  return std::filesystem::path(source != nullptr ? source : ".") / "tests" / "golden" / "log";
}

Files golden_files() {
  Files files;
  for (const auto& entry : std::filesystem::directory_iterator(golden_directory())) {
    std::ifstream in(entry.path(), std::ios::binary);
    files[entry.path().filename().string()] = {std::istreambuf_iterator<char>(in),
                                               std::istreambuf_iterator<char>()};
  }
  return files;
}

class LogIdFrom final : public Random {
 public:
  std::uint64_t next() override { return 0x0123456789abcdefULL; }
};

// Two epochs, two segments (the first one sealed), an empty record, one of several sectors, a snapshot, a
// clean stop.
std::vector<std::string> first_life() { return {"one", "", std::string(1200, 'm')}; }
std::vector<std::string> second_life() { return {std::string(900, 'n'), "five", "six"}; }

Files write_files() {
  FakeDisk disk(1);
  ManualClock clock;
  LogIdFrom random;
  LocalLogOptions options = small_options(clock, random);
  options.segment_bytes = 4096;
  for (const auto& bodies : {first_life(), second_life()}) {
    auto opened = open_local_log(disk, kDirectory, options);
    EXPECT_TRUE(opened.ok());
    RecordingListener listener;
    EXPECT_TRUE((*opened)->start(LogIndex{0}, listener).ok());
    EXPECT_TRUE(poll_until(**opened, [&] { return listener.leading; }));
    std::uint64_t ticket = 0;
    for (const std::string& body : bodies) {
      EXPECT_TRUE((*opened)->append(listener.epoch, Ticket{++ticket}, body).ok());
    }
    (*opened)->poll(microseconds(0));
    if (listener.records.size() == 3) {
      auto writer = (*opened)->begin_snapshot(LogIndex{3}, listener.epoch);
      EXPECT_TRUE(writer.ok() && (*writer)->write("state after three").ok() && (*writer)->commit().ok());
    }
    EXPECT_TRUE((*opened)->seal(listener.epoch).ok());
  }
  Files files;
  for (const std::string& path : disk.paths()) {
    if (!path.ends_with("/LOCK")) files[path.substr(path.rfind('/') + 1)] = disk.contents(path);
  }
  return files;
}

TEST(Golden, TheSameContentGivesTheSameBytes) {
  const Files written = write_files();
  if (std::getenv("EZ_GOLDEN_WRITE") != nullptr) {
    std::filesystem::create_directories(golden_directory());
    for (const auto& [name, bytes] : written)
      std::ofstream(golden_directory() / name, std::ios::binary) << bytes;
  }
  const Files golden = golden_files();
  ASSERT_EQ(written.size(), golden.size());
  for (const auto& [name, bytes] : golden) {
    ASSERT_TRUE(written.contains(name)) << name;
    EXPECT_TRUE(written.at(name) == bytes) << name << " differs";
  }
}

TEST(Golden, VersionOneIsReadForEver) {
  FakeDisk disk(1);
  ASSERT_TRUE(disk.make_directory(kDirectory).ok());
  for (const auto& [name, bytes] : golden_files())
    disk.set_contents(std::string(kDirectory) + "/" + name, bytes);
  const auto report = inspect(disk, kDirectory);
  ASSERT_TRUE(report.ok());
  EXPECT_TRUE(report->healthy());
  EXPECT_EQ(report->segments.size(), 2U);
  EXPECT_EQ(report->last_epoch.value, 2U);

  ManualClock clock;
  SeededRandom random(1);
  auto opened = open_local_log(disk, kDirectory, small_options(clock, random));
  ASSERT_TRUE(opened.ok()) << opened.error().to_string();
  auto snapshot = (*opened)->newest_snapshot();
  ASSERT_TRUE(snapshot.ok() && *snapshot != nullptr);
  EXPECT_EQ((*snapshot)->index().value, 3U);
  EXPECT_EQ((*snapshot)->epoch().value, 1U);
  EXPECT_EQ((*snapshot)->read(1000).value(), "state after three");
  RecordingListener listener;
  ASSERT_TRUE((*opened)->start(LogIndex{0}, listener).ok());
  ASSERT_TRUE(poll_until(**opened, [&] { return listener.leading; }));
  std::vector<std::string> expected = first_life();
  for (const std::string& body : second_life()) expected.push_back(body);
  EXPECT_EQ(listener.bodies(), expected);
  EXPECT_EQ(listener.records[2].epoch, 1U);
  EXPECT_EQ(listener.records[3].epoch, 2U);
  EXPECT_EQ(listener.epoch.value, 3U);
}

}  // namespace
}  // namespace ez::log
