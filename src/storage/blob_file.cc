#include "storage/blob_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/sha256.h"
#include "storage/zstd_stream.h"

namespace ez::storage {
namespace {

constexpr std::string_view kMagic = "EZB1";
constexpr std::size_t kCheckBytes = 8;
constexpr std::uint64_t kReserveCheckBytes = 4 * 1024 * 1024;

Error damaged_error(std::string_view sha256, std::string_view why) {
  return Error(Code::BlobDamaged, "blob " + std::string(sha256) + ": " + std::string(why));
}

void set_time(int fd, std::int64_t ms) {
  timespec time{};
  time.tv_sec = ms / 1000;
  time.tv_nsec = (ms % 1000) * 1'000'000;
  const timespec times[2] = {time, time};
  // Fails only for a descriptor that is not ours; the file's own time is then nearly the same.
  (void)::futimens(fd, times);
}

}  // namespace

std::string encode_blob_header(const BlobHeader& header) {
  std::string out(kMagic);
  out.push_back(static_cast<char>(header.encoding));
  out.append(3, '\0');
  for (int i = 0; i < 8; ++i) out.push_back(static_cast<char>(header.bytes >> (8 * i)));
  return out + sha256_hex(out).substr(0, kCheckBytes);
}

bool decode_blob_header(std::string_view bytes, BlobHeader& header) {
  if (bytes.size() != kBlobHeaderBytes || !bytes.starts_with(kMagic)) return false;
  const std::string_view plain = bytes.substr(0, kBlobHeaderBytes - kCheckBytes);
  if (sha256_hex(plain).substr(0, kCheckBytes) != bytes.substr(plain.size())) return false;
  if (static_cast<unsigned char>(bytes[4]) > 1 || bytes[5] != 0 || bytes[6] != 0 || bytes[7] != 0)
    return false;
  header.encoding = static_cast<BlobEncoding>(bytes[4]);
  header.bytes = 0;
  for (int i = 7; i >= 0; --i) header.bytes = header.bytes << 8 | static_cast<unsigned char>(bytes[8 + i]);
  return true;
}

Status BlobStore::State::charge(std::uint64_t bytes) {
  if (used_bytes.fetch_add(bytes) + bytes <= limits.total_bytes) return {};
  used_bytes.fetch_sub(bytes);
  return Error(Code::DiskFull,
               "the blobs have reached their budget of " + std::to_string(limits.total_bytes) + " bytes",
               "Remove old runs or raise the budget; work goes on by itself when there is room.");
}

Status BlobStore::State::check_reserve() const {
  EZ_ASSIGN(const std::uint64_t left, free_bytes(folder));
  if (left >= limits.reserve_bytes) return {};
  return Error(Code::DiskFull, folder + ": only " + std::to_string(left) + " bytes are free, " +
                                   std::to_string(limits.reserve_bytes) + " are kept for the log");
}

Result<BlobInfo> BlobStore::State::inspect(std::string_view sha256, Fd& fd, BlobHeader& header) const {
  const std::string name = path(sha256);
  fd = Fd(::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid()) {
    if (errno == ENOENT) return Error(Code::BlobNotFound, "no blob " + std::string(sha256));
    return file_error("open", name, errno);
  }
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return file_error("stat", name, errno);
  EZ_ASSIGN(const std::string bytes, read_at(fd.get(), 0, kBlobHeaderBytes, name));
  if (!decode_blob_header(bytes, header)) return damaged_error(sha256, "its header is not readable");
  const auto stored = static_cast<std::uint64_t>(info.st_size);
  if (header.encoding == BlobEncoding::kRaw && stored - kBlobHeaderBytes != header.bytes) {
    return damaged_error(sha256, "its file has " + std::to_string(stored) + " bytes");
  }
  return BlobInfo{std::string(sha256), header.bytes, stored};
}

void BlobStore::State::mark_damaged(const std::string& sha256) {
  std::lock_guard lock(mutex);
  if (damaged.size() < kMaxDamagedKept) damaged.insert(sha256);
}

Result<std::optional<BlobInfo>> BlobStore::State::renew(std::string_view sha256) {
  if (damaged.contains(sha256)) return std::optional<BlobInfo>();
  Fd fd;
  BlobHeader header;
  auto found = inspect(sha256, fd, header);
  if (!found.ok()) {
    if (found.error().code() == Code::IoFailed) return found.error();
    return std::optional<BlobInfo>();  // absent or damaged: write it
  }
  set_time(fd.get(), clock->now_ms());
  if (::fsync(fd.get()) != 0) return file_error("fsync", path(sha256), errno);
  return std::optional<BlobInfo>(std::move(*found));
}

struct BlobWriter::State {
  BlobStore::State* store = nullptr;
  std::optional<std::string> expected;
  std::string path;
  Fd fd;
  Sha256 hash;
  BlobHeader header;
  std::string first;  // the start of the blob, until it is clear whether packing helps
  std::unique_ptr<ZstdPacker> packer;
  std::uint64_t plain = 0;
  std::uint64_t stored = 0;
  std::uint64_t since_reserve_check = 0;
  bool started = false;
  bool kept = false;

  ~State() {
    if (kept) return;
    fd.reset();
    if (!path.empty()) ::unlink(path.c_str());
    if (store != nullptr) store->release(stored);
  }

  Status put(std::string_view bytes) {
    EZ_TRY(store->charge(bytes.size()));
    stored += bytes.size();
    since_reserve_check += bytes.size();
    if (since_reserve_check >= kReserveCheckBytes) {
      since_reserve_check = 0;
      EZ_TRY(store->check_reserve());
    }
    return write_all(fd.get(), bytes, path);
  }

  Status pack(std::string_view bytes, bool end) {
    std::string out;
    packer->pack(bytes, end, out);
    return put(out);
  }

  // Decides by the first 64 KiB: packed when that saves at least a tenth.
  Status start(bool whole) {
    started = true;
    EZ_TRY(put(std::string(kBlobHeaderBytes, '\0')));
    std::string packed = zstd_pack(first);
    if (packed.size() < first.size() / 10 * 9) header.encoding = BlobEncoding::kZstd;
    Status status;
    if (header.encoding == BlobEncoding::kRaw) {
      status = put(first);
    } else if (whole) {
      status = put(packed);
    } else {
      packer = std::make_unique<ZstdPacker>();
      status = pack(first, false);
    }
    first.clear();
    first.shrink_to_fit();
    return status;
  }
};

BlobWriter::BlobWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
BlobWriter::~BlobWriter() = default;
BlobWriter::BlobWriter(BlobWriter&&) noexcept = default;
BlobWriter& BlobWriter::operator=(BlobWriter&&) noexcept = default;

Result<BlobWriter> BlobStore::begin_put(std::optional<std::string> expected_sha256) {
  if (expected_sha256.has_value() && !is_sha256_hex(*expected_sha256)) {
    return Error(Code::InvalidArgument,
                 "the expected hash is not a SHA-256 in lower-case hexadecimal digits");
  }
  EZ_TRY(state_->check_reserve());
  auto writer = std::make_unique<BlobWriter::State>();
  writer->store = state_.get();
  writer->expected = std::move(expected_sha256);
  const std::string path = state_->folder + "/new/" + std::to_string(state_->next_write.fetch_add(1));
  writer->fd = Fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!writer->fd.valid()) return file_error("create", path, errno);
  writer->path = path;
  return BlobWriter(std::move(writer));
}

Status BlobWriter::write(std::string_view bytes) {
  State& s = *state_;
  if (bytes.size() > s.store->limits.max_blob_bytes - s.plain) {
    return Error(Code::PayloadTooLarge,
                 "a blob may have at most " + std::to_string(s.store->limits.max_blob_bytes) + " bytes");
  }
  s.plain += bytes.size();
  s.hash.update(bytes);
  if (!s.started) {
    const std::size_t take = std::min(bytes.size(), kBlobChunkBytes - s.first.size());
    s.first.append(bytes.substr(0, take));
    bytes.remove_prefix(take);
    if (s.first.size() < kBlobChunkBytes) return {};
    EZ_TRY(s.start(false));
  }
  while (!bytes.empty()) {
    const std::string_view chunk = bytes.substr(0, 4 * kBlobChunkBytes);  // bounds the packed copy
    bytes.remove_prefix(chunk.size());
    EZ_TRY(s.packer ? s.pack(chunk, false) : s.put(chunk));
  }
  return {};
}

Result<BlobInfo> BlobWriter::commit() {
  State& s = *state_;
  BlobStore::State& store = *s.store;
  const std::string sha256 = s.hash.finish_hex();
  if (s.expected.has_value() && *s.expected != sha256) {
    return Error(Code::BlobMismatch, "expected " + *s.expected + ", got " + sha256);
  }
  {
    std::lock_guard lock(store.mutex);
    EZ_ASSIGN(auto found, store.renew(sha256));
    if (found.has_value()) return std::move(*found);  // the destructor removes what was written aside
  }
  if (!s.started) {
    EZ_TRY(s.start(true));
  } else if (s.packer) {
    EZ_TRY(s.pack({}, true));
  }
  s.header.bytes = s.plain;
  const std::string header = encode_blob_header(s.header);
  if (::pwrite(s.fd.get(), header.data(), header.size(), 0) != static_cast<ssize_t>(header.size())) {
    return file_error("write", s.path, errno);
  }
  set_time(s.fd.get(), store.clock->now_ms());
  if (::fsync(s.fd.get()) != 0) return file_error("fsync", s.path, errno);

  std::lock_guard lock(store.mutex);
  // Another put of the same bytes may have come first since the look above; its file is as good as this one.
  EZ_ASSIGN(auto found, store.renew(sha256));
  if (found.has_value()) return std::move(*found);
  const std::string name = store.path(sha256);
  struct stat old {};
  const bool replaces = ::lstat(name.c_str(), &old) == 0;  // a damaged file
  if (::rename(s.path.c_str(), name.c_str()) != 0) return file_error("rename", name, errno);
  s.kept = true;
  if (replaces) {
    store.release(static_cast<std::uint64_t>(old.st_size));
  } else {
    store.blobs.fetch_add(1);
  }
  store.damaged.erase(sha256);
  EZ_TRY(sync_folder(store.prefix_path(std::string_view(sha256).substr(0, 2))));
  return BlobInfo{sha256, s.plain, s.stored};
}

struct BlobReader::State {
  BlobStore::State* store = nullptr;
  BlobInfo info;
  BlobHeader header;
  Fd fd;
  std::string path;
  Sha256 hash;
  std::unique_ptr<ZstdUnpacker> unpacker;
  std::string buffer;       // packed bytes that were read
  std::string_view packed;  // the part of buffer that is not yet unpacked
  std::uint64_t offset = kBlobHeaderBytes;
  std::uint64_t plain = 0;
  bool checked = false;

  Error fail(std::string_view why) {
    store->mark_damaged(info.sha256);
    return damaged_error(info.sha256, why);
  }

  Result<std::string> next(std::size_t limit) {
    if (!unpacker) {
      EZ_ASSIGN(std::string bytes, read_at(fd.get(), offset, limit, path));
      offset += bytes.size();
      return bytes;
    }
    std::string out;
    while (out.empty() && !unpacker->ended()) {
      if (packed.empty()) {
        EZ_ASSIGN(buffer, read_at(fd.get(), offset, kBlobChunkBytes, path));
        if (buffer.empty()) return fail("its file ends early");
        offset += buffer.size();
        packed = buffer;
      }
      if (!unpacker->unpack(packed, limit, out)) return fail("its packed bytes do not unpack");
    }
    return out;
  }
};

BlobReader::BlobReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
BlobReader::~BlobReader() = default;
BlobReader::BlobReader(BlobReader&&) noexcept = default;
BlobReader& BlobReader::operator=(BlobReader&&) noexcept = default;
std::uint64_t BlobReader::bytes() const { return state_->info.bytes; }

Result<BlobReader> BlobStore::open_blob(std::string_view sha256) const {
  if (!is_sha256_hex(sha256)) {
    return Error(Code::InvalidArgument, "not a SHA-256 in lower-case hexadecimal digits");
  }
  auto reader = std::make_unique<BlobReader::State>();
  reader->store = state_.get();
  reader->path = state_->path(sha256);
  auto info = state_->inspect(sha256, reader->fd, reader->header);
  if (!info.ok()) {
    if (info.error().code() == Code::BlobDamaged) state_->mark_damaged(std::string(sha256));
    return info.error();
  }
  reader->info = std::move(*info);
  if (reader->header.encoding == BlobEncoding::kZstd) reader->unpacker = std::make_unique<ZstdUnpacker>();
  return BlobReader(std::move(reader));
}

Result<std::string> BlobReader::read(std::size_t limit) {
  State& s = *state_;
  if (s.checked) return std::string();
  EZ_ASSIGN(std::string bytes, s.next(std::clamp<std::size_t>(limit, 1, 1 << 20)));
  s.plain += bytes.size();
  if (s.plain > s.header.bytes) return s.fail("it is longer than its header says");
  if (!bytes.empty()) {
    s.hash.update(bytes);
    return bytes;
  }
  if (s.unpacker) {
    EZ_ASSIGN(const std::string more, read_at(s.fd.get(), s.offset, 1, s.path));
    if (!s.packed.empty() || !more.empty()) return s.fail("its file is longer than its packed bytes");
  }
  if (s.plain != s.header.bytes) return s.fail("it is shorter than its header says");
  if (s.hash.finish_hex() != s.info.sha256) return s.fail("its bytes have another hash");
  s.checked = true;
  return bytes;
}

}  // namespace ez::storage
