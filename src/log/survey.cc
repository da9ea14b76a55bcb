#include "log/survey.h"

#include <algorithm>
#include <memory>

#include "log/snapshot_file.h"

namespace ez::log {
namespace {

const char* const kRestore =
    "Keep a copy of the directory as it is, run `ez doctor --data DIR`, then restore the directory from a "
    "backup.";
const char* const kMissing =
    "Put the missing file back if it was moved; otherwise restore the directory from a backup.";

class Surveyor {
 public:
  Surveyor(Disk& disk, std::string directory, bool stop)
      : disk_(disk), directory_(std::move(directory)), stop_(stop) {}

  Result<Survey> run() {
    EZ_ASSIGN(const auto names, disk_.list(directory_));
    std::vector<std::uint64_t> sequences;
    for (const std::string& name : names) {
      if (const auto sequence = format::parse_segment_name(name)) sequences.push_back(*sequence);
      if (const auto index = parse_snapshot_name(name)) out_.snapshots.push_back(*index);
      if (name.ends_with(".tmp")) out_.leftovers.push_back(name);
    }
    EZ_TRY(read_headers(sequences));
    for (std::size_t i = 0; i < out_.segments.size() && !enough(); ++i) EZ_TRY(read_segment(i));
    if (!enough()) EZ_TRY(check_snapshots());
    return std::move(out_);
  }

 private:
  [[nodiscard]] bool enough() const {
    return out_.damage.size() >= kMaxDamages || (stop_ && !out_.damage.empty());
  }
  void add(const std::string& path, std::uint64_t offset, std::string message, const char* advice = kRestore,
           Code code = Code::LogDamaged) {
    if (out_.damage.size() < kMaxDamages)
      out_.damage.push_back({path, offset, code, std::move(message), advice});
  }
  [[nodiscard]] std::string path_of(std::uint64_t sequence) const {
    return directory_ + "/" + format::segment_name(sequence);
  }

  Status read_headers(const std::vector<std::uint64_t>& sequences) {
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      const std::string path = path_of(sequences[i]);
      if (i > 0 && sequences[i] != sequences[i - 1] + 1) {
        add(path_of(sequences[i - 1] + 1), 0, "the segment is missing", kMissing);
      }
      auto reader = SegmentReader::open(disk_, path);
      if (!reader.ok()) {
        const Error& error = reader.error();
        if (error.code() != Code::LogDamaged && error.code() != Code::LogFormatNewer) return error.in(path);
        const bool newer = error.code() == Code::LogFormatNewer;
        add(path, 0, error.message(), newer ? info(error.code()).hint.data() : kRestore, error.code());
        continue;
      }
      SegmentSummary summary;
      summary.path = path;
      summary.header = (*reader)->header();
      summary.file_bytes = (*reader)->file_bytes();
      summary.last_index = summary.header.first_index - 1;
      if (summary.header.sequence != sequences[i]) {
        add(path, 24, "the header says segment " + std::to_string(summary.header.sequence));
      }
      if (!out_.segments.empty() && summary.header.log_id != out_.log_id) {
        add(path, 16, "the segment belongs to another log");
      }
      if (out_.segments.empty()) start_with(summary.header);
      out_.segments.push_back(std::move(summary));
    }
    last_sequence_ = sequences.empty() ? 0 : sequences.back();
    return {};
  }

  void start_with(const format::SegmentHeader& header) {
    out_.log_id = header.log_id;
    out_.first_index = header.first_index;
    out_.last_index = header.first_index - 1;
    out_.next_batch = header.first_batch;
    out_.first_epoch = out_.epoch = header.epoch;
  }

  // Compares a header with what the segments before it held.
  void check_chain(const SegmentSummary& segment) {
    const format::SegmentHeader& header = segment.header;
    if (header.first_index != out_.last_index + 1 || header.first_batch != out_.next_batch ||
        header.epoch != out_.epoch) {
      add(segment.path, 32,
          "the segment does not continue the one before: it begins with record " +
              std::to_string(header.first_index) + ", the one before ends with " +
              std::to_string(out_.last_index));
      out_.last_index = header.first_index - 1;
      out_.next_batch = header.first_batch;
      out_.epoch = std::max(out_.epoch, header.epoch);
    }
  }

  Status read_segment(std::size_t i) {
    SegmentSummary& segment = out_.segments[i];
    const bool last = segment.header.sequence == last_sequence_;
    const SegmentSummary* next = i + 1 < out_.segments.size() ? &out_.segments[i + 1] : nullptr;
    if (next != nullptr && next->header.sequence != segment.header.sequence + 1) next = nullptr;
    if (i > 0) check_chain(segment);
    auto opened = SegmentReader::open(disk_, segment.path);
    if (!opened.ok()) return opened.error().in(segment.path);
    SegmentReader& reader = **opened;
    bool sealed = false;
    while (!enough() && !sealed) {
      if (next != nullptr && reader.position() >= next->header.previous_end) break;
      auto found = reader.next();
      if (!found.ok()) return found.error().in(segment.path);
      if (!found->has_value()) {
        EZ_ASSIGN(const bool more, stopped(segment, reader, last));
        if (!more) return {};
        continue;
      }
      sealed = take(segment, **found);
    }
    if (enough()) return {};
    if (last && sealed) {
      add(path_of(last_sequence_ + 1), 0,
          "the segment is missing: the one before says that the log goes on in it", kMissing);
    }
    if (next != nullptr) return check_end(segment, *next, reader, sealed);
    return {};
  }

  // No complete batch at the reader's position. True when there is more to read behind a damage.
  Result<bool> stopped(SegmentSummary& segment, SegmentReader& reader, bool last) {
    auto judged = reader.tail();
    if (!judged.ok()) return judged.error().in(segment.path);
    if (last && segment.file_bytes < segment.header.allocated_bytes) {
      add(segment.path, segment.file_bytes,
          "the file was made " + std::to_string(segment.header.allocated_bytes) +
              " bytes long and has been cut");
      return false;
    }
    if (last && judged->state != Tail::State::kDamaged) {
      out_.tail = std::move(*judged);
      return false;
    }
    if (judged->state == Tail::State::kDamaged) {
      add(segment.path, judged->damage_offset, judged->message);
    } else {
      add(segment.path, judged->offset,
          "the segment ends too early: a later one continues after more than this");
    }
    auto more = reader.skip_damage();
    if (!more.ok()) return more.error().in(segment.path);
    resynchronise_ = *more;
    return *more;
  }

  // A segment with a successor: it has to end exactly where the successor says, with a seal.
  Status check_end(const SegmentSummary& segment, const SegmentSummary& next, SegmentReader& reader,
                   bool sealed) {
    if (sealed || reader.position() != next.header.previous_end) {
      add(segment.path, segment.end_offset,
          "the segment ends here, but the next one says at " + std::to_string(next.header.previous_end));
      return {};
    }
    auto seal = reader.next();
    if (!seal.ok()) return seal.error().in(segment.path);
    if (seal->has_value() && is_seal(**seal)) return {};
    auto following = SegmentReader::open(disk_, next.path);
    if (!following.ok()) return following.error().in(next.path);
    auto batch = (*following)->next();
    if (!batch.ok()) return batch.error().in(next.path);
    if (next.header.sequence == last_sequence_ && !batch->has_value()) {
      out_.seal_missing = true;
    } else {
      add(segment.path, next.header.previous_end, "the mark at the end of the segment is damaged");
    }
    return {};
  }

  static bool is_seal(const Batch& batch) {
    bool seal = false;
    const Status read = format::read_stream(batch.stream, [&](const format::RecordView& record) {
      seal = record.kind == format::RecordKind::kSealed;
    });
    return read.ok() && seal;
  }

  // Counts one complete batch; true when it is the seal.
  bool take(SegmentSummary& segment, const Batch& batch) {
    bool sealed = false;
    std::string wrong;
    const Status read = format::read_stream(batch.stream, [&](const format::RecordView& record) {
      if (record.kind == format::RecordKind::kSealed) {
        sealed = true;
        return;
      }
      if (resynchronise_) {
        out_.last_index = record.index - 1;
        resynchronise_ = false;
      }
      if (record.index != out_.last_index + 1 || record.epoch < out_.epoch) {
        wrong = "record " + std::to_string(record.index) + " of epoch " + std::to_string(record.epoch) +
                " does not follow record " + std::to_string(out_.last_index) + " of epoch " +
                std::to_string(out_.epoch);
        return;
      }
      out_.epoch = record.epoch;
      if (out_.first_epoch == 0) out_.first_epoch = record.epoch;
      if (record.kind != format::RecordKind::kData) return;
      out_.last_index = segment.last_index = record.index;
      if (segment.places.empty() || segment.places.back().batch != batch.number) {
        segment.places.push_back({record.index, batch.number, batch.offset / format::kSectorBytes});
      }
      ++segment.records;
      ++out_.records;
      out_.record_bytes += counted_bytes(record.body.size());
      const std::uint64_t marked = out_.marks.empty() ? 0 : out_.marks.back().second;
      if (out_.record_bytes >= marked + kByteMarkDistance)
        out_.marks.emplace_back(record.index, out_.record_bytes);
    });
    if (!read.ok()) wrong = read.error().message();
    if (!wrong.empty()) add(segment.path, batch.offset, wrong);
    if (sealed) return true;
    ++segment.batches;
    segment.last_batch_offset = batch.offset;
    segment.end_offset = batch.offset + batch.bytes;
    out_.next_batch = batch.number + 1;
    return false;
  }

  Status check_snapshots() {
    for (const std::uint64_t index : out_.snapshots) {
      const std::string path = directory_ + "/" + snapshot_name(index);
      if (index > out_.last_index) {
        add(path, 0,
            "the log ends with record " + std::to_string(out_.last_index) +
                " before this snapshot: its end is missing",
            kMissing);
      }
      EZ_ASSIGN(const auto log_id, snapshot_log_id(disk_, path));
      if (log_id && !out_.segments.empty() && *log_id != out_.log_id) {
        add(path, 16, "the snapshot belongs to another log", kRestore, Code::SnapshotDamaged);
      }
    }
    const bool covered = std::any_of(out_.snapshots.begin(), out_.snapshots.end(), [&](std::uint64_t index) {
      return index + 1 >= out_.first_index && index <= out_.last_index;
    });
    if (out_.first_index > 1 && !covered) {
      add(out_.segments.front().path, 32,
          "the log begins with record " + std::to_string(out_.first_index) +
              " and no snapshot holds what was before",
          kMissing);
    }
    return {};
  }

  Disk& disk_;
  const std::string directory_;
  const bool stop_;
  Survey out_;
  std::uint64_t last_sequence_ = 0;
  bool resynchronise_ = false;
};

}  // namespace

Error Damage::error() const {
  return Error(code, file + " at byte " + std::to_string(offset) + ": " + message, advice);
}

Result<Survey> survey(Disk& disk, const std::string& directory, bool stop_at_damage) {
  return Surveyor(disk, directory, stop_at_damage).run();
}

}  // namespace ez::log
