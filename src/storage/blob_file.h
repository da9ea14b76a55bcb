// The file of one blob: header, naming, and the state that writers and readers share with the store. Private
// to this room. docs/formats/blobs.md describes the bytes.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "storage/blob_store.h"
#include "storage/files.h"
#include "storage/sqlite.h"

namespace ez::storage {

inline constexpr std::size_t kBlobHeaderBytes = 24;
inline constexpr std::size_t kBlobChunkBytes = 64 * 1024;
inline constexpr std::size_t kMaxDamagedKept = 4096;

enum class BlobEncoding : std::uint8_t { kRaw = 0, kZstd = 1 };

struct BlobHeader {
  BlobEncoding encoding = BlobEncoding::kRaw;
  std::uint64_t bytes = 0;
};

[[nodiscard]] std::string encode_blob_header(const BlobHeader& header);
// False when these are not the bytes of a header.
[[nodiscard]] bool decode_blob_header(std::string_view bytes, BlobHeader& header);

struct BlobStore::State {
  std::string folder;  // …/blobs
  BlobLimits limits;
  Clock* clock = nullptr;
  std::atomic<std::uint64_t> used_bytes{0};  // with what writers have written so far
  std::atomic<std::uint64_t> blobs{0};
  std::atomic<std::uint64_t> next_write{0};

  // Held while a blob comes into being, is found, is referenced or is removed, never while its bytes are
  // written.
  mutable std::mutex mutex;
  std::set<std::string, std::less<>> damaged;  // seen by a reader: the next put writes them again
  std::unique_ptr<Database> references;
  Statement insert_ref, delete_owner, has_ref, select_owner;
  bool trusted = false;

  std::mutex collect_mutex;
  int collect_prefix = 0;
  std::string collect_after;

  [[nodiscard]] std::string prefix_path(std::string_view prefix) const {
    return folder + "/" + std::string(prefix);
  }
  [[nodiscard]] std::string path(std::string_view sha256) const {
    return prefix_path(sha256.substr(0, 2)) + "/" + std::string(sha256.substr(2));
  }
  // Takes that much of the budget or says DISK_FULL.
  [[nodiscard]] Status charge(std::uint64_t bytes);
  void release(std::uint64_t bytes) { used_bytes.fetch_sub(bytes); }
  [[nodiscard]] Status check_reserve() const;
  // Opens the file and checks its header and, for a raw one, its size. BLOB_NOT_FOUND, BLOB_DAMAGED,
  // IO_FAILED.
  [[nodiscard]] Result<BlobInfo> inspect(std::string_view sha256, Fd& fd, BlobHeader& header) const;
  void mark_damaged(const std::string& sha256);
  // Renews the put time when a good file of that name is there. Called with mutex held.
  [[nodiscard]] Result<std::optional<BlobInfo>> renew(std::string_view sha256);
};

}  // namespace ez::storage
