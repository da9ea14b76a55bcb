// Reads one segment file batch by batch and judges what stands after the last complete batch. Used for
// opening, replaying and inspecting. Memory: one batch and a window of 256 KiB.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "log/disk.h"
#include "log/format.h"

namespace ez::log {

struct Batch {
  std::uint64_t number = 0;
  std::uint64_t offset = 0;  // of its first sector
  std::uint64_t bytes = 0;   // whole sectors
  std::string stream;        // with the padding of the last sector; format::read_stream() takes it
};

// What stands where the next batch would begin.
struct Tail {
  enum class State {
    kClean,    // nothing but zeros
    kTorn,     // traces of one write that never ended: parts of the next batch and nothing else
    kDamaged,  // something that no interrupted write leaves behind
  };
  State state = State::kClean;
  std::uint64_t offset = 0;      // where the complete batches end
  std::uint64_t torn_bytes = 0;  // from there to the end of the last trace
  std::uint64_t damage_offset = 0;
  std::string message;  // of a damage
};

class SegmentReader {
 public:
  // LOG_DAMAGED or LOG_FORMAT_NEWER by the header, IO_FAILED. The disk outlives the reader.
  [[nodiscard]] static Result<std::unique_ptr<SegmentReader>> open(Disk& disk, const std::string& path);

  [[nodiscard]] const format::SegmentHeader& header() const { return header_; }
  [[nodiscard]] std::uint64_t file_bytes() const { return file_bytes_; }
  [[nodiscard]] std::uint64_t position() const { return sector_ * format::kSectorBytes; }

  // Goes on at the batch of that number, which begins at that sector.
  void seek(std::uint64_t sector, std::uint64_t batch);

  // The next complete batch, or nullopt when there is none at position(); tail() then says why.
  [[nodiscard]] Result<std::optional<Batch>> next();

  // Judges everything from position() to the end of the file. A torn write can leave blank, torn and whole
  // sectors of batch n; a changed sector, or one of another batch, proves that batch n had been synced and is
  // damaged.
  [[nodiscard]] Result<Tail> tail();

  // After a damage: goes on at the next sector that begins a later batch; false when there is none.
  [[nodiscard]] Result<bool> skip_damage();

 private:
  SegmentReader(std::unique_ptr<File> file, format::SegmentHeader header, std::uint64_t file_bytes);
  Result<format::Sector> sector(std::uint64_t number);
  [[nodiscard]] std::uint64_t sectors() const { return file_bytes_ / format::kSectorBytes; }

  std::unique_ptr<File> file_;
  format::SegmentHeader header_;
  std::uint64_t file_bytes_;
  std::uint32_t seed_;
  std::uint64_t sector_ = 1;
  std::uint64_t batch_;  // number of the batch expected at sector_
  std::string window_;
  std::uint64_t window_begin_ = 0;  // sector number
};

}  // namespace ez::log
