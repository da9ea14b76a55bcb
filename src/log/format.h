// The bytes of the log on the disk: segments, batches, records. docs/formats/log.md describes them one by
// one; golden files in tests/golden/log keep them readable for ever. Pure functions, no I/O. All integers are
// little-endian.
//
// A segment is a file of 512-byte sectors: one header, then batches. A batch is what one write and one sync
// carried; it owns whole sectors. Each sector ends with a trailer (batch number, checksum, sector number,
// mark), so that after a crash every sector tells whether it was written (kValid), never written (kBlank),
// written in part (kTorn) or changed afterwards (kDamaged). A batch is written only after the one before is
// durable: any trace of batch n proves n-1.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ez::log::format {

inline constexpr std::uint32_t kVersion = 1;
inline constexpr std::size_t kSectorBytes = 512;
inline constexpr std::size_t kSectorPayload = 496;
inline constexpr std::size_t kBatchHeaderBytes = 8;
inline constexpr std::size_t kRecordHeaderBytes = 32;
inline constexpr std::uint64_t kMaxSectors = 1ULL
                                             << 24;  // sector numbers have 24 bits: a segment is below 8 GiB

// Little-endian integers.
void put_u32(std::string& out, std::uint32_t value);
void put_u64(std::string& out, std::uint64_t value);
[[nodiscard]] std::uint32_t get_u32(std::string_view bytes, std::size_t at);
[[nodiscard]] std::uint64_t get_u64(std::string_view bytes, std::size_t at);

struct SegmentHeader {
  std::uint64_t log_id = 0;           // random, the same in every file of one log
  std::uint64_t sequence = 0;         // 1, 2, … in the order of creation; also in the file's name
  std::uint64_t first_index = 0;      // of the first data record that goes into it
  std::uint64_t first_batch = 0;      // number of its first batch
  std::uint64_t epoch = 0;            // largest epoch before it
  std::uint64_t allocated_bytes = 0;  // length of the file while it is the last one
  std::uint64_t previous_end = 0;     // where the segment before ends, in bytes; 0 when there was none

  [[nodiscard]] std::uint64_t capacity_sectors() const { return allocated_bytes / kSectorBytes; }
};

[[nodiscard]] std::string encode(const SegmentHeader& header);  // one sector
// LOG_DAMAGED, or LOG_FORMAT_NEWER when an intact header carries a larger version.
[[nodiscard]] Result<SegmentHeader> decode_segment_header(std::string_view sector);

// "log-0000000007.seg"; nullopt for other names.
[[nodiscard]] std::string segment_name(std::uint64_t sequence);
[[nodiscard]] std::optional<std::uint64_t> parse_segment_name(std::string_view name);

// Seed of a segment's sector checksums: a sector of another segment or another log never verifies here.
[[nodiscard]] std::uint32_t sector_seed(std::uint64_t log_id, std::uint64_t sequence);

enum class SectorState { kValid, kBlank, kTorn, kDamaged };

struct Sector {
  SectorState state;
  bool first = false;  // of its batch
  bool last = false;
  std::uint64_t batch = 0;
  std::string_view payload;  // kSectorPayload bytes, inside what was read
};

// `number` is the sector's position in the file (0 is the header).
[[nodiscard]] Sector read_sector(std::uint32_t seed, std::uint64_t number, std::string_view bytes);

[[nodiscard]] constexpr std::uint64_t sectors_for(std::size_t stream_bytes) {
  return (stream_bytes + kSectorPayload - 1) / kSectorPayload;
}

// Appends the sectors of one batch to `out`; `stream` is not empty, `number` is where its first sector goes.
void append_sectors(std::string& out, std::uint32_t seed, std::uint64_t number, std::uint64_t batch,
                    std::string_view stream);

enum class RecordKind : std::uint8_t {
  kData = 1,
  kEpoch = 2,   // a new epoch begins; has the index of the next data record and no body
  kClosed = 3,  // a clean stop: proves that the batch before was synced
  kSealed = 4,  // the log goes on in the next segment; nothing after it in this file means anything
};

struct RecordView {
  RecordKind kind;
  std::uint64_t index;
  std::uint64_t epoch;
  std::string_view body;
};

// The stream of a batch: a header with length and count, then records without gaps.
void begin_stream(std::string& stream);
void append_record(std::string& stream, const RecordView& record);  // also keeps length and count right

// Calls `visit` for each record of a stream (which may have padding behind it). LOG_DAMAGED when lengths,
// counts or checksums do not fit; records before the damage were visited then.
[[nodiscard]] Status read_stream(std::string_view stream,
                                 const std::function<void(const RecordView&)>& visit);

}  // namespace ez::log::format
