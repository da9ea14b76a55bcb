#include "cli/export_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/json.h"
#include "base/random.h"

namespace ez::cli {
namespace {

namespace fs = std::filesystem;

class ExportFile : public testing::Test {
 protected:
  ExportFile() {
    char name[] = "/tmp/ez-export-XXXXXX";
    folder_ = ::mkdtemp(name);
    path_ = folder_ + "/file.ezx";
  }
  ~ExportFile() override { fs::remove_all(folder_); }

  void write(int version, int lines) {
    auto writer = ExportWriter::create(path_);
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE((*writer)->add(Value(Value::Map{{"ez_export", Value(version)}})).ok());
    for (int i = 0; i < lines; ++i) {
      ASSERT_TRUE(
          (*writer)
              ->add(Value(Value::Map{{"kind", Value("run")},
                                     {"n", Value(i)},
                                     {"text", Value(std::string(static_cast<std::size_t>(i * 37), 'x'))}}))
              .ok());
    }
    ASSERT_TRUE((*writer)->finish().ok());
    EXPECT_FALSE(fs::exists(path_ + ".part"));
  }
  // The numbers of the lines, or the code of the error.
  std::string read() const {
    std::string out;
    const Status status = read_export(path_, [&](const Value& line) {
      out += std::to_string(line.int_or("n", -1)) + " ";
      return Status();
    });
    return status.ok() ? out : std::string(status.error().name());
  }
  std::string bytes() const {
    std::ifstream in(path_, std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }
  void put(const std::string& text) const {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << text;
  }

  std::string folder_, path_;
};

TEST_F(ExportFile, LinesComeBackInOrder) {
  write(kExportVersion, 5);
  EXPECT_EQ(read(), "0 1 2 3 4 ");
  write(kExportVersion, 0);
  EXPECT_EQ(read(), "");
  write(kExportVersion, 3'000);  // more than one buffer
  EXPECT_EQ(read().substr(0, 8), "0 1 2 3 ");
}

TEST_F(ExportFile, ANewerFormatAndOtherFilesAreRefused) {
  write(kExportVersion + 1, 2);
  EXPECT_EQ(read(), "EXPORT_NEWER");
  write(0, 2);
  EXPECT_EQ(read(), "EXPORT_DAMAGED");
  for (const std::string& text :
       {std::string(), std::string("{}"), std::string("\x28\xb5\x2f\xfd"), std::string(9000, 'x')}) {
    put(text);
    EXPECT_EQ(read(), "EXPORT_DAMAGED");
  }
  fs::remove(path_);
  EXPECT_EQ(read(), "IO_FAILED");
}

// Cut anywhere, or with any byte changed, it is never taken for a good one.
TEST_F(ExportFile, DamageIsAlwaysFound) {
  write(kExportVersion, 20);
  const std::string good = bytes();
  for (std::size_t cut = 0; cut < good.size(); cut += 7) {
    put(good.substr(0, cut));
    EXPECT_EQ(read(), "EXPORT_DAMAGED") << cut;
  }
  put(good + "x");
  EXPECT_EQ(read(), "EXPORT_DAMAGED");
  put(good + good);
  EXPECT_EQ(read(), "EXPORT_DAMAGED");
  SeededRandom random(3);
  for (int round = 0; round < 300; ++round) {
    std::string bad = good;
    bad[random.below(bad.size())] ^= static_cast<char>(1 + random.below(255));
    put(bad);
    // A changed bit that the frame does not look at may leave all of its bytes as they were.
    const std::string outcome = read();
    EXPECT_TRUE(outcome == "EXPORT_DAMAGED" || outcome.starts_with("0 1 2 3 4 5 6 7 8 9 10 11 12 13 14"))
        << outcome;
  }
}

// Whoever packs lines of his own does not get past the hash of all of them.
TEST_F(ExportFile, LinesThatAreAddedOrLeftOutAreFound) {
  write(kExportVersion, 3);
  std::string plain;
  {
    storage::ZstdUnpacker unpacker;
    const std::string all = bytes();
    std::string_view frame = all;
    while (!unpacker.ended()) ASSERT_TRUE(unpacker.unpack(frame, 1 << 20, plain));
  }
  const auto pack = [&](const std::string& text) {
    std::string frame;
    storage::ZstdPacker().pack(text, true, frame);
    put(frame);
  };
  pack(plain);
  EXPECT_EQ(read(), "0 1 2 ");
  const std::size_t second = plain.find('\n') + 1;
  const std::size_t third = plain.find('\n', second) + 1;
  pack(plain.substr(0, second) + plain.substr(third));
  EXPECT_EQ(read(), "EXPORT_DAMAGED");
  pack(plain.substr(0, second) + "{\"kind\":\"run\"}\n" + plain.substr(second));
  EXPECT_EQ(read(), "EXPORT_DAMAGED");
  pack(plain + "{\"kind\":\"run\"}\n");
  EXPECT_EQ(read(), "EXPORT_DAMAGED");
  pack(plain.substr(0, plain.size() - 1));
  EXPECT_EQ(read(), "EXPORT_DAMAGED");
  pack(plain.substr(0, second) + "[1]\n" + plain.substr(second));
  EXPECT_EQ(read(), "EXPORT_DAMAGED");
}

TEST_F(ExportFile, WhatIsNotFinishedLeavesNoFile) {
  {
    auto writer = ExportWriter::create(path_);
    ASSERT_TRUE((*writer)->add(Value(Value::Map{{"ez_export", Value(1)}})).ok());
    EXPECT_TRUE(fs::exists(path_ + ".part"));
  }
  EXPECT_TRUE(fs::is_empty(folder_));
  EXPECT_FALSE(ExportWriter::create(folder_ + "/none/file").ok());
}

}  // namespace
}  // namespace ez::cli
