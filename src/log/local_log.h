// The embedded log: a write-ahead log in one directory of one machine. See log.h for the contract,
// docs/formats/log.md for the bytes.
//
// Group commit. append() stages into batches; poll() writes each batch with one write and one fdatasync and
// then calls committed() in order. A batch holds at most max_batch_bytes (or one larger record).
//
// Opening. A torn tail (traces of one write that never ended, at the very end) is left behind and reported:
// the log goes on in a new segment. Any other damage refuses with LOG_DAMAGED or SNAPSHOT_DAMAGED, naming
// file, offset and remedy. The last batch, the only one whose sync nothing proves, is written and synced
// again before it counts.
//
// Full disk. Below reserve_bytes of free room append() refuses with LOG_DISK_FULL; every accepted record has
// its place in a preallocated segment. Free room is looked at every reserve_check_bytes and every
// reserve_check_ms, and while refusing every 100 ms.
//
// Threads and ownership. As log.h says. The disk, clock and random outlive the log. With background_prepare
// one thread of its own writes zeros into the next segment's file.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/random.h"
#include "base/result.h"
#include "log/disk.h"
#include "log/log.h"

namespace ez::log {

struct LocalLogOptions {
  std::uint64_t segment_bytes = 64ULL << 20;   // 4 KiB to 4 GiB; rounded up to whole sectors
  std::uint64_t max_batch_bytes = 4ULL << 20;  // at most kMaxOutstandingBytes
  std::uint64_t reserve_bytes = 256ULL << 20;
  std::uint64_t reserve_check_bytes = 8ULL << 20;
  std::int64_t reserve_check_ms = 1000;
  std::uint64_t replay_bytes_per_poll = 4ULL << 20;
  bool zero_fill = true;           // write zeros into new segments, which halves the time of later syncs
  bool background_prepare = true;  // false: no thread, everything in the caller's (deterministic)
  Clock* clock = nullptr;          // nullptr: system_clock()
  Random* random = nullptr;        // names a new log; nullptr: system_random()
};

// What opening found.
struct OpenReport {
  bool fresh = false;  // a new log was created
  LogIndex first_index;
  LogIndex last_index;
  Epoch epoch;  // largest seen
  std::uint64_t segments = 0;
  std::uint64_t leftovers_removed = 0;  // unfinished files of an earlier process
  std::uint64_t torn_bytes = 0;         // 0: the tail was whole
  std::string torn_file;
  std::uint64_t torn_offset = 0;
};

// Creates the directory and the log when absent. DATA_DIR_LOCKED, DATA_DIR_UNUSABLE, LOG_DAMAGED,
// SNAPSHOT_DAMAGED, LOG_FORMAT_NEWER, LOG_DISK_FULL, LOG_WRITE_FAILED, IO_FAILED, INVALID_ARGUMENT (options).
[[nodiscard]] Result<std::unique_ptr<Log>> open_local_log(Disk& disk, const std::string& directory,
                                                          const LocalLogOptions& options = {},
                                                          OpenReport* report = nullptr);

}  // namespace ez::log
