// Any bytes as parts of a log file: headers, sectors, and the stream of a batch, also one whose checksums are
// right. Reading ends and never goes beyond what is there.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "log/format.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ez::log::format;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto name = parse_segment_name(bytes); name) {
    EZ_CHECK(segment_name(*name) == bytes, "a name that is written otherwise");
  }
  if (size >= kSectorBytes) {
    const std::string_view sector = bytes.substr(0, kSectorBytes);
    if (const auto header = decode_segment_header(sector); header.ok()) {
      EZ_CHECK(decode_segment_header(encode(*header)).ok(), "a header that does not read back");
    }
    (void)read_sector(sector_seed(1, 1), 1, sector);
  }
  std::uint64_t visited = 0;
  const auto visit = [&](const RecordView& record) {
    EZ_CHECK(record.body.empty() || (record.body.data() >= bytes.data() &&
                                     record.body.data() + record.body.size() <= bytes.data() + size),
             "a body beyond the stream");
    ++visited;
  };
  (void)read_stream(bytes, visit);
  if (size == 0) return 0;

  // The same bytes as a body that was written properly come back, cut into sectors and put together again.
  std::string stream;
  begin_stream(stream);
  append_record(stream, {RecordKind::kData, 7, 3, bytes});
  std::string sectors;
  append_sectors(sectors, sector_seed(5, 2), 9, 4, stream);
  std::string together;
  for (std::uint64_t i = 0; i * kSectorBytes < sectors.size(); ++i) {
    const Sector sector = read_sector(sector_seed(5, 2), 9 + i,
                                      std::string_view(sectors).substr(i * kSectorBytes, kSectorBytes));
    EZ_CHECK(sector.state == SectorState::kValid && sector.batch == 4, "a sector that does not read back");
    together.append(sector.payload);
  }
  bool same = false;
  const ez::Status read =
      read_stream(together, [&](const RecordView& record) { same = record.body == bytes; });
  EZ_CHECK(read.ok() && same, "a record that does not read back");

  // One changed bit is never taken for what was written.
  const std::size_t at = data[0] * 7919U % (sectors.size() * 8);
  sectors[at / 8] = static_cast<char>(sectors[at / 8] ^ (1 << (at % 8)));
  const std::uint64_t hit = at / 8 / kSectorBytes;
  const Sector changed = read_sector(sector_seed(5, 2), 9 + hit,
                                     std::string_view(sectors).substr(hit * kSectorBytes, kSectorBytes));
  EZ_CHECK(changed.state != SectorState::kValid, "a changed sector passes for a good one");
  return 0;
}
