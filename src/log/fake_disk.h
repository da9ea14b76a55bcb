// A deterministic disk in memory that keeps synced and unsynced content apart and fails on demand. For the
// fault suites and the simulation; the same seed gives the same losses.
//
// What a crash may do, per unsynced write: nothing of it is on the disk, all of it, a prefix that ends at any
// byte, or any subset of its 512-byte sectors. Unsynced truncations, preallocations and directory entries
// happened or did not; of operations on the same name a later one never survives an earlier one that was
// lost.
//
// A failed sync behaves like the worst known file systems: what was unsynced stays readable but will never
// become durable by a later sync, only by being written again.
//
// Thread-safe. Files and locks may outlive a crash; they then answer IO_FAILED.
#pragma once

#include <map>
#include <mutex>
#include <set>

#include "base/random.h"
#include "log/disk.h"

namespace ez::log {

class FakeDisk final : public Disk {
 public:
  // The directories that exist from the beginning, besides what make_directory() adds.
  explicit FakeDisk(std::uint64_t seed, std::set<std::string> directories = {"/data"});
  ~FakeDisk() override;

  Result<std::unique_ptr<File>> create(const std::string& path) override;
  Result<std::unique_ptr<File>> open(const std::string& path, bool writable) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status unlink(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& directory) override;
  Status make_directory(const std::string& directory) override;
  Status sync_dir(const std::string& directory) override;
  Result<std::uint64_t> free_bytes(const std::string& directory) override;
  Result<std::unique_ptr<DiskLock>> lock(const std::string& path) override;
  Result<std::unique_ptr<DiskLock>> lock_existing(const std::string& path) override;

  // The machine loses power: unsynced content is lost or torn by the seed, locks and open files end.
  void crash();
  // The same, but of the unsynced writes exactly the first `bytes` bytes are kept, in the order of writing;
  // directory entries, truncations and preallocations are all kept.
  void crash_keeping(std::uint64_t bytes);
  // The process dies (kill -9): locks and open files end, the contents stay, synced or not.
  void kill();

  // The operation `countdown` from now (1: the next one) fails once with that code (IoFailed or DiskFull). A
  // failing pwrite leaves a random prefix behind.
  void fail_operation(std::uint64_t countdown, Code code);
  // At the operation `countdown` from now everything stops: it takes effect in part, and it and all later
  // ones fail until crash() or kill().
  void stop_at_operation(std::uint64_t countdown);
  // Total room; files count with their length. The default is 1 TiB.
  void set_capacity(std::uint64_t bytes);
  // While set, everything that would change something fails as on a read-only file system.
  void set_read_only(bool read_only);
  // Flips one bit of a file's content, on the disk and in the cache alike.
  void flip_bit(const std::string& path, std::uint64_t bit);

  [[nodiscard]] std::uint64_t operations() const;      // counted since the beginning
  [[nodiscard]] std::uint64_t unsynced_bytes() const;  // that crash_keeping() could keep
  [[nodiscard]] bool fault_happened() const;           // the last planned fault or stop was reached
  [[nodiscard]] std::vector<std::string> paths() const;
  [[nodiscard]] std::string contents(const std::string& path) const;
  // Puts a file there, durably; replaces one of that name.
  void set_contents(const std::string& path, std::string bytes);

 private:
  struct Change;
  struct Inode;
  struct EntryChange;
  class Handle;
  class Lock;
  enum class Gate { kProceed, kFail, kStop };
  using InodePointer = std::shared_ptr<Inode>;  // shared: an open file outlives its name

  Result<Gate> enter(std::uint64_t generation, const std::string& what, bool changes);
  Error planned_error(const std::string& what) const;
  void end_process();
  void settle_entries(bool keep_all);
  std::uint64_t used_locked() const;

  mutable std::mutex mutex_;
  SeededRandom random_;
  std::set<std::string> directories_;
  std::map<std::string, InodePointer> entries_;  // as the running system sees them
  std::map<std::string, InodePointer> durable_entries_;
  std::vector<EntryChange> entry_changes_;
  std::set<std::string> locks_;
  std::uint64_t generation_ = 1;
  std::uint64_t sequence_ = 0;
  std::uint64_t operations_ = 0;
  std::uint64_t fail_at_ = 0;
  std::uint64_t stop_at_ = 0;
  Code fail_code_ = Code::IoFailed;
  bool fault_happened_ = false;
  bool stopped_ = false;
  bool read_only_ = false;
  std::uint64_t capacity_ = 1ULL << 40;
};

}  // namespace ez::log
