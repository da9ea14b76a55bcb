#include "log/format.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/random.h"
#include "log/crc32c.h"

namespace ez::log::format {
namespace {

// RFC 3720, appendix B.4, and the check value of the CRC catalogue.
TEST(Crc32c, KnownVectors) {
  std::string ascending;
  for (int i = 0; i < 32; ++i) ascending.push_back(static_cast<char>(i));
  for (const auto& sum : {crc32c, crc32c_portable}) {
    EXPECT_EQ(sum(0, std::string(32, '\0')), 0x8a9136aaU);
    EXPECT_EQ(sum(0, std::string(32, '\xff')), 0x62a8ab43U);
    EXPECT_EQ(sum(0, ascending), 0x46dd794eU);
    EXPECT_EQ(sum(0, "123456789"), 0xe3069283U);
    EXPECT_EQ(sum(0, ""), 0U);
  }
}

TEST(Crc32c, HardwareAndTableAgreeAndMayBeSplitAnywhere) {
  SeededRandom random(1);
  std::string bytes;
  for (int i = 0; i < 300; ++i) bytes.push_back(static_cast<char>(random.next()));
  for (std::size_t split = 0; split <= bytes.size(); ++split) {
    const std::string_view all = bytes;
    EXPECT_EQ(crc32c(crc32c(0, all.substr(0, split)), all.substr(split)), crc32c_portable(0, bytes));
    EXPECT_EQ(crc32c(0, all.substr(split)), crc32c_portable(0, all.substr(split)));
  }
}

TEST(SegmentName, ReadsBackAndNothingElseDoes) {
  EXPECT_EQ(segment_name(7), "log-0000000007.seg");
  EXPECT_EQ(parse_segment_name("log-0000000007.seg"), 7U);
  EXPECT_EQ(parse_segment_name(segment_name(98'765'432'101)), 98'765'432'101U);
  for (const char* bad :
       {"", "log-.seg", "log-7.seg", "log-0000000007.tmp", "log-000000000x.seg", "log-00000000007.seg",
        "xlog-0000000007.seg", "log-0000000007.seg~", "log.seg", "log-+000000007.seg"}) {
    EXPECT_FALSE(parse_segment_name(bad).has_value()) << bad;
  }
}

TEST(SegmentHeader, ReadsBack) {
  const SegmentHeader header{0x1122334455667788, 3, 100, 200, 5, 8192, 4096};
  const std::string bytes = encode(header);
  ASSERT_EQ(bytes.size(), kSectorBytes);
  const auto read = decode_segment_header(bytes);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(encode(*read), bytes);
  EXPECT_EQ(read->previous_end, 4096U);
  EXPECT_FALSE(decode_segment_header(std::string_view(bytes).substr(0, 511)).ok());
}

std::string stream_of(const std::vector<std::string>& bodies) {
  std::string stream;
  begin_stream(stream);
  std::uint64_t index = 10;
  for (const std::string& body : bodies) append_record(stream, {RecordKind::kData, index++, 4, body});
  return stream;
}

TEST(Stream, ReadsBackWithAnyPaddingOfASector) {
  const std::vector<std::string> bodies = {"", "one", std::string(1000, 'x')};
  std::string stream = stream_of(bodies);
  for (int padding = 0; padding < 10; ++padding, stream.push_back('\0')) {
    std::vector<std::string> read;
    std::uint64_t index = 10;
    ASSERT_TRUE(read_stream(stream, [&](const RecordView& record) {
                  EXPECT_EQ(record.index, index++);
                  EXPECT_EQ(record.epoch, 4U);
                  read.emplace_back(record.body);
                }).ok());
    EXPECT_EQ(read, bodies);
  }
}

TEST(Stream, NeverAcceptsAFlippedBitAndNeverReadsBeyondItsEnd) {
  const std::string good = stream_of({"", "one", std::string(60, 'x')});
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(read_stream(bad, [](const RecordView&) {}).ok()) << bit;
  }
  for (std::size_t size = 0; size < good.size(); ++size) {
    const std::vector<char> exact(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(read_stream({exact.data(), exact.size()}, [](const RecordView&) {}).ok()) << size;
  }
}

TEST(Sectors, TellWrittenBlankTornAndDamaged) {
  const std::uint32_t seed = sector_seed(1, 2);
  std::string out;
  append_sectors(out, seed, 9, 77, std::string(600, 's'));
  ASSERT_EQ(out.size(), 2 * kSectorBytes);
  const std::string first = out.substr(0, kSectorBytes);
  const Sector one = read_sector(seed, 9, first);
  EXPECT_EQ(one.state, SectorState::kValid);
  EXPECT_TRUE(one.first && !one.last);
  EXPECT_EQ(one.batch, 77U);
  const std::string second = out.substr(kSectorBytes);
  const Sector two = read_sector(seed, 10, second);
  EXPECT_TRUE(two.state == SectorState::kValid && !two.first && two.last);

  EXPECT_EQ(read_sector(seed, 10, first).state, SectorState::kDamaged) << "in the wrong place";
  EXPECT_EQ(read_sector(sector_seed(1, 3), 9, first).state, SectorState::kDamaged) << "of another segment";
  EXPECT_EQ(read_sector(sector_seed(2, 2), 9, first).state, SectorState::kDamaged) << "of another log";
  EXPECT_EQ(read_sector(seed, 9, std::string(kSectorBytes, '\0')).state, SectorState::kBlank);
  for (std::size_t kept = 1; kept < kSectorBytes; ++kept) {
    std::string torn = first;
    std::fill(torn.begin() + static_cast<std::ptrdiff_t>(kept), torn.end(), '\0');
    EXPECT_EQ(read_sector(seed, 9, torn).state, SectorState::kTorn) << kept;
  }
  for (std::size_t bit = 0; bit < kSectorBytes * 8; ++bit) {
    std::string flipped = first;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_EQ(read_sector(seed, 9, flipped).state, SectorState::kDamaged) << bit;
  }
}

}  // namespace
}  // namespace ez::log::format
