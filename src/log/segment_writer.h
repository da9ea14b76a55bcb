// The writing end of the log: stages records into batches, reserves their place before they are accepted,
// writes and syncs batch after batch, and moves on to the next segment. Used from one thread; it may prepare
// the next segment's file (room and zeros) in a thread of its own.
//
// Order on the disk, on which recovery relies: batch n is synced before a byte of batch n+1 is written. A new
// segment is prepared as spare-<n>.tmp, gets its header, is synced and renamed, the directory is synced; then
// the segment before gets its seal and is synced; only then the first batch is written.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "log/disk.h"
#include "log/format.h"
#include "log/log.h"

namespace ez::log {

struct StagedRecord {
  Ticket ticket;
  format::RecordKind kind;
  std::uint64_t index;
  std::uint64_t epoch;
  std::size_t body_at;  // in the stream of its batch
  std::size_t body_bytes;
};

struct StagedBatch {
  std::string stream;
  std::vector<StagedRecord> records;
  std::uint64_t slot = 0;    // counts segments: which one it goes into
  std::uint64_t sector = 0;  // where it begins there
};

// An empty segment file, ready but not yet part of the log.
struct Spare {
  std::unique_ptr<File> file;
  std::string path;
  std::uint64_t bytes = 0;
};

class SegmentWriter {
 public:
  struct Options {
    std::uint64_t segment_bytes = 0;
    std::uint64_t max_batch_bytes = 0;
    bool zero_fill = true;   // write zeros ahead: overwriting is twice as fast as first writing
    bool background = true;  // prepare the next segment in a thread
  };
  // Where writing goes on: the last segment, right after its last complete batch.
  struct Place {
    format::SegmentHeader header;
    std::unique_ptr<File> file;
    std::string path;
    std::uint64_t sector = 1;
    std::uint64_t batch = 1;
    std::uint64_t epoch = 0;  // largest written
  };

  SegmentWriter(Disk& disk, std::string directory, Options options);
  ~SegmentWriter();  // ends the thread, removes unused spares
  SegmentWriter(const SegmentWriter&) = delete;
  SegmentWriter& operator=(const SegmentWriter&) = delete;

  // Exactly one of these first. create() makes segment 1 of a new log; resume() goes on in an existing one.
  [[nodiscard]] Status create(std::uint64_t log_id);
  void resume(Place place);
  // Ends the present segment where `place` stands and goes on in a new one, whose first record is
  // `first_index`.
  [[nodiscard]] Status roll(std::uint64_t first_index);
  // Writes the seal of a segment that ends at that byte and cuts what stands behind it.
  [[nodiscard]] static Status seal(Disk& disk, const std::string& path, const format::SegmentHeader& header,
                                   std::uint64_t end, std::uint64_t batch, std::uint64_t next_index,
                                   std::uint64_t epoch);

  // Gives the record a place in a batch. DISK_FULL: there is no room for another segment, nothing was
  // changed; any other error is final.
  [[nodiscard]] Status stage(const format::RecordView& record, Ticket ticket);
  [[nodiscard]] std::size_t staged_batches() const { return staged_.size(); }
  // Writes and syncs the oldest staged batch. Every error is final; the batch is then still the oldest staged
  // one.
  [[nodiscard]] Status write_next();
  // What write_next() wrote last, or what will never be written.
  [[nodiscard]] StagedBatch take_written();
  [[nodiscard]] std::deque<StagedBatch> take_staged();
  // Gives a stream's memory back for the next batch.
  void recycle(std::string stream);
  // Starts preparing the next segment when the present one is more than half full. An error is final.
  [[nodiscard]] Status prepare_ahead();

  [[nodiscard]] const format::SegmentHeader& header() const { return place_.header; }
  [[nodiscard]] const std::string& path() const { return place_.path; }
  // The number of the batch that was written last.
  [[nodiscard]] std::uint64_t batches_written() const { return place_.batch - 1; }
  [[nodiscard]] std::uint64_t segments_begun() const { return slot_; }

 private:
  class Preparer;
  struct Fit {
    std::uint64_t slot;
    std::uint64_t sector;
  };
  Result<Fit> find_place(std::uint64_t sectors);
  Status ensure_spare(std::size_t position, std::uint64_t bytes);
  [[nodiscard]] std::uint64_t capacity(std::uint64_t slot) const;
  Status install(Spare spare, format::SegmentHeader header);
  void drop(Spare spare);

  Disk& disk_;
  const std::string directory_;
  const Options options_;
  Place place_;
  std::uint64_t slot_ = 0;
  std::uint64_t spares_made_ = 0;
  std::optional<std::uint64_t> ahead_refused_slot_;  // the disk was full when preparing ahead in that segment
  std::deque<Spare> spares_;                         // for slot_ + 1, slot_ + 2, …
  std::deque<StagedBatch> staged_;
  StagedBatch written_;
  std::string buffer_;  // sectors of the batch being written
  std::string recycled_;
  std::unique_ptr<Preparer> preparer_;
};

}  // namespace ez::log
