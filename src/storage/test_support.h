// Helpers of this room's tests: a folder that is removed at the end, a clock that tests set, files to damage.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "base/check.h"
#include "base/clock.h"
#include "base/random.h"

namespace ez::storage {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "ez-storage-XXXXXX").string();
    EZ_CHECK(::mkdtemp(pattern.data()) != nullptr, "no temporary folder");
    path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

class ManualClock final : public Clock {
 public:
  std::int64_t now_ms() override { return ms; }
  std::int64_t monotonic_us() override { return ms * 1000; }
  std::atomic<std::int64_t> ms{1'795'366'080'000};
};

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  std::ostringstream out;
  out << file.rdbuf();
  return out.str();
}

inline void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << bytes;
  file.close();
  EXPECT_TRUE(file.good()) << path;
}

inline std::string random_bytes(std::uint64_t seed, std::size_t size) {
  SeededRandom random(seed);
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(random.next());
  return out;
}

// Text that packs well and never repeats exactly.
inline std::string text_bytes(std::uint64_t seed, std::size_t size) {
  SeededRandom random(seed);
  std::string out;
  while (out.size() < size) out += "line " + std::to_string(random.below(1000)) + " of the output\n";
  out.resize(size);
  return out;
}

}  // namespace ez::storage

// The value of a Result, or the end of this test with its error.
#define EZ_ASSERT_OK(expression)                                      \
  do {                                                                \
    auto&& ez_asserted = (expression);                                \
    ASSERT_TRUE(ez_asserted.ok()) << ez_asserted.error().to_string(); \
  } while (false)
// The expression fails with that code.
#define EZ_EXPECT_CODE(expression, expected)                               \
  do {                                                                     \
    auto&& ez_expected = (expression);                                     \
    ASSERT_FALSE(ez_expected.ok());                                        \
    EXPECT_EQ(ez_expected.error().name(), ::ez::info(Code::expected).name) \
        << ez_expected.error().to_string();                                \
  } while (false)
