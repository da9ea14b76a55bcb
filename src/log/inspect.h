// A look at a log directory for `ez doctor`: verifies every segment and every snapshot, changes nothing, and
// goes on behind damage.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "log/disk.h"
#include "log/survey.h"

namespace ez::log {

struct SnapshotSummary {
  std::string path;
  LogIndex index;
  Epoch epoch;
  std::uint64_t bytes = 0;  // of content
  bool verified = false;
};

struct LogReport {
  // Another process holds the lock and may be writing: a torn tail, unfinished files and even a damage at the
  // end may then be its work in progress; stop it and look again.
  bool locked = false;
  std::string lock_holder;  // what the lock says of its holder; empty when not locked
  bool empty = false;       // no log here
  LogIndex first_index;     // last_index + 1 when there is no record
  LogIndex last_index;
  Epoch first_epoch;
  Epoch last_epoch;
  std::uint64_t records = 0;
  std::uint64_t record_bytes = 0;  // with their headers
  std::uint64_t file_bytes = 0;    // of all segments and snapshots
  std::vector<SegmentSummary> segments;
  std::vector<SnapshotSummary> snapshots;  // oldest first
  std::vector<std::string> leftovers;      // unfinished files, removed by the next start
  std::uint64_t torn_bytes = 0;            // not damage: the next start cuts it
  std::string torn_file;
  std::uint64_t torn_offset = 0;
  std::vector<Damage> damage;  // at most kMaxDamages

  [[nodiscard]] bool healthy() const { return damage.empty(); }
};

// DATA_DIR_UNUSABLE when there is no such directory, IO_FAILED when a file cannot be read; damage is in the
// report. Holds the lock while it reads when the lock is free.
[[nodiscard]] Result<LogReport> inspect(Disk& disk, const std::string& directory);

}  // namespace ez::log
