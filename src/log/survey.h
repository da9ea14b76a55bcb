// Reads a whole log directory and says what is there and what is wrong: the common part of opening a log
// (which refuses at the first damage) and inspecting it (which goes on). Changes nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "log/batch_map.h"
#include "log/disk.h"
#include "log/format.h"
#include "log/segment_reader.h"

namespace ez::log {

inline constexpr std::size_t kMaxDamages = 100;  // more are not listed

struct Damage {
  std::string file;  // path
  std::uint64_t offset = 0;
  Code code = Code::LogDamaged;
  std::string message;
  std::string advice;

  // The error that a refusal to open carries: names the file, the offset and what to do.
  [[nodiscard]] Error error() const;
};

struct SegmentSummary {
  std::string path;
  format::SegmentHeader header;
  std::uint64_t file_bytes = 0;
  std::uint64_t end_offset = format::kSectorBytes;  // where its complete batches end
  std::uint64_t last_batch_offset = 0;              // 0: no batch
  std::uint64_t batches = 0;
  std::uint64_t records = 0;       // data records
  std::vector<BatchPlace> places;  // of the batches with data records
  std::uint64_t last_index = 0;    // header.first_index - 1 when it holds no data record
};

// How many record bytes stand in the log up to an index; one entry per 64 KiB, so that bytes_since_snapshot()
// is cheap.
using ByteMarks = std::vector<std::pair<std::uint64_t, std::uint64_t>>;
inline constexpr std::uint64_t kByteMarkDistance = 64 * 1024;
// What one record counts for in ByteMarks.
[[nodiscard]] constexpr std::uint64_t counted_bytes(std::size_t body) {
  return body + format::kRecordHeaderBytes;
}

struct Survey {
  std::vector<SegmentSummary> segments;  // in order; only those whose header could be read
  std::uint64_t log_id = 0;
  std::uint64_t first_index = 1;
  std::uint64_t last_index = 0;
  std::uint64_t first_epoch = 0;
  std::uint64_t epoch = 0;       // largest seen
  std::uint64_t next_batch = 1;  // number that the next batch will have
  std::uint64_t records = 0;
  std::uint64_t record_bytes = 0;
  ByteMarks marks;
  Tail tail;                  // of the last segment; only when it is not damaged
  bool seal_missing = false;  // of the last but one; the last holds no batch yet, so a crash explains it
  std::vector<std::uint64_t> snapshots;  // indexes by file name, ascending
  std::vector<std::string> leftovers;    // names of unfinished files (*.tmp)
  std::vector<Damage> damage;

  [[nodiscard]] bool fresh() const { return segments.empty() && snapshots.empty() && damage.empty(); }
};

// DATA_DIR_UNUSABLE, IO_FAILED; damage is no error here. `stop_at_damage`: the first one is enough.
[[nodiscard]] Result<Survey> survey(Disk& disk, const std::string& directory, bool stop_at_damage);

}  // namespace ez::log
