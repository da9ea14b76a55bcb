#include "log/local_log_open.h"

#include <algorithm>

#include "log/snapshot_file.h"

namespace ez::log {
namespace {

constexpr std::uint64_t kMinSegmentBytes = 4096;
constexpr std::uint64_t kMaxSegmentBytes = 4ULL << 30;

// Whether this user may create files here; better said now than when the next segment is due.
Status probe(Disk& disk, const std::string& directory) {
  const std::string path = directory + "/probe.tmp";
  auto file = disk.create(path);
  if (!file.ok()) {
    if (file.error().code() == Code::DiskFull) return {};
    return Error(Code::DataDirUnusable, file.error().message());
  }
  return disk.unlink(path);
}

// Writes the last batch again and syncs it: the process before may have died between write and sync, or its
// sync may have failed and left the pages marked as clean. Only the last batch can be concerned (see
// segment_writer.h).
Status make_durable(const SegmentSummary& segment, File& file) {
  if (segment.last_batch_offset == 0) return file.sync();
  std::string bytes(segment.end_offset - segment.last_batch_offset, '\0');
  EZ_ASSIGN(const std::size_t count, file.pread(segment.last_batch_offset, bytes));
  if (count != bytes.size()) return Error(Code::IoFailed, segment.path + " became shorter while it was read");
  EZ_TRY(file.pwrite(segment.last_batch_offset, bytes));
  return file.sync();
}

Status resume(Disk& disk, const std::string& directory, OpenedDirectory& out) {
  const Survey& survey = out.survey;
  const SegmentSummary& last = survey.segments.back();
  const bool has_predecessor = survey.segments.size() > 1;
  if (has_predecessor && last.batches == 0) {
    const SegmentSummary& before = survey.segments[survey.segments.size() - 2];
    EZ_TRY(SegmentWriter::seal(disk, before.path, before.header, last.header.previous_end,
                               last.header.first_batch, last.header.first_index, last.header.epoch));
  }
  EZ_ASSIGN(auto file, disk.open(last.path, true));
  EZ_TRY(make_durable(last, *file));
  EZ_TRY(disk.sync_dir(directory));
  const std::uint64_t sector = last.end_offset / format::kSectorBytes;
  out.writer->resume({last.header, std::move(file), last.path, sector, survey.next_batch, survey.epoch});
  if (survey.tail.state != Tail::State::kTorn) return {};
  out.report.torn_bytes = survey.tail.torn_bytes;
  out.report.torn_file = last.path;
  out.report.torn_offset = survey.tail.offset;
  return out.writer->roll(survey.last_index + 1);
}

// Snapshots that an unfinished removal left behind: the log does not reach back to them any more, or newer
// ones make them superfluous.
Status drop_old_snapshots(Disk& disk, const std::string& directory, Survey& survey) {
  bool removed = false;
  while (!survey.snapshots.empty()) {
    const std::uint64_t oldest = survey.snapshots.front();
    if (oldest + 1 >= survey.first_index && survey.snapshots.size() <= kSnapshotsKept) break;
    EZ_TRY(disk.unlink(directory + "/" + snapshot_name(oldest)));
    survey.snapshots.erase(survey.snapshots.begin());
    removed = true;
  }
  return removed ? disk.sync_dir(directory) : Status();
}

}  // namespace

Error writing_error(const Error& error) {
  switch (error.code()) {
    case Code::DiskFull:
      return Error(Code::LogDiskFull, error.message());
    case Code::IoFailed:
      return Error(Code::LogWriteFailed, error.message());
    default:
      return error;
  }
}

Result<OpenedDirectory> open_directory(Disk& disk, const std::string& directory,
                                       const LocalLogOptions& options) {
  if (options.segment_bytes < kMinSegmentBytes || options.segment_bytes > kMaxSegmentBytes) {
    return Error(Code::InvalidArgument, "segment_bytes is " + std::to_string(options.segment_bytes) +
                                            "; it has to be 4 KiB to 4 GiB");
  }
  if (options.max_batch_bytes > kMaxOutstandingBytes) {
    return Error(Code::InvalidArgument, "max_batch_bytes is more than can be outstanding");
  }
  OpenedDirectory out;
  EZ_TRY(disk.make_directory(directory));
  EZ_ASSIGN(out.lock, disk.lock(directory + "/LOCK"));
  EZ_ASSIGN(out.survey, survey(disk, directory, true));
  Survey& found = out.survey;
  if (!found.damage.empty()) return found.damage.front().error();
  for (const std::string& name : found.leftovers) EZ_TRY(disk.unlink(directory + "/" + name));
  out.report.leftovers_removed = found.leftovers.size();
  EZ_TRY(probe(disk, directory));
  EZ_TRY(drop_old_snapshots(disk, directory, found));

  SegmentWriter::Options writing;
  writing.segment_bytes =
      (options.segment_bytes + format::kSectorBytes - 1) / format::kSectorBytes * format::kSectorBytes;
  writing.max_batch_bytes = options.max_batch_bytes;
  writing.zero_fill = options.zero_fill;
  writing.background = options.background_prepare;
  out.writer = std::make_unique<SegmentWriter>(disk, directory, writing);
  out.report.fresh = found.fresh();
  if (found.fresh()) {
    Random& random = options.random != nullptr ? *options.random : system_random();
    found.log_id = random.next();
    const Status created = out.writer->create(found.log_id);
    if (!created.ok()) return writing_error(created.error());
  } else {
    const Status resumed = resume(disk, directory, out);
    if (!resumed.ok()) return writing_error(resumed.error());
  }
  out.report.first_index = LogIndex{found.first_index};
  out.report.last_index = LogIndex{found.last_index};
  out.report.epoch = Epoch{found.epoch};
  out.report.segments =
      std::max<std::size_t>(1, found.segments.size()) + (out.report.torn_bytes != 0 ? 1 : 0);
  return out;
}

}  // namespace ez::log
