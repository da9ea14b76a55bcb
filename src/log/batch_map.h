// Where each batch of a log stands, so that a committed record can be read back by its index. Memory: 24
// bytes for a batch.
//
// Threads: any, at the same time.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "log/disk.h"

namespace ez::log {

// One batch that holds data records.
struct BatchPlace {
  std::uint64_t first_index = 0;  // of its first data record
  std::uint64_t batch = 0;        // its number
  std::uint64_t sector = 0;       // where it begins in its segment
};

class BatchMap {
 public:
  // The disk outlives the map.
  explicit BatchMap(Disk& disk) : disk_(disk) {}

  // In the order of the log.
  void add_segment(std::string path, std::uint64_t first_index);
  void add(const BatchPlace& place);  // to the newest segment
  void drop_segments_before(std::uint64_t first_index);

  // The body of that record. INVALID_ARGUMENT when it is not there (any more); LOG_DAMAGED, IO_FAILED.
  [[nodiscard]] Result<std::string> read(std::uint64_t index) const;

 private:
  struct Segment {
    std::string path;
    std::uint64_t first_index = 0;
    std::vector<BatchPlace> places;
  };

  Disk& disk_;
  mutable std::mutex mutex_;
  std::deque<Segment> segments_;
};

}  // namespace ez::log
