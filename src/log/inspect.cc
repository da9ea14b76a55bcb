#include "log/inspect.h"

#include "log/snapshot_file.h"

namespace ez::log {
namespace {

// The whole content is read, so that every checksum is looked at.
Result<std::uint64_t> content_bytes(SnapshotReader& reader) {
  std::uint64_t total = 0;
  for (;;) {
    EZ_ASSIGN(const std::string part, reader.read(kSnapshotChunkBytes));
    if (part.empty()) return total;
    total += part.size();
  }
}

Status inspect_snapshot(Disk& disk, const std::string& path, std::uint64_t index, const Survey& found,
                        LogReport& report) {
  SnapshotSummary summary;
  summary.path = path;
  summary.index = LogIndex{index};
  EZ_ASSIGN(auto file, disk.open(path, false));
  EZ_ASSIGN(const std::uint64_t bytes, file->size());
  report.file_bytes += bytes;
  std::uint64_t log_id = found.log_id;
  if (found.segments.empty()) {
    EZ_ASSIGN(const auto own, snapshot_log_id(disk, path));
    log_id = own.value_or(0);
  }
  auto reader = open_snapshot(disk, path, log_id, index);
  if (reader.ok()) {
    summary.verified = true;
    summary.epoch = (*reader)->epoch();
    EZ_ASSIGN(summary.bytes, content_bytes(**reader));
  } else {
    const Error& error = reader.error();
    if (error.code() != Code::SnapshotDamaged && error.code() != Code::LogFormatNewer) return error;
    const bool older_verified = !report.snapshots.empty() && report.snapshots.back().verified;
    report.damage.push_back(
        {path, 0, error.code(), error.message(),
         older_verified
             ? "Move the file to another place: ez then starts from the snapshot before it and the log."
             : std::string(error.hint())});
  }
  report.snapshots.push_back(std::move(summary));
  return {};
}

}  // namespace

Result<LogReport> inspect(Disk& disk, const std::string& directory) {
  LogReport report;
  const auto lock = disk.lock_existing(directory + "/LOCK");
  if (!lock.ok()) {
    if (lock.error().code() != Code::DataDirLocked) return lock.error();
    report.locked = true;
    report.lock_holder = lock.error().message();
  }
  EZ_ASSIGN(Survey found, survey(disk, directory, false));
  report.empty = found.fresh();
  report.first_index = LogIndex{found.first_index};
  report.last_index = LogIndex{found.last_index};
  report.first_epoch = Epoch{found.first_epoch};
  report.last_epoch = Epoch{found.epoch};
  report.records = found.records;
  report.record_bytes = found.record_bytes;
  report.leftovers = found.leftovers;
  report.damage = found.damage;
  if (found.tail.state == Tail::State::kTorn) {
    report.torn_bytes = found.tail.torn_bytes;
    report.torn_file = found.segments.back().path;
    report.torn_offset = found.tail.offset;
  }
  for (const SegmentSummary& segment : found.segments) report.file_bytes += segment.file_bytes;
  for (const std::uint64_t index : found.snapshots) {
    if (report.damage.size() >= kMaxDamages) break;
    EZ_TRY(inspect_snapshot(disk, directory + "/" + snapshot_name(index), index, found, report));
  }
  report.segments = std::move(found.segments);
  return report;
}

}  // namespace ez::log
