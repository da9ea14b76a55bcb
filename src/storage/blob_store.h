// Blobs: immutable bytes by their SHA-256, for payloads that are too large for the log, artifacts and
// transcripts.
//
// Files. <folder>/blobs/ab/cdef…: a 24-byte header and the bytes, raw or as a zstd frame
// (docs/formats/blobs.md). A blob is written aside, synced, renamed and the folder synced: after commit() it
// is durable and whole, or not there. References are rows of <folder>/blobs.db (SQLite, synchronous=FULL).
//
// Life of a blob. A put makes it without references; its put time is the file's time. collect() removes a
// blob only when it has no reference and was last put more than `grace` ago: put, then add_ref within the
// grace period. A put of an existing blob renews its put time. A crash anywhere leaves at most unreferenced
// files, which a later collect() removes. When blobs.db was absent although blobs are there, references are
// not known: collect() refuses with WRONG_STATE until the owner has added them again and said so with
// trust_references().
//
// Threads. Everything is thread-safe except that one BlobWriter or BlobReader belongs to one thread at a
// time. Both keep working while the store lives; the store must outlive them. One process at a time uses a
// folder.
//
// Flow control. Puts over max_blob_bytes are refused with PAYLOAD_TOO_LARGE; puts that would pass total_bytes
// or leave less than reserve_bytes free on the disk are refused with DISK_FULL. Memory: about 1 MiB a writer
// or reader.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace ez::storage {

struct BlobLimits {
  std::uint64_t max_blob_bytes = 1ULL << 30;
  std::uint64_t total_bytes = 64ULL << 30;     // of all files as stored
  std::uint64_t reserve_bytes = 256ULL << 20;  // free space of the disk that is left to the log
};

struct BlobInfo {
  std::string sha256;
  std::uint64_t bytes = 0;         // plain
  std::uint64_t stored_bytes = 0;  // of the file
};

struct CollectResult {
  std::uint64_t examined = 0;
  std::uint64_t removed = 0;
  std::uint64_t freed_bytes = 0;
  bool end = false;  // the whole store has been walked; the next call starts again
};

// A put in progress; without commit() nothing is kept.
class BlobWriter {
 public:
  ~BlobWriter();
  BlobWriter(BlobWriter&&) noexcept;
  BlobWriter& operator=(BlobWriter&&) noexcept;
  // Errors: PAYLOAD_TOO_LARGE, DISK_FULL, IO_FAILED. After an error only destruction is left.
  [[nodiscard]] Status write(std::string_view bytes);
  // Errors: BLOB_MISMATCH when an expected hash was given and the bytes have another one, and those of
  // write().
  [[nodiscard]] Result<BlobInfo> commit();

 private:
  friend class BlobStore;
  struct State;
  explicit BlobWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Reads a blob from front to end. What read() returns has been checked as far as it goes; that the whole is
// right is known only when it returns the empty string: a server that passes bytes on must break its answer
// off on an error.
class BlobReader {
 public:
  ~BlobReader();
  BlobReader(BlobReader&&) noexcept;
  BlobReader& operator=(BlobReader&&) noexcept;
  [[nodiscard]] std::uint64_t bytes() const;  // plain size by the header
  // Up to `limit` (at most 1 MiB) more bytes; empty at the end. Errors: BLOB_DAMAGED, IO_FAILED.
  [[nodiscard]] Result<std::string> read(std::size_t limit);

 private:
  friend class BlobStore;
  struct State;
  explicit BlobReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

class BlobStore {
 public:
  // Opens or creates, removes unfinished writes, and adds up the stored sizes (one stat a blob).
  // Errors: IO_FAILED, DISK_FULL, BLOB_REFERENCES_FAILED (blobs.db damaged or newer).
  [[nodiscard]] static Result<std::unique_ptr<BlobStore>> open(const std::string& folder,
                                                               const BlobLimits& limits, Clock& clock);
  ~BlobStore();

  // Puts are idempotent: the same bytes again are not written again.
  [[nodiscard]] Result<BlobInfo> put(std::string_view bytes);
  [[nodiscard]] Result<BlobInfo> put_file(const std::string& path);
  // `expected` is checked in commit(). INVALID_ARGUMENT when it does not have the form of a hash.
  [[nodiscard]] Result<BlobWriter> begin_put(std::optional<std::string> expected_sha256);

  // Errors of the next four: BLOB_NOT_FOUND, INVALID_ARGUMENT (not a hash), BLOB_DAMAGED, IO_FAILED.
  [[nodiscard]] Result<BlobInfo> stat(std::string_view sha256) const;
  // PAYLOAD_TOO_LARGE when the blob has more than max_bytes.
  [[nodiscard]] Result<std::string> get(std::string_view sha256, std::size_t max_bytes) const;
  [[nodiscard]] Result<BlobReader> open_blob(std::string_view sha256) const;

  // The owner (for example "run/r12", 1 to 256 bytes) keeps these blobs; idempotent; all or none, durable on
  // return. BLOB_NOT_FOUND when one of them is not there.
  [[nodiscard]] Status add_refs(std::string_view owner, std::span<const std::string> sha256s);
  [[nodiscard]] Status add_ref(std::string_view owner, const std::string& sha256);
  // Removes all references of the owner; without effect when it has none.
  [[nodiscard]] Status drop_owner(std::string_view owner);
  // The same for many, in one transaction.
  [[nodiscard]] Status drop_owners(std::span<const std::string> owners);
  [[nodiscard]] Result<std::vector<std::string>> refs(std::string_view owner) const;

  // Examines up to max_blobs blobs from where the last call stopped. One caller at a time does work, others
  // wait.
  [[nodiscard]] Result<CollectResult> collect(std::int64_t now_ms, std::int64_t grace_ms,
                                              std::size_t max_blobs);
  [[nodiscard]] bool references_trusted() const;
  [[nodiscard]] Status trust_references();

  [[nodiscard]] std::uint64_t stored_bytes() const;  // all files, with those being written
  [[nodiscard]] std::uint64_t count() const;

  struct State;

 private:
  explicit BlobStore(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ez::storage
