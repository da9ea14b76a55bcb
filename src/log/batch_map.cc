#include "log/batch_map.h"

#include <algorithm>
#include <optional>

#include "log/segment_reader.h"

namespace ez::log {

void BatchMap::add_segment(std::string path, std::uint64_t first_index) {
  std::lock_guard lock(mutex_);
  segments_.push_back({std::move(path), first_index, {}});
}

void BatchMap::add(const BatchPlace& place) {
  std::lock_guard lock(mutex_);
  segments_.back().places.push_back(place);
}

void BatchMap::drop_segments_before(std::uint64_t first_index) {
  std::lock_guard lock(mutex_);
  while (segments_.size() > 1 && segments_.front().first_index < first_index) segments_.pop_front();
}

Result<std::string> BatchMap::read(std::uint64_t index) const {
  std::string path;
  BatchPlace place;
  {
    std::lock_guard lock(mutex_);
    auto segment =
        std::upper_bound(segments_.begin(), segments_.end(), index,
                         [](std::uint64_t value, const Segment& one) { return value < one.first_index; });
    // A segment may hold no batch yet; the record is then in none.
    if (segment == segments_.begin()) {
      return Error(Code::InvalidArgument, "record " + std::to_string(index) + " is not kept any more");
    }
    --segment;
    auto found =
        std::upper_bound(segment->places.begin(), segment->places.end(), index,
                         [](std::uint64_t value, const BatchPlace& one) { return value < one.first_index; });
    if (found == segment->places.begin()) {
      return Error(Code::InvalidArgument, "record " + std::to_string(index) + " is not in the log");
    }
    place = *--found;
    path = segment->path;
  }
  auto reader = SegmentReader::open(disk_, path);
  if (!reader.ok()) return reader.error().in(path);
  (*reader)->seek(place.sector, place.batch);
  auto batch = (*reader)->next();
  if (!batch.ok()) return batch.error().in(path);
  std::optional<std::string> body;
  if (batch->has_value()) {
    const Status read = format::read_stream((*batch)->stream, [&](const format::RecordView& record) {
      if (record.kind == format::RecordKind::kData && record.index == index) body = record.body;
    });
    if (!read.ok()) return read.error().in(path);
  }
  if (body) return std::move(*body);
  if (!batch->has_value()) {
    return Error(Code::LogDamaged, path + ": the batch that holds record " + std::to_string(index) +
                                       " has changed since it was written");
  }
  return Error(Code::InvalidArgument, "record " + std::to_string(index) + " is not in the log");
}

}  // namespace ez::log
