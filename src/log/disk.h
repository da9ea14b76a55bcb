// What the log needs of a disk, injected, so that tests and the simulation own it. Two implementations:
// disk_posix.h (the machine's) and fake_disk.h (deterministic, loses what was not synced, fails on demand).
//
// Durability. What is written, truncated or preallocated is durable after File::sync() returned without an
// error. A directory entry that was created, renamed or removed is durable after sync_dir() of its directory.
// After a failed sync nobody knows what is durable, and a second sync of the same file may claim success
// wrongly: never retry one.
//
// Errors. DISK_FULL when there is no room (or quota), IO_FAILED for everything else, unless a method names
// another.
//
// Threads. Every method may be called from any thread; one File is used by one thread at a time. A Disk
// outlives its Files and DiskLocks.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace ez::log {

class File {
 public:
  virtual ~File() = default;  // closes; never syncs
  // All of `bytes` or an error; with an error any part may have been written. Extends the file when needed.
  [[nodiscard]] virtual Status pwrite(std::uint64_t offset, std::string_view bytes) = 0;
  // Fills `out`; gives how many bytes there were, fewer than asked only at the end of the file.
  [[nodiscard]] virtual Result<std::size_t> pread(std::uint64_t offset, std::span<char> out) = 0;
  // fdatasync: contents, size and allocation.
  [[nodiscard]] virtual Status sync() = 0;
  [[nodiscard]] virtual Status truncate(std::uint64_t bytes) = 0;
  // Makes the file at least `bytes` long, reading as zeros, with room reserved for it. DISK_FULL when there
  // is none.
  [[nodiscard]] virtual Status preallocate(std::uint64_t bytes) = 0;
  [[nodiscard]] virtual Result<std::uint64_t> size() = 0;
};

// Held until destroyed; the operating system releases it when the process ends in any way.
class DiskLock {
 public:
  virtual ~DiskLock() = default;
};

class Disk {
 public:
  virtual ~Disk() = default;
  // A new file, readable and writable; IO_FAILED when the name is taken.
  [[nodiscard]] virtual Result<std::unique_ptr<File>> create(const std::string& path) = 0;
  [[nodiscard]] virtual Result<std::unique_ptr<File>> open(const std::string& path, bool writable) = 0;
  // Atomic; replaces `to` when it exists.
  [[nodiscard]] virtual Status rename(const std::string& from, const std::string& to) = 0;
  [[nodiscard]] virtual Status unlink(const std::string& path) = 0;
  // Names (not paths) of the entries, sorted. DATA_DIR_UNUSABLE when it is not a readable directory.
  [[nodiscard]] virtual Result<std::vector<std::string>> list(const std::string& directory) = 0;
  // Creates the directory when it is absent, durably; its parent must exist. DATA_DIR_UNUSABLE when that
  // fails.
  [[nodiscard]] virtual Status make_directory(const std::string& directory) = 0;
  [[nodiscard]] virtual Status sync_dir(const std::string& directory) = 0;
  // Bytes that this user can still allocate on the file system of the directory.
  [[nodiscard]] virtual Result<std::uint64_t> free_bytes(const std::string& directory) = 0;
  // Takes the lock of that file (created when absent) and writes the process id into it. DATA_DIR_LOCKED
  // names the holder; DATA_DIR_UNUSABLE when the file cannot be written.
  [[nodiscard]] virtual Result<std::unique_ptr<DiskLock>> lock(const std::string& path) = 0;
  // The same without changing anything: nullptr when the file does not exist.
  [[nodiscard]] virtual Result<std::unique_ptr<DiskLock>> lock_existing(const std::string& path) = 0;
};

}  // namespace ez::log
