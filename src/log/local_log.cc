#include "log/local_log.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <vector>

#include "base/check.h"
#include "log/batch_map.h"
#include "log/local_log_open.h"
#include "log/segment_reader.h"
#include "log/snapshot_file.h"

namespace ez::log {
namespace {

constexpr std::int64_t kRefusingCheckMs = 100;
constexpr std::chrono::hours kLongestWait{1};

struct KnownSegment {
  std::string path;
  std::uint64_t first_index = 0;
  std::uint64_t previous_end = 0;
};

class LocalLog final : public Log {
 public:
  LocalLog(Disk& disk, std::string directory, const LocalLogOptions& options, OpenedDirectory opened)
      : disk_(disk),
        directory_(std::move(directory)),
        options_(options),
        clock_(options.clock != nullptr ? *options.clock : system_clock()),
        lock_(std::move(opened.lock)),
        writer_(std::move(opened.writer)),
        epoch_(opened.survey.epoch),
        next_index_(opened.survey.last_index + 1),
        durable_index_(opened.survey.last_index),
        record_bytes_(opened.survey.record_bytes),
        marks_(std::move(opened.survey.marks)),
        places_(disk) {
    for (const SegmentSummary& segment : opened.survey.segments) {
      segments_.push_back({segment.path, segment.header.first_index, segment.header.previous_end});
      places_.add_segment(segment.path, segment.header.first_index);
      for (const BatchPlace& place : segment.places) places_.add(place);
    }
    note_segment();
    snapshots_ = std::make_shared<SnapshotStore>(disk_, directory_, opened.survey.log_id,
                                                 opened.survey.snapshots, lock_);
  }

  Result<std::unique_ptr<SnapshotReader>> newest_snapshot() override { return snapshots_->newest(); }
  Result<std::unique_ptr<SnapshotReader>> oldest_snapshot() override { return snapshots_->oldest(); }

  Status start(LogIndex applied, LogListener& listener) override {
    EZ_CHECK(listener_ == nullptr, "start() of a log that was started");
    const std::uint64_t first = segments_.front().first_index;
    if (applied.value + 1 < first) {
      return Error(Code::LogDamaged, directory_ + ": the log begins with record " + std::to_string(first) +
                                         ", but record " + std::to_string(applied.value + 1) + " is needed");
    }
    if (applied.value > durable_index_) {
      return Error(Code::LogDamaged,
                   directory_ + ": the log ends with record " + std::to_string(durable_index_) +
                       ", but the state is that of record " + std::to_string(applied.value));
    }
    listener_ = &listener;
    delivered_index_ = applied.value;
    replay_end_ = durable_index_;
    replay_ = segments_;
    const auto after = std::find_if(replay_.begin(), replay_.end(), [&](const KnownSegment& segment) {
      return segment.first_index > applied.value + 1;
    });
    replay_.erase(replay_.begin(), after - 1);
    phase_ = Phase::kReplaying;
    return {};
  }

  Status append(Epoch epoch, Ticket ticket, std::string bytes) override {
    if (failure_) return Error(Code::ShuttingDown, "the log has failed: " + failure_->message());
    if (phase_ != Phase::kLeading || epoch.value != epoch_) {
      return Error(Code::NotLeader, "epoch " + std::to_string(epoch.value) + " does not lead this log");
    }
    if (bytes.size() > kMaxRecordBytes) {
      return Error(Code::PayloadTooLarge, "a record has " + std::to_string(bytes.size()) +
                                              " bytes, at most " + std::to_string(kMaxRecordBytes) +
                                              " are possible");
    }
    const std::uint64_t counted = counted_bytes(bytes.size());
    if (outstanding_bytes_ + counted > kMaxOutstandingBytes) {
      return Error(Code::Overloaded, std::to_string(outstanding_bytes_) + " bytes wait for the disk");
    }
    EZ_TRY(check_room(counted));
    const Status staged = writer_->stage({format::RecordKind::kData, next_index_, epoch_, bytes}, ticket);
    if (!staged.ok()) {
      if (staged.error().code() == Code::DiskFull) return writing_error(staged.error());
      fail(staged.error());
      return Error(Code::ShuttingDown, "the log has failed: " + staged.error().message());
    }
    ++next_index_;
    outstanding_bytes_ += counted;
    return {};
  }

  void poll(std::chrono::microseconds wait) override {
    EZ_CHECK(!polling_, "poll() inside a callback");
    polling_ = true;
    if (!work()) {
      sleep(wait);
      work();
    }
    polling_ = false;
  }

  void wake() override {
    {
      std::lock_guard lock(wake_mutex_);
      woken_ = true;
    }
    wake_ready_.notify_one();
  }

  Status seal(Epoch epoch) override {
    if (failure_) return *failure_;
    if (epoch.value < epoch_ || phase_ == Phase::kSealed) return {};
    if (phase_ == Phase::kLeading) {
      while (writer_->staged_batches() > 0 && write_batch()) {
      }
      if (!failure_) mark_closed();
    }
    phase_ = Phase::kSealed;
    leadership_lost_ = listener_ != nullptr;
    if (failure_) return *failure_;
    return {};
  }

  Result<std::unique_ptr<SnapshotWriter>> begin_snapshot(LogIndex index, Epoch epoch) override {
    if (failure_) return *failure_;
    if (index.value > delivered_index_) {
      return Error(Code::InvalidArgument, "record " + std::to_string(index.value) + " is not committed yet");
    }
    return snapshots_->begin(index, epoch);
  }

  Status trim(LogIndex index) override {
    if (failure_) return *failure_;
    const std::uint64_t bound = std::min({index.value, delivered_index_, snapshots_->oldest_index()});
    while (segments_.size() > 1 && segments_[1].first_index <= bound + 1) {
      // One by one: a crash in between must never leave a gap.
      Status removed = disk_.unlink(segments_.front().path);
      if (removed.ok()) removed = disk_.sync_dir(directory_);
      if (!removed.ok()) {
        fail(removed.error());
        return *failure_;
      }
      segments_.erase(segments_.begin());
      places_.drop_segments_before(segments_.front().first_index);
    }
    const std::uint64_t first = segments_.front().first_index;
    const auto kept =
        std::find_if(marks_.begin(), marks_.end(), [&](const auto& mark) { return mark.first >= first; });
    // The last mark before `first` stays: it says how many bytes were before the first record.
    if (kept - marks_.begin() > 1) marks_.erase(marks_.begin(), kept - 1);
    return {};
  }

  [[nodiscard]] Result<std::string> read(LogIndex index) const override { return places_.read(index.value); }

  [[nodiscard]] LogIndex first_index() const override { return LogIndex{segments_.front().first_index}; }
  [[nodiscard]] LogIndex last_index() const override { return LogIndex{durable_index_}; }

  [[nodiscard]] std::uint64_t bytes_since_snapshot() const override {
    const std::uint64_t index = snapshots_->newest_index();
    const auto after =
        std::upper_bound(marks_.begin(), marks_.end(), index,
                         [](std::uint64_t value, const auto& mark) { return value < mark.first; });
    return record_bytes_ - (after == marks_.begin() ? 0 : (after - 1)->second);
  }

 private:
  enum class Phase { kOpened, kReplaying, kAcquiring, kLeading, kSealed };

  // Everything that can be done now; false when there was nothing.
  bool work() {
    bool worked = deliver_failure();
    if (failure_) return worked;
    if (phase_ == Phase::kReplaying) worked |= replay();
    if (phase_ == Phase::kAcquiring && !failure_) worked |= acquire();
    worked |= deliver_ready();
    // Only what is staged now: what the callbacks append goes into the next call, and the loop gets its turn.
    for (std::size_t left = writer_->staged_batches(); left > 0 && write_batch(); --left) {
      deliver_ready();
      worked = true;
    }
    if (leadership_lost_ && !failure_) {
      leadership_lost_ = false;
      listener_->leadership(Epoch{epoch_}, false);
      worked = true;
    }
    if (phase_ == Phase::kLeading && !failure_) {
      if (Status ahead = writer_->prepare_ahead(); !ahead.ok()) fail(ahead.error());
    }
    return deliver_failure() || worked;
  }

  void sleep(std::chrono::microseconds wait) {
    wait = std::min<std::chrono::microseconds>(wait, kLongestWait);  // a clock's sum must not overflow
    if (phase_ == Phase::kAcquiring) wait = std::min<std::chrono::microseconds>(wait, retry_distance());
    std::unique_lock lock(wake_mutex_);
    wake_ready_.wait_for(lock, wait, [&] { return woken_; });
    woken_ = false;
  }

  static std::chrono::microseconds retry_distance() { return std::chrono::milliseconds(kRefusingCheckMs); }

  // Writes and syncs the oldest staged batch and keeps it for delivery. False: failed.
  bool write_batch() {
    if (failure_) return false;
    if (Status written = writer_->write_next(); !written.ok()) {
      in_flight_ = true;
      fail(written.error());
      return false;
    }
    note_segment();
    StagedBatch batch = writer_->take_written();
    note_place(batch);
    for (const StagedRecord& record : batch.records) {
      if (record.kind != format::RecordKind::kData) continue;
      durable_index_ = record.index;
      record_bytes_ += counted_bytes(record.body_bytes);
    }
    const std::uint64_t marked = marks_.empty() ? 0 : marks_.back().second;
    if (record_bytes_ >= marked + kByteMarkDistance) marks_.emplace_back(durable_index_, record_bytes_);
    ready_.push_back(std::move(batch));
    return true;
  }

  void note_segment() {
    const format::SegmentHeader& header = writer_->header();
    if (segments_.empty() || segments_.back().path != writer_->path()) {
      segments_.push_back({writer_->path(), header.first_index, header.previous_end});
      places_.add_segment(writer_->path(), header.first_index);
    }
  }

  void note_place(const StagedBatch& batch) {
    for (const StagedRecord& record : batch.records) {
      if (record.kind != format::RecordKind::kData) continue;
      places_.add({record.index, writer_->batches_written(), batch.sector});
      return;
    }
  }

  bool deliver_ready() {
    bool any = false;
    while (!ready_.empty()) {
      StagedBatch batch = std::move(ready_.front());
      ready_.pop_front();
      for (const StagedRecord& record : batch.records) {
        if (record.kind != format::RecordKind::kData) continue;
        outstanding_bytes_ -= counted_bytes(record.body_bytes);
        delivered_index_ = record.index;
        const std::string_view body =
            std::string_view(batch.stream).substr(record.body_at, record.body_bytes);
        listener_->committed({LogIndex{record.index}, Epoch{record.epoch}, body, record.ticket});
      }
      any = true;
      writer_->recycle(std::move(batch.stream));
    }
    return any;
  }

  bool replay() {
    std::uint64_t bytes = 0;
    while (!failure_ && phase_ == Phase::kReplaying && delivered_index_ < replay_end_) {
      if (bytes >= options_.replay_bytes_per_poll) return true;
      if (Result<std::uint64_t> step = replay_batch(); step.ok()) {
        bytes += *step;
      } else {
        fail(step.error());
      }
    }
    if (phase_ == Phase::kReplaying) phase_ = Phase::kAcquiring;
    reader_.reset();
    return bytes > 0;
  }

  // Delivers the next batch of the log; gives its size (0 when only the segment changed).
  Result<std::uint64_t> replay_batch() {
    const std::string& path = replay_.front().path;
    if (reader_ == nullptr) {
      auto opened = SegmentReader::open(disk_, path);
      if (!opened.ok()) return opened.error().in(path);
      reader_ = std::move(opened).value();
    }
    const bool ended = replay_.size() > 1 && reader_->position() >= replay_[1].previous_end;
    if (!ended) {
      auto batch = reader_->next();
      if (!batch.ok()) return batch.error().in(path);
      if (!batch->has_value()) {
        return Error(Code::LogDamaged, path + " at byte " + std::to_string(reader_->position()) +
                                           ": a batch that was whole when the log was opened has changed");
      }
      const Status read = format::read_stream((*batch)->stream, [&](const format::RecordView& record) {
        if (record.kind != format::RecordKind::kData || record.index != delivered_index_ + 1 || failure_)
          return;
        delivered_index_ = record.index;
        listener_->committed({LogIndex{record.index}, Epoch{record.epoch}, record.body, Ticket{}});
      });
      if (!read.ok()) return read.error().in(path + " at byte " + std::to_string((*batch)->offset));
      return (*batch)->bytes;
    }
    reader_.reset();
    replay_.erase(replay_.begin());
    return std::uint64_t{0};
  }

  // Begins an epoch of our own, durably. On a full disk it is tried again later.
  bool acquire() {
    const std::int64_t now_us = clock_.monotonic_us();
    if (acquire_refused_ && now_us - last_acquire_us_ < kRefusingCheckMs * 1000) return false;
    const Status staged = writer_->stage({format::RecordKind::kEpoch, next_index_, epoch_ + 1, {}}, Ticket{});
    if (!staged.ok()) {
      acquire_refused_ = staged.error().code() == Code::DiskFull;
      last_acquire_us_ = now_us;
      if (!acquire_refused_) fail(staged.error());
      return !acquire_refused_;
    }
    if (!write_batch()) return true;
    ready_.pop_back();
    acquire_refused_ = false;
    ++epoch_;
    phase_ = Phase::kLeading;
    listener_->leadership(Epoch{epoch_}, true);
    return true;
  }

  // Proves to the next start that the last records were synced; see docs/formats/log.md. Without room it is
  // left out.
  void mark_closed() {
    const Status staged = writer_->stage({format::RecordKind::kClosed, next_index_, epoch_, {}}, Ticket{});
    if (staged.ok()) {
      write_batch();
    } else if (staged.error().code() != Code::DiskFull) {
      fail(staged.error());
    }
  }

  Status check_room(std::uint64_t bytes) {
    const std::int64_t now_us = clock_.monotonic_us();
    const std::int64_t distance_ms = refusing_ ? kRefusingCheckMs : options_.reserve_check_ms;
    unchecked_bytes_ += bytes;
    if (!room_checked_ || now_us - last_check_us_ >= distance_ms * 1000 ||
        (!refusing_ && unchecked_bytes_ >= options_.reserve_check_bytes)) {
      Result<std::uint64_t> room = disk_.free_bytes(directory_);
      if (!room.ok()) {
        fail(room.error());
        return Error(Code::ShuttingDown, "the log has failed: " + room.error().message());
      }
      room_checked_ = true;
      last_check_us_ = now_us;
      unchecked_bytes_ = 0;
      free_bytes_ = *room;
      refusing_ = free_bytes_ < options_.reserve_bytes;
    }
    if (!refusing_) return {};
    return Error(Code::LogDiskFull, directory_ + ": " + std::to_string(free_bytes_) + " bytes are free, " +
                                        std::to_string(options_.reserve_bytes) + " have to stay free");
  }

  void fail(const Error& error) {
    if (failure_) return;
    // Whatever the disk said, here it is final: also "full" in the middle of a write.
    const bool disk = error.code() == Code::IoFailed || error.code() == Code::DiskFull;
    failure_ = disk ? Error(Code::LogWriteFailed, error.message()) : error;
    wake();
  }

  bool deliver_failure() {
    if (!failure_ || failure_told_ || listener_ == nullptr) return false;
    failure_told_ = true;
    deliver_ready();  // durable before the failure
    bool first = true;
    for (const StagedBatch& batch : writer_->take_staged()) {
      const auto outcome = first && in_flight_ ? AppendOutcome::kUnknown : AppendOutcome::kRejected;
      for (const StagedRecord& record : batch.records) {
        if (record.kind == format::RecordKind::kData) listener_->append_ended(record.ticket, outcome);
      }
      first = false;
    }
    outstanding_bytes_ = 0;
    listener_->failed(*failure_);
    return true;
  }

  Disk& disk_;
  const std::string directory_;
  const LocalLogOptions options_;
  Clock& clock_;
  std::shared_ptr<DiskLock> lock_;  // shared with snapshot writers; released after everything below has ended
  std::unique_ptr<SegmentWriter> writer_;
  std::shared_ptr<SnapshotStore> snapshots_;  // shared with writers in other threads
  std::vector<KnownSegment> segments_;
  LogListener* listener_ = nullptr;
  Phase phase_ = Phase::kOpened;

  std::uint64_t epoch_;
  std::uint64_t next_index_;
  std::uint64_t durable_index_;
  std::uint64_t delivered_index_ = 0;
  std::uint64_t record_bytes_;
  ByteMarks marks_;
  BatchMap places_;
  std::uint64_t outstanding_bytes_ = 0;
  std::deque<StagedBatch> ready_;  // durable, not yet delivered

  std::vector<KnownSegment> replay_;  // what is still to be read, the present segment first
  std::unique_ptr<SegmentReader> reader_;
  std::uint64_t replay_end_ = 0;

  bool room_checked_ = false;
  bool refusing_ = false;
  bool acquire_refused_ = false;
  std::int64_t last_acquire_us_ = 0;
  std::int64_t last_check_us_ = 0;
  std::uint64_t unchecked_bytes_ = 0;
  std::uint64_t free_bytes_ = 0;

  bool polling_ = false;
  bool leadership_lost_ = false;
  bool in_flight_ = false;  // the oldest staged batch may be on the disk
  bool failure_told_ = false;
  std::optional<Error> failure_;

  std::mutex wake_mutex_;
  std::condition_variable wake_ready_;
  bool woken_ = false;
};

}  // namespace

Result<std::unique_ptr<Log>> open_local_log(Disk& disk, const std::string& directory,
                                            const LocalLogOptions& options, OpenReport* report) {
  EZ_ASSIGN(OpenedDirectory opened, open_directory(disk, directory, options));
  if (report != nullptr) *report = opened.report;
  return std::unique_ptr<Log>(std::make_unique<LocalLog>(disk, directory, options, std::move(opened)));
}

}  // namespace ez::log
