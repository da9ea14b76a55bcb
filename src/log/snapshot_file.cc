#include "log/snapshot_file.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "log/crc32c.h"
#include "log/format.h"

namespace ez::log {
namespace {

using format::get_u32;
using format::get_u64;
using format::put_u32;
using format::put_u64;

constexpr std::string_view kMagic = "EZLOGSNP";
constexpr std::size_t kHeaderBytes = 64;
constexpr std::size_t kHeaderCrcAt = 60;
constexpr std::size_t kChunkHeaderBytes = 8;
constexpr std::size_t kEndBytes = 24;
constexpr std::size_t kMaxChunkBytes = 16 * 1024 * 1024;
// A large snapshot is synced piece by piece, so that its commit does not hold up the log's own syncs for
// long.
constexpr std::uint64_t kSyncEveryBytes = 8 * 1024 * 1024;

struct Header {
  std::uint64_t log_id = 0;
  std::uint64_t index = 0;
  std::uint64_t epoch = 0;
};

std::string encode(const Header& header) {
  std::string out(kMagic);
  put_u32(out, format::kVersion);
  put_u32(out, 0);
  for (const std::uint64_t value : {header.log_id, header.index, header.epoch}) put_u64(out, value);
  out.resize(kHeaderCrcAt);
  put_u32(out, crc32c(0, out));
  return out;
}

// The checksum of a chunk also covers its number and length: a chunk in the wrong place does not verify.
std::uint32_t chunk_crc(std::uint64_t number, std::string_view data) {
  std::string prefix;
  put_u64(prefix, number);
  put_u32(prefix, static_cast<std::uint32_t>(data.size()));
  return crc32c(crc32c(0, prefix), data);
}

class Reader final : public SnapshotReader {
 public:
  Reader(std::unique_ptr<File> file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}

  Status read_header() {
    std::string bytes(kHeaderBytes, '\0');
    EZ_ASSIGN(const std::size_t count, file_->pread(0, bytes));
    if (count < kHeaderBytes) return damaged(count, "the file is shorter than its header");
    if (!bytes.starts_with(kMagic)) return damaged(0, "it does not begin with EZLOGSNP");
    if (crc32c(0, std::string_view(bytes).substr(0, kHeaderCrcAt)) != get_u32(bytes, kHeaderCrcAt)) {
      return damaged(0, "the checksum of the header does not fit");
    }
    if (get_u32(bytes, 8) > format::kVersion) {
      return Error(Code::LogFormatNewer, path_ + ": format version " + std::to_string(get_u32(bytes, 8)) +
                                             "; this ez reads up to " + std::to_string(format::kVersion));
    }
    header_ = {get_u64(bytes, 16), get_u64(bytes, 24), get_u64(bytes, 32)};
    rewind();
    return {};
  }

  [[nodiscard]] const Header& header() const { return header_; }
  [[nodiscard]] LogIndex index() const override { return LogIndex{header_.index}; }
  [[nodiscard]] Epoch epoch() const override { return Epoch{header_.epoch}; }

  Result<std::string> read(std::size_t limit) override {
    if (taken_ == chunk_.size() && !ended_) EZ_TRY(next_chunk());
    std::string out = chunk_.substr(taken_, limit);
    taken_ += out.size();
    return out;
  }

  Status verify() {
    while (!ended_) EZ_TRY(next_chunk());
    rewind();
    return {};
  }

  Error damaged(std::uint64_t offset, const std::string& what) const {
    return Error(Code::SnapshotDamaged, path_ + " at byte " + std::to_string(offset) + ": " + what);
  }

 private:
  void rewind() {
    offset_ = kHeaderBytes;
    chunks_ = total_ = 0;
    chunk_.clear();
    taken_ = 0;
    ended_ = false;
  }

  Status next_chunk() {
    std::string head(kChunkHeaderBytes, '\0');
    EZ_ASSIGN(const std::size_t got, file_->pread(offset_, head));
    if (got < kChunkHeaderBytes) return damaged(offset_, "the file ends too early");
    const std::uint32_t length = get_u32(head, 0);
    if (length == 0) return read_end();
    if (length > kMaxChunkBytes) return damaged(offset_, "the length of a chunk is impossible");
    chunk_.resize(length);
    taken_ = 0;
    EZ_ASSIGN(const std::size_t count, file_->pread(offset_ + kChunkHeaderBytes, chunk_));
    if (count < length) return damaged(offset_, "the file ends inside a chunk");
    if (chunk_crc(chunks_, chunk_) != get_u32(head, 4)) {
      return damaged(offset_, "the checksum of a chunk does not fit");
    }
    ++chunks_;
    total_ += length;
    offset_ += kChunkHeaderBytes + length;
    return {};
  }

  Status read_end() {
    std::string end(kEndBytes + 1, '\0');
    EZ_ASSIGN(const std::size_t count, file_->pread(offset_, end));
    if (count != kEndBytes) return damaged(offset_, "the file does not end where its last chunk says");
    end.resize(kEndBytes);
    if (crc32c(0, std::string_view(end).substr(8)) != get_u32(end, 4) || get_u64(end, 8) != chunks_ ||
        get_u64(end, 16) != total_) {
      return damaged(offset_, "the end does not fit what stands before it");
    }
    chunk_.clear();
    taken_ = 0;
    ended_ = true;
    return {};
  }

  std::unique_ptr<File> file_;
  const std::string path_;
  Header header_;
  std::uint64_t offset_ = kHeaderBytes;
  std::uint64_t chunks_ = 0;
  std::uint64_t total_ = 0;
  std::string chunk_;
  std::size_t taken_ = 0;
  bool ended_ = false;
};

}  // namespace

std::string snapshot_name(std::uint64_t index) {
  char text[48];
  std::snprintf(text, sizeof text, "snapshot-%020llu.snap", static_cast<unsigned long long>(index));
  return text;
}

std::optional<std::uint64_t> parse_snapshot_name(std::string_view name) {
  constexpr std::string_view kPrefix = "snapshot-";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  std::uint64_t index = 0;
  const auto [end, error] = std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), index);
  if (error != std::errc() || index == 0 || snapshot_name(index) != name) return std::nullopt;
  return index;
}

Result<std::optional<std::uint64_t>> snapshot_log_id(Disk& disk, const std::string& path) {
  EZ_ASSIGN(auto file, disk.open(path, false));
  Reader reader(std::move(file), path);
  const Status status = reader.read_header();
  if (status.ok()) return std::optional<std::uint64_t>(reader.header().log_id);
  if (status.error().code() == Code::SnapshotDamaged || status.error().code() == Code::LogFormatNewer) {
    return std::optional<std::uint64_t>();
  }
  return status.error();
}

Result<std::unique_ptr<SnapshotReader>> open_snapshot(Disk& disk, const std::string& path,
                                                      std::uint64_t log_id, std::uint64_t index) {
  EZ_ASSIGN(auto file, disk.open(path, false));
  auto reader = std::make_unique<Reader>(std::move(file), path);
  EZ_TRY(reader->read_header());
  if (reader->header().log_id != log_id) return reader->damaged(16, "it belongs to another log");
  if (reader->header().index != index) return reader->damaged(24, "its header and its name differ");
  EZ_TRY(reader->verify());
  return std::unique_ptr<SnapshotReader>(std::move(reader));
}

class SnapshotStore::Writer final : public SnapshotWriter {
 public:
  Writer(std::shared_ptr<SnapshotStore> store, std::unique_ptr<File> file, std::string path, Header header)
      : store_(std::move(store)), file_(std::move(file)), path_(std::move(path)), header_(header) {}

  ~Writer() override {
    file_.reset();
    if (!renamed_) {
      // When this fails the file stays behind as *.tmp, which the next open of the log removes.
      const Status removed = store_->disk_.unlink(path_);
      static_cast<void>(removed.ok());
    }
    store_->writer_ended();
  }

  Status start() {
    EZ_TRY(keep(file_->pwrite(0, format_header())));
    offset_ = kHeaderBytes;
    return {};
  }

  Status write(std::string_view bytes) override {
    if (failed_) return *failed_;
    while (!bytes.empty()) {
      const std::size_t count = std::min(bytes.size(), kSnapshotChunkBytes - chunk_.size());
      chunk_.append(bytes.substr(0, count));
      bytes.remove_prefix(count);
      if (chunk_.size() == kSnapshotChunkBytes) EZ_TRY(flush());
    }
    return {};
  }

  Status commit() override {
    if (failed_) return *failed_;
    if (renamed_) return Error(Code::InvalidArgument, path_ + ": this snapshot was committed before");
    if (!chunk_.empty()) EZ_TRY(flush());
    std::string counts;
    put_u64(counts, chunks_);
    put_u64(counts, total_);
    std::string end;
    put_u32(end, 0);
    put_u32(end, crc32c(0, counts));
    end += counts;
    EZ_TRY(keep(file_->pwrite(offset_, end)));
    EZ_TRY(keep(file_->sync()));
    EZ_TRY(keep(store_->disk_.rename(path_, store_->directory_ + "/" + snapshot_name(header_.index))));
    renamed_ = true;
    EZ_TRY(keep(store_->disk_.sync_dir(store_->directory_)));
    return store_->committed(header_.index);
  }

 private:
  [[nodiscard]] std::string format_header() const { return encode(header_); }

  Status flush() {
    std::string out;
    put_u32(out, static_cast<std::uint32_t>(chunk_.size()));
    put_u32(out, chunk_crc(chunks_, chunk_));
    out += chunk_;
    EZ_TRY(keep(file_->pwrite(offset_, out)));
    offset_ += out.size();
    unsynced_ += out.size();
    if (unsynced_ >= kSyncEveryBytes) {
      EZ_TRY(keep(file_->sync()));
      unsynced_ = 0;
    }
    ++chunks_;
    total_ += chunk_.size();
    chunk_.clear();
    return {};
  }

  // After one failure the writer is of no more use: what a failed sync left behind is not known.
  Status keep(Status status) {
    if (!status.ok() && !failed_) failed_ = status.error();
    return status;
  }

  const std::shared_ptr<SnapshotStore> store_;
  std::unique_ptr<File> file_;
  const std::string path_;
  const Header header_;
  std::uint64_t offset_ = 0;
  std::uint64_t unsynced_ = 0;
  std::uint64_t chunks_ = 0;
  std::uint64_t total_ = 0;
  std::string chunk_;
  std::optional<Error> failed_;
  bool renamed_ = false;
};

SnapshotStore::SnapshotStore(Disk& disk, std::string directory, std::uint64_t log_id,
                             std::vector<std::uint64_t> indexes, std::shared_ptr<DiskLock> lock)
    : disk_(disk),
      directory_(std::move(directory)),
      log_id_(log_id),
      lock_(std::move(lock)),
      indexes_(std::move(indexes)) {}

Result<std::unique_ptr<SnapshotReader>> SnapshotStore::newest() {
  const std::uint64_t index = newest_index();
  if (index == 0) return std::unique_ptr<SnapshotReader>();
  return read(index, oldest_index() != index);
}

Result<std::unique_ptr<SnapshotReader>> SnapshotStore::oldest() {
  const std::uint64_t index = oldest_index();
  if (index == 0) return std::unique_ptr<SnapshotReader>();
  return read(index, false);
}

Result<std::unique_ptr<SnapshotReader>> SnapshotStore::read(std::uint64_t index, bool older_exists) {
  auto opened = open_snapshot(disk_, directory_ + "/" + snapshot_name(index), log_id_, index);
  if (!opened.ok() && opened.error().code() == Code::SnapshotDamaged && older_exists) {
    return Error(Code::SnapshotDamaged, opened.error().message(),
                 "Move that file to another place: ez then starts from the snapshot before it and the log.");
  }
  return opened;
}

std::uint64_t SnapshotStore::newest_index() const {
  std::lock_guard lock(mutex_);
  return indexes_.empty() ? 0 : indexes_.back();
}

std::uint64_t SnapshotStore::oldest_index() const {
  std::lock_guard lock(mutex_);
  return indexes_.empty() ? 0 : indexes_.front();
}

Result<std::unique_ptr<SnapshotWriter>> SnapshotStore::begin(LogIndex index, Epoch epoch) {
  {
    std::lock_guard lock(mutex_);
    if (writing_) return Error(Code::Overloaded, "another snapshot is being written");
    if (index.value == 0 || (!indexes_.empty() && index.value <= indexes_.back())) {
      return Error(Code::InvalidArgument,
                   "a snapshot of record " + std::to_string(index.value) + " is not newer than " +
                       (indexes_.empty() ? std::string("an empty log")
                                         : "that of " + std::to_string(indexes_.back())));
    }
    writing_ = true;
  }
  const std::string final_name = snapshot_name(index.value);
  const std::string path = directory_ + "/" + final_name.substr(0, final_name.rfind('.')) + ".tmp";
  auto file = disk_.create(path);
  if (!file.ok()) {
    writer_ended();
    return file.error();
  }
  auto writer = std::make_unique<Writer>(shared_from_this(), std::move(file).value(), path,
                                         Header{log_id_, index.value, epoch.value});
  EZ_TRY(writer->start());
  return std::unique_ptr<SnapshotWriter>(std::move(writer));
}

Status SnapshotStore::committed(std::uint64_t index) {
  std::vector<std::uint64_t> removed;
  {
    std::lock_guard lock(mutex_);
    indexes_.push_back(index);
    std::sort(indexes_.begin(), indexes_.end());
    while (indexes_.size() > kSnapshotsKept) {
      removed.push_back(indexes_.front());
      indexes_.erase(indexes_.begin());
    }
  }
  // The new snapshot stands, whatever happens to the old files: one that stays behind is kept as one more
  // previous one.
  for (const std::uint64_t old : removed) {
    if (!disk_.unlink(directory_ + "/" + snapshot_name(old)).ok()) return {};
  }
  if (!removed.empty() && !disk_.sync_dir(directory_).ok()) return {};
  return {};
}

void SnapshotStore::writer_ended() {
  std::lock_guard lock(mutex_);
  writing_ = false;
}

}  // namespace ez::log
