#include "log/segment_reader.h"

#include <algorithm>

namespace ez::log {
namespace {

constexpr std::size_t kWindowBytes = 256 * 1024;

}  // namespace

SegmentReader::SegmentReader(std::unique_ptr<File> file, format::SegmentHeader header,
                             std::uint64_t file_bytes)
    : file_(std::move(file)),
      header_(header),
      file_bytes_(file_bytes),
      seed_(format::sector_seed(header.log_id, header.sequence)),
      batch_(header.first_batch) {}

Result<std::unique_ptr<SegmentReader>> SegmentReader::open(Disk& disk, const std::string& path) {
  EZ_ASSIGN(auto file, disk.open(path, false));
  EZ_ASSIGN(const std::uint64_t bytes, file->size());
  std::string first(format::kSectorBytes, '\0');
  EZ_ASSIGN(const std::size_t count, file->pread(0, first));
  first.resize(count);
  EZ_ASSIGN(const auto header, format::decode_segment_header(first));
  return std::unique_ptr<SegmentReader>(new SegmentReader(std::move(file), header, bytes));
}

Result<format::Sector> SegmentReader::sector(std::uint64_t number) {
  const std::uint64_t held = window_.size() / format::kSectorBytes;
  if (number < window_begin_ || number >= window_begin_ + held) {
    const std::uint64_t at = number * format::kSectorBytes;
    window_.resize(std::min<std::uint64_t>(kWindowBytes, file_bytes_ - at));
    EZ_ASSIGN(const std::size_t count, file_->pread(at, window_));
    window_.resize(count - count % format::kSectorBytes);
    window_begin_ = number;
    if (window_.empty()) return Error(Code::IoFailed, "the file became shorter while it was read");
  }
  const std::size_t inside = (number - window_begin_) * format::kSectorBytes;
  return format::read_sector(seed_, number, std::string_view(window_).substr(inside, format::kSectorBytes));
}

void SegmentReader::seek(std::uint64_t sector, std::uint64_t batch) {
  sector_ = sector;
  batch_ = batch;
}

Result<std::optional<Batch>> SegmentReader::next() {
  Batch batch;
  for (std::uint64_t number = sector_; number < sectors(); ++number) {
    EZ_ASSIGN(const format::Sector found, sector(number));
    const bool fits = found.state == format::SectorState::kValid && found.batch == batch_ &&
                      found.first == (number == sector_);
    if (!fits) return std::optional<Batch>();
    batch.stream.append(found.payload);
    if (!found.last) continue;
    batch.number = batch_;
    batch.offset = position();
    batch.bytes = (number + 1 - sector_) * format::kSectorBytes;
    sector_ = number + 1;
    ++batch_;
    return std::optional<Batch>(std::move(batch));
  }
  return std::optional<Batch>();
}

Result<Tail> SegmentReader::tail() {
  Tail tail;
  tail.offset = position();
  std::optional<std::uint64_t> gap;  // first sector that is not a whole one of the expected batch
  for (std::uint64_t number = sector_; number < sectors(); ++number) {
    EZ_ASSIGN(const format::Sector found, sector(number));
    const bool ours = found.state == format::SectorState::kValid && found.batch == batch_;
    if (!ours && !gap) gap = number;
    if (found.state == format::SectorState::kBlank) continue;
    if (found.state == format::SectorState::kDamaged) {
      tail.state = Tail::State::kDamaged;
      tail.damage_offset = number * format::kSectorBytes;
      tail.message = "a sector was written and then changed: its checksum does not fit";
      return tail;
    }
    if (found.state == format::SectorState::kValid && !ours) {
      tail.state = Tail::State::kDamaged;
      tail.damage_offset = *gap * format::kSectorBytes;
      tail.message = "batch " + std::to_string(batch_) + " is missing or incomplete, but batch " +
                     std::to_string(found.batch) + " stands after it";
      return tail;
    }
    tail.state = Tail::State::kTorn;
    tail.torn_bytes = (number + 1) * format::kSectorBytes - tail.offset;
  }
  return tail;
}

Result<bool> SegmentReader::skip_damage() {
  for (std::uint64_t number = sector_ + 1; number < sectors(); ++number) {
    EZ_ASSIGN(const format::Sector found, sector(number));
    if (found.state != format::SectorState::kValid || !found.first || found.batch <= batch_) continue;
    sector_ = number;
    batch_ = found.batch;
    return true;
  }
  return false;
}

}  // namespace ez::log
