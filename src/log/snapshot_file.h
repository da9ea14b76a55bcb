// Snapshot files: written aside as snapshot-<index>.tmp, checksummed in chunks, synced, renamed to
// snapshot-<index>.snap, directory synced; the newest two are kept. docs/formats/log.md has the bytes.
//
// SnapshotStore is the list of them that the log and a writer in another thread share; it is thread-safe and
// held by shared_ptr because a writer may outlive the log. The disk outlives both.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "log/disk.h"
#include "log/log.h"

namespace ez::log {

inline constexpr std::size_t kSnapshotChunkBytes = 256 * 1024;
inline constexpr std::size_t kSnapshotsKept = 2;

[[nodiscard]] std::string snapshot_name(std::uint64_t index);
[[nodiscard]] std::optional<std::uint64_t> parse_snapshot_name(std::string_view name);

// Which log a snapshot file says it belongs to; nullopt when its header does not verify.
[[nodiscard]] Result<std::optional<std::uint64_t>> snapshot_log_id(Disk& disk, const std::string& path);

// Verifies the whole file, then hands out a reader at its beginning. SNAPSHOT_DAMAGED with file and offset,
// LOG_FORMAT_NEWER, IO_FAILED. `log_id` and `index` are what it has to say.
[[nodiscard]] Result<std::unique_ptr<SnapshotReader>> open_snapshot(Disk& disk, const std::string& path,
                                                                    std::uint64_t log_id,
                                                                    std::uint64_t index);

class SnapshotStore : public std::enable_shared_from_this<SnapshotStore> {
 public:
  // `indexes` ascending: what the directory holds. The directory's lock is shared, so that it stays held
  // while a writer that outlives the log can still change the directory.
  SnapshotStore(Disk& disk, std::string directory, std::uint64_t log_id, std::vector<std::uint64_t> indexes,
                std::shared_ptr<DiskLock> lock);

  [[nodiscard]] Result<std::unique_ptr<SnapshotReader>> newest();
  [[nodiscard]] Result<std::unique_ptr<SnapshotReader>> oldest();
  [[nodiscard]] std::uint64_t newest_index() const;  // 0: none
  [[nodiscard]] std::uint64_t oldest_index() const;  // 0: none

  // One writer at a time: OVERLOADED while another one lives. INVALID_ARGUMENT when `index` is not newer than
  // the newest snapshot. DISK_FULL, IO_FAILED.
  [[nodiscard]] Result<std::unique_ptr<SnapshotWriter>> begin(LogIndex index, Epoch epoch);

 private:
  class Writer;
  Result<std::unique_ptr<SnapshotReader>> read(std::uint64_t index, bool older_exists);
  Status committed(std::uint64_t index);
  void writer_ended();

  Disk& disk_;
  const std::string directory_;
  const std::uint64_t log_id_;
  const std::shared_ptr<DiskLock> lock_;
  mutable std::mutex mutex_;
  std::vector<std::uint64_t> indexes_;
  bool writing_ = false;
};

}  // namespace ez::log
