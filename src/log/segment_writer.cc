#include "log/segment_writer.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include "base/check.h"

namespace ez::log {
namespace {

using format::kSectorBytes;

constexpr std::uint64_t kZeroChunkBytes = 1024 * 1024;
constexpr std::uint64_t kZeroSyncBytes = 4 * 1024 * 1024;  // small enough not to hold up the log's own syncs
constexpr std::size_t kRecycledBytes = 8 * 1024 * 1024;    // larger buffers are given back to the system

Status fill(File& file, std::uint64_t bytes, bool zero_fill, const std::atomic<bool>& stop) {
  EZ_TRY(file.preallocate(bytes));
  if (zero_fill) {
    const std::string zeros(std::min(bytes, kZeroChunkBytes), '\0');
    for (std::uint64_t at = 0; at < bytes && !stop; at += zeros.size()) {
      EZ_TRY(file.pwrite(at, std::string_view(zeros).substr(0, bytes - at)));
      if ((at + zeros.size()) % kZeroSyncBytes == 0) EZ_TRY(file.sync());
    }
  }
  return file.sync();
}

Result<Spare> make_spare(Disk& disk, std::string path, std::uint64_t bytes, bool zero_fill,
                         const std::atomic<bool>& stop) {
  EZ_ASSIGN(auto file, disk.create(path));
  const Status filled = fill(*file, bytes, zero_fill, stop);
  if (!filled.ok()) {
    file.reset();
    // When the removal fails too, the next open of the log removes the file.
    static_cast<void>(disk.unlink(path).ok());
    return filled.error();
  }
  return Spare{std::move(file), std::move(path), bytes};
}

const std::atomic<bool> kNeverStop = false;

}  // namespace

// Prepares one spare at a time in a thread.
class SegmentWriter::Preparer {
 public:
  ~Preparer() { stop(); }
  void stop() {
    stop_ = true;
    join();
  }
  [[nodiscard]] bool busy() const { return thread_.joinable(); }
  void start(Disk& disk, std::string path, std::uint64_t bytes, bool zero_fill) {
    thread_ = std::thread([this, &disk, path = std::move(path), bytes, zero_fill] {
      auto made = make_spare(disk, path, bytes, zero_fill, stop_);
      std::lock_guard lock(mutex_);
      result_.emplace(std::move(made));
    });
  }
  // What was prepared, or nullopt while it is not done.
  std::optional<Result<Spare>> take() {
    {
      std::lock_guard lock(mutex_);
      if (!result_) return std::nullopt;
    }
    join();
    return std::exchange(result_, std::nullopt);
  }
  void join() {
    if (thread_.joinable()) thread_.join();
  }

 private:
  std::thread thread_;
  std::atomic<bool> stop_ = false;
  std::mutex mutex_;
  std::optional<Result<Spare>> result_;
};

SegmentWriter::SegmentWriter(Disk& disk, std::string directory, Options options)
    : disk_(disk),
      directory_(std::move(directory)),
      options_(options),
      preparer_(std::make_unique<Preparer>()) {}

SegmentWriter::~SegmentWriter() {
  preparer_->stop();
  if (auto made = preparer_->take(); made && made->ok()) drop(std::move(*made).value());
  while (!spares_.empty()) {
    drop(std::move(spares_.front()));
    spares_.pop_front();
  }
}

void SegmentWriter::drop(Spare spare) {
  spare.file.reset();
  // A spare that stays behind is removed by the next open of the log.
  static_cast<void>(disk_.unlink(spare.path).ok());
}

Status SegmentWriter::create(std::uint64_t log_id) {
  place_.header.log_id = log_id;
  EZ_TRY(ensure_spare(0, options_.segment_bytes));
  Spare spare = std::move(spares_.front());
  spares_.pop_front();
  return install(std::move(spare), {log_id, 1, 1, 1, 0, 0, 0});
}

void SegmentWriter::resume(Place place) { place_ = std::move(place); }

// Makes the spare part of the log under its new header.
Status SegmentWriter::install(Spare spare, format::SegmentHeader header) {
  header.allocated_bytes = spare.bytes;
  EZ_TRY(spare.file->pwrite(0, format::encode(header)));
  EZ_TRY(spare.file->sync());
  std::string path = directory_ + "/" + format::segment_name(header.sequence);
  EZ_TRY(disk_.rename(spare.path, path));
  EZ_TRY(disk_.sync_dir(directory_));
  place_ = {header, std::move(spare.file), std::move(path), 1, header.first_batch, header.epoch};
  return {};
}

Status SegmentWriter::roll(std::uint64_t first_index) {
  EZ_TRY(ensure_spare(0, options_.segment_bytes));
  Spare spare = std::move(spares_.front());
  spares_.pop_front();
  const Place old = std::move(place_);
  format::SegmentHeader header = old.header;
  header.sequence += 1;
  header.first_index = first_index;
  header.first_batch = old.batch;
  header.epoch = old.epoch;
  header.previous_end = old.sector * kSectorBytes;
  EZ_TRY(install(std::move(spare), header));
  EZ_TRY(seal(disk_, old.path, old.header, header.previous_end, old.batch, first_index, old.epoch));
  ++slot_;
  return {};
}

Status SegmentWriter::seal(Disk& disk, const std::string& path, const format::SegmentHeader& header,
                           std::uint64_t end, std::uint64_t batch, std::uint64_t next_index,
                           std::uint64_t epoch) {
  std::string stream;
  format::begin_stream(stream);
  format::append_record(stream, {format::RecordKind::kSealed, next_index, epoch, {}});
  std::string sectors;
  format::append_sectors(sectors, format::sector_seed(header.log_id, header.sequence), end / kSectorBytes,
                         batch, stream);
  EZ_ASSIGN(const auto file, disk.open(path, true));
  EZ_TRY(file->pwrite(end, sectors));
  EZ_TRY(file->truncate(end + sectors.size()));
  return file->sync();
}

std::uint64_t SegmentWriter::capacity(std::uint64_t slot) const {
  // The last sector is for the seal.
  const std::uint64_t bytes = slot == slot_ ? place_.header.allocated_bytes : spares_[slot - slot_ - 1].bytes;
  return bytes / kSectorBytes - 1;
}

Status SegmentWriter::ensure_spare(std::size_t position, std::uint64_t bytes) {
  if (auto made = preparer_->take()) {
    // A failed preparation in the background says nothing yet: it is tried again below, where it matters.
    if (made->ok()) spares_.push_back(std::move(*made).value());
  }
  // Spares at and after `position` are in no plan yet; one that is too small for this record is of no use.
  while (position < spares_.size() && spares_[position].bytes < bytes) {
    drop(std::move(spares_[position]));
    spares_.erase(spares_.begin() + static_cast<std::ptrdiff_t>(position));
  }
  if (position < spares_.size()) return {};
  const std::string path = directory_ + "/spare-" + std::to_string(++spares_made_) + ".tmp";
  // Here somebody waits, so no zeros are written unless everything happens in this thread by choice.
  const bool zero_fill = options_.zero_fill && (!options_.background || place_.file == nullptr);
  EZ_ASSIGN(Spare spare,
            make_spare(disk_, path, std::max(bytes, options_.segment_bytes), zero_fill, kNeverStop));
  spares_.push_back(std::move(spare));
  return {};
}

Result<SegmentWriter::Fit> SegmentWriter::find_place(std::uint64_t sectors) {
  Fit fit{slot_, place_.sector};
  if (!staged_.empty()) {
    const StagedBatch& last = staged_.back();
    fit = {last.slot, last.sector + format::sectors_for(last.stream.size())};
  }
  if (fit.sector + sectors <= capacity(fit.slot)) return fit;
  // Header, batch, seal.
  EZ_TRY(ensure_spare(fit.slot - slot_, (1 + sectors + 1) * kSectorBytes));
  return Fit{fit.slot + 1, 1};
}

Status SegmentWriter::stage(const format::RecordView& record, Ticket ticket) {
  const std::size_t bytes = format::kRecordHeaderBytes + record.body.size();
  const auto add = [&](StagedBatch& batch) {
    const std::size_t body_at = batch.stream.size() + format::kRecordHeaderBytes;
    format::append_record(batch.stream, record);
    batch.records.push_back({ticket, record.kind, record.index, record.epoch, body_at, record.body.size()});
  };
  if (!staged_.empty()) {
    StagedBatch& last = staged_.back();
    const std::size_t grown = last.stream.size() + bytes;
    if (grown <= options_.max_batch_bytes &&
        last.sector + format::sectors_for(grown) <= capacity(last.slot)) {
      add(last);
      return {};
    }
  }
  EZ_ASSIGN(const Fit fit, find_place(format::sectors_for(format::kBatchHeaderBytes + bytes)));
  StagedBatch batch;
  batch.stream = std::exchange(recycled_, {});
  format::begin_stream(batch.stream);
  batch.slot = fit.slot;
  batch.sector = fit.sector;
  add(batch);
  staged_.push_back(std::move(batch));
  return {};
}

Status SegmentWriter::write_next() {
  EZ_CHECK(!staged_.empty(), "write_next() without a staged batch");
  const StagedBatch& batch = staged_.front();
  if (batch.slot != slot_) EZ_TRY(roll(batch.records.front().index));
  EZ_CHECK(batch.slot == slot_ && batch.sector == place_.sector, "a batch goes where its place was reserved");
  buffer_.clear();
  format::append_sectors(buffer_, format::sector_seed(place_.header.log_id, place_.header.sequence),
                         place_.sector, place_.batch, batch.stream);
  EZ_TRY(place_.file->pwrite(place_.sector * kSectorBytes, buffer_));
  EZ_TRY(place_.file->sync());
  place_.sector += buffer_.size() / kSectorBytes;
  place_.batch += 1;
  place_.epoch = std::max(place_.epoch, batch.records.back().epoch);
  if (buffer_.capacity() > kRecycledBytes) std::string().swap(buffer_);
  written_ = std::move(staged_.front());
  staged_.pop_front();
  return {};
}

StagedBatch SegmentWriter::take_written() { return std::exchange(written_, {}); }
std::deque<StagedBatch> SegmentWriter::take_staged() { return std::exchange(staged_, {}); }

void SegmentWriter::recycle(std::string stream) {
  if (stream.capacity() <= kRecycledBytes && stream.capacity() > recycled_.capacity())
    recycled_ = std::move(stream);
}

Status SegmentWriter::prepare_ahead() {
  if (!options_.background) return {};
  if (auto made = preparer_->take()) {
    if (made->ok()) {
      spares_.push_back(std::move(*made).value());
    } else if (made->error().code() == Code::DiskFull) {
      ahead_refused_slot_ =
          slot_;  // no thread after thread on a full disk; stage() tries when it needs the room
    } else {
      return made->error();
    }
  }
  const bool early = place_.sector * kSectorBytes * 2 < place_.header.allocated_bytes;
  if (early || preparer_->busy() || !spares_.empty() || ahead_refused_slot_ == slot_) return {};
  preparer_->start(disk_, directory_ + "/spare-" + std::to_string(++spares_made_) + ".tmp",
                   options_.segment_bytes, options_.zero_fill);
  return {};
}

}  // namespace ez::log
