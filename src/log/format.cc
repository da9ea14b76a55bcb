#include "log/format.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>

#include "base/check.h"
#include "log/crc32c.h"

namespace ez::log::format {
namespace {

constexpr std::string_view kMagic = "EZLOGSEG";
constexpr std::size_t kHeaderCrcAt = 508;
constexpr std::size_t kBatchAt = 496;
constexpr std::size_t kCrcAt = 504;
constexpr std::size_t kNumberAt = 508;
constexpr std::size_t kMarkAt = 511;
// Four bits of the mark are always set: no single flipped bit, nor three, makes a written sector look torn.
constexpr unsigned kMark = 0xe4;
constexpr unsigned kFirst = 1;
constexpr unsigned kLast = 2;
constexpr std::string_view kNamePrefix = "log-";
constexpr std::string_view kNameSuffix = ".seg";

void store_u32(char* at, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) at[i] = static_cast<char>(value >> (8 * i));
}
void store_u64(char* at, std::uint64_t value) {
  for (int i = 0; i < 8; ++i) at[i] = static_cast<char>(value >> (8 * i));
}

std::uint32_t sector_crc(std::uint32_t seed, const char* sector) {
  return crc32c(crc32c(seed, {sector, kCrcAt}), {sector + kNumberAt, kSectorBytes - kNumberAt});
}

Error damaged(std::string message) { return Error(Code::LogDamaged, std::move(message)); }

}  // namespace

void put_u32(std::string& out, std::uint32_t value) {
  char bytes[4];
  store_u32(bytes, value);
  out.append(bytes, sizeof bytes);
}

void put_u64(std::string& out, std::uint64_t value) {
  char bytes[8];
  store_u64(bytes, value);
  out.append(bytes, sizeof bytes);
}

std::uint32_t get_u32(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i)
    value |= std::uint32_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
  return value;
}

std::uint64_t get_u64(std::string_view bytes, std::size_t at) {
  return get_u32(bytes, at) | (std::uint64_t{get_u32(bytes, at + 4)} << 32);
}

std::string encode(const SegmentHeader& header) {
  std::string out(kMagic);
  put_u32(out, kVersion);
  put_u32(out, kSectorBytes);
  for (const std::uint64_t value : {header.log_id, header.sequence, header.first_index, header.first_batch,
                                    header.epoch, header.allocated_bytes, header.previous_end}) {
    put_u64(out, value);
  }
  out.resize(kHeaderCrcAt);
  put_u32(out, crc32c(0, out));
  return out;
}

Result<SegmentHeader> decode_segment_header(std::string_view sector) {
  if (sector.size() < kSectorBytes) return damaged("the file is shorter than its header");
  sector = sector.substr(0, kSectorBytes);
  if (!sector.starts_with(kMagic)) return damaged("the header does not begin with EZLOGSEG");
  if (crc32c(0, sector.substr(0, kHeaderCrcAt)) != get_u32(sector, kHeaderCrcAt)) {
    return damaged("the checksum of the header does not fit");
  }
  const std::uint32_t version = get_u32(sector, 8);
  if (version > kVersion) {
    return Error(Code::LogFormatNewer, "format version " + std::to_string(version) +
                                           "; this ez reads up to " + std::to_string(kVersion));
  }
  SegmentHeader header;
  std::size_t at = 16;
  for (std::uint64_t* value : {&header.log_id, &header.sequence, &header.first_index, &header.first_batch,
                               &header.epoch, &header.allocated_bytes, &header.previous_end}) {
    *value = get_u64(sector, at);
    at += 8;
  }
  if (version != kVersion || get_u32(sector, 12) != kSectorBytes || header.sequence == 0 ||
      header.first_index == 0 || header.first_batch == 0 || header.allocated_bytes % kSectorBytes != 0 ||
      header.capacity_sectors() > kMaxSectors || header.previous_end % kSectorBytes != 0) {
    return damaged("the header holds impossible numbers");
  }
  return header;
}

std::string segment_name(std::uint64_t sequence) {
  char text[40];
  std::snprintf(text, sizeof text, "log-%010llu.seg", static_cast<unsigned long long>(sequence));
  return text;
}

std::optional<std::uint64_t> parse_segment_name(std::string_view name) {
  if (!name.starts_with(kNamePrefix) || !name.ends_with(kNameSuffix)) return std::nullopt;
  if (name.size() < kNamePrefix.size() + kNameSuffix.size()) return std::nullopt;
  const std::string_view digits =
      name.substr(kNamePrefix.size(), name.size() - kNamePrefix.size() - kNameSuffix.size());
  std::uint64_t sequence = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), sequence);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  if (segment_name(sequence) != name) return std::nullopt;
  return sequence;
}

std::uint32_t sector_seed(std::uint64_t log_id, std::uint64_t sequence) {
  std::string identity;
  put_u64(identity, log_id);
  put_u64(identity, sequence);
  return crc32c(0, identity);
}

Sector read_sector(std::uint32_t seed, std::uint64_t number, std::string_view bytes) {
  EZ_CHECK(bytes.size() == kSectorBytes, "a sector has 512 bytes");
  const auto mark = static_cast<unsigned char>(bytes[kMarkAt]);
  if (mark == 0) {
    const bool blank = std::all_of(bytes.begin(), bytes.end(), [](char byte) { return byte == 0; });
    return {blank ? SectorState::kBlank : SectorState::kTorn, false, false, 0, {}};
  }
  const bool valid = (mark & ~(kFirst | kLast)) == kMark &&
                     sector_crc(seed, bytes.data()) == get_u32(bytes, kCrcAt) &&
                     (get_u32(bytes, kNumberAt) & 0xffffff) == number;
  if (!valid) return {SectorState::kDamaged, false, false, 0, {}};
  return {SectorState::kValid, (mark & kFirst) != 0, (mark & kLast) != 0, get_u64(bytes, kBatchAt),
          bytes.substr(0, kSectorPayload)};
}

void append_sectors(std::string& out, std::uint32_t seed, std::uint64_t number, std::uint64_t batch,
                    std::string_view stream) {
  EZ_CHECK(!stream.empty(), "a batch has at least one sector");
  EZ_CHECK(number + sectors_for(stream.size()) <= kMaxSectors, "a segment has at most 2^24 sectors");
  const std::size_t begin = out.size();
  out.resize(begin + sectors_for(stream.size()) * kSectorBytes);
  unsigned flags = kFirst;
  for (char* sector = out.data() + begin; !stream.empty(); sector += kSectorBytes, ++number) {
    const std::size_t count = std::min(stream.size(), kSectorPayload);
    std::memcpy(sector, stream.data(), count);
    stream.remove_prefix(count);
    if (stream.empty()) flags |= kLast;
    store_u64(sector + kBatchAt, batch);
    store_u32(sector + kNumberAt, static_cast<std::uint32_t>(number) | ((kMark | flags) << 24));
    store_u32(sector + kCrcAt, sector_crc(seed, sector));
    flags = 0;
  }
}

void begin_stream(std::string& stream) { stream.assign(kBatchHeaderBytes, '\0'); }

void append_record(std::string& stream, const RecordView& record) {
  const std::size_t at = stream.size();
  stream.resize(at + kRecordHeaderBytes);
  stream.append(record.body);
  char* header = stream.data() + at;
  store_u32(header + 4, crc32c(0, record.body));
  store_u32(header + 8, static_cast<std::uint32_t>(record.body.size()));
  store_u32(header + 12, static_cast<std::uint32_t>(record.kind));
  store_u64(header + 16, record.index);
  store_u64(header + 24, record.epoch);
  store_u32(header, crc32c(0, {header + 4, kRecordHeaderBytes - 4}));
  store_u32(stream.data(), static_cast<std::uint32_t>(stream.size() - kBatchHeaderBytes));
  store_u32(stream.data() + 4, get_u32(stream, 4) + 1);
}

Status read_stream(std::string_view stream, const std::function<void(const RecordView&)>& visit) {
  if (stream.size() < kBatchHeaderBytes) return damaged("a batch is shorter than its header");
  const std::uint32_t bytes = get_u32(stream, 0);
  const std::uint32_t count = get_u32(stream, 4);
  const std::size_t padding = stream.size() - kBatchHeaderBytes - bytes;
  if (bytes > stream.size() - kBatchHeaderBytes || padding >= kSectorPayload) {
    return damaged("the length of a batch does not fit its sectors");
  }
  stream = stream.substr(kBatchHeaderBytes, bytes);
  for (std::uint32_t i = 0; i < count; ++i) {
    if (stream.size() < kRecordHeaderBytes) return damaged("a batch ends inside a record header");
    if (crc32c(0, stream.substr(4, kRecordHeaderBytes - 4)) != get_u32(stream, 0)) {
      return damaged("the checksum of a record header does not fit");
    }
    const std::uint32_t length = get_u32(stream, 8);
    const std::uint32_t kind = get_u32(stream, 12);
    if (length > stream.size() - kRecordHeaderBytes) return damaged("a batch ends inside a record");
    if (kind < 1 || kind > 4) return damaged("a record has the unknown kind " + std::to_string(kind));
    const std::string_view body = stream.substr(kRecordHeaderBytes, length);
    if (crc32c(0, body) != get_u32(stream, 4)) return damaged("the checksum of a record body does not fit");
    visit({static_cast<RecordKind>(kind), get_u64(stream, 16), get_u64(stream, 24), body});
    stream.remove_prefix(kRecordHeaderBytes + length);
  }
  if (!stream.empty()) return damaged("a batch holds more than its records");
  return {};
}

}  // namespace ez::log::format
