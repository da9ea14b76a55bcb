#include "log/fake_disk.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace ez::log {
namespace {

constexpr std::uint64_t kSectorBytes = 512;

std::string parent_of(const std::string& path) { return path.substr(0, path.rfind('/')); }
std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

void put(std::string& content, std::uint64_t offset, std::string_view bytes) {
  if (bytes.empty()) return;
  if (content.size() < offset + bytes.size()) content.resize(offset + bytes.size());
  std::memcpy(content.data() + offset, bytes.data(), bytes.size());
}

}  // namespace

// One unsynced change of a file's content.
struct FakeDisk::Change {
  enum class Kind { kWrite, kTruncate, kExtend } kind;
  std::uint64_t sequence;  // order over all files
  std::uint64_t offset;    // of a write; the new size of the others
  std::string bytes;

  void apply(std::string& content) const {
    if (kind == Kind::kWrite) put(content, offset, bytes);
    if (kind == Kind::kTruncate || content.size() < offset) {
      if (kind != Kind::kWrite) content.resize(offset);
    }
  }
};

struct FakeDisk::Inode {
  std::string current;
  std::string durable;
  std::vector<Change> pending;
};

// One unsynced change of a directory: create (to), unlink (from) or rename (both).
struct FakeDisk::EntryChange {
  std::string from;
  std::string to;
  InodePointer inode;

  [[nodiscard]] bool in(const std::string& directory) const {
    return (!from.empty() && parent_of(from) == directory) || (!to.empty() && parent_of(to) == directory);
  }
  void apply(std::map<std::string, InodePointer>& entries) const {
    if (!from.empty()) entries.erase(from);
    if (!to.empty()) entries[to] = inode;
  }
};

class FakeDisk::Handle final : public File {
 public:
  Handle(FakeDisk& disk, InodePointer inode, std::string path, bool writable)
      : disk_(disk),
        inode_(std::move(inode)),
        path_(std::move(path)),
        writable_(writable),
        generation_(disk.generation_) {}

  Status pwrite(std::uint64_t offset, std::string_view bytes) override {
    std::lock_guard lock(disk_.mutex_);
    EZ_ASSIGN(const Gate gate, disk_.enter(generation_, "pwrite " + path_, true));
    EZ_CHECK(writable_, "write to a file that was opened for reading");
    if (gate != Gate::kProceed) {
      write_locked(offset, bytes.substr(0, disk_.random_.below(bytes.size() + 1)));
      return disk_.planned_error("pwrite " + path_);
    }
    const std::uint64_t end = offset + bytes.size();
    if (end > inode_->current.size() && !room_for(end)) return full("pwrite");
    write_locked(offset, bytes);
    return {};
  }

  Result<std::size_t> pread(std::uint64_t offset, std::span<char> out) override {
    std::lock_guard lock(disk_.mutex_);
    EZ_ASSIGN(const Gate gate, disk_.enter(generation_, "pread " + path_, false));
    if (gate != Gate::kProceed) return disk_.planned_error("pread " + path_);
    const std::string& content = inode_->current;
    if (offset >= content.size()) return std::size_t{0};
    const std::size_t count = std::min<std::uint64_t>(out.size(), content.size() - offset);
    std::memcpy(out.data(), content.data() + offset, count);
    return count;
  }

  Status sync() override {
    std::lock_guard lock(disk_.mutex_);
    EZ_ASSIGN(const Gate gate, disk_.enter(generation_, "fdatasync " + path_, true));
    if (gate == Gate::kFail) inode_->pending.clear();  // readable, but lost
    if (gate != Gate::kProceed) return disk_.planned_error("fdatasync " + path_);
    for (const Change& change : inode_->pending) change.apply(inode_->durable);
    inode_->pending.clear();
    return {};
  }

  Status truncate(std::uint64_t bytes) override {
    return resize(Change::Kind::kTruncate, bytes, "ftruncate");
  }
  Status preallocate(std::uint64_t bytes) override {
    return resize(Change::Kind::kExtend, bytes, "fallocate");
  }

  Result<std::uint64_t> size() override {
    std::lock_guard lock(disk_.mutex_);
    EZ_ASSIGN(const Gate gate, disk_.enter(generation_, "fstat " + path_, false));
    if (gate != Gate::kProceed) return disk_.planned_error("fstat " + path_);
    return static_cast<std::uint64_t>(inode_->current.size());
  }

 private:
  void write_locked(std::uint64_t offset, std::string_view bytes) {
    if (bytes.empty()) return;
    put(inode_->current, offset, bytes);
    inode_->pending.push_back({Change::Kind::kWrite, ++disk_.sequence_, offset, std::string(bytes)});
  }

  Status resize(Change::Kind kind, std::uint64_t bytes, const char* call) {
    std::lock_guard lock(disk_.mutex_);
    EZ_ASSIGN(const Gate gate, disk_.enter(generation_, call + (" " + path_), true));
    if (gate != Gate::kProceed) return disk_.planned_error(call + (" " + path_));
    if (bytes > inode_->current.size() && !room_for(bytes)) return full(call);
    inode_->pending.push_back({kind, ++disk_.sequence_, bytes, {}});
    inode_->pending.back().apply(inode_->current);
    return {};
  }

  bool room_for(std::uint64_t size) const {
    return disk_.used_locked() + (size - inode_->current.size()) <= disk_.capacity_;
  }
  Error full(const std::string& call) const {
    return Error(Code::DiskFull, call + " " + path_ + ": No space left on device");
  }

  FakeDisk& disk_;
  const InodePointer inode_;
  const std::string path_;
  const bool writable_;
  const std::uint64_t generation_;
};

class FakeDisk::Lock final : public DiskLock {
 public:
  Lock(FakeDisk& disk, std::string path)
      : disk_(disk), path_(std::move(path)), generation_(disk.generation_) {}
  ~Lock() override {
    std::lock_guard lock(disk_.mutex_);
    if (generation_ == disk_.generation_) disk_.locks_.erase(path_);
  }

 private:
  FakeDisk& disk_;
  const std::string path_;
  const std::uint64_t generation_;
};

FakeDisk::FakeDisk(std::uint64_t seed, std::set<std::string> directories)
    : random_(seed), directories_(std::move(directories)) {}
FakeDisk::~FakeDisk() = default;

Result<FakeDisk::Gate> FakeDisk::enter(std::uint64_t generation, const std::string& what, bool changes) {
  if (generation != generation_) return Error(Code::IoFailed, what + ": the process of this file has ended");
  if (stopped_) return Error(Code::IoFailed, what + ": the machine has stopped");
  ++operations_;
  if (changes && read_only_) return Error(Code::IoFailed, what + ": Read-only file system");
  if (operations_ == fail_at_) {
    fault_happened_ = true;
    return Gate::kFail;
  }
  if (operations_ == stop_at_) {
    fault_happened_ = stopped_ = true;
    return Gate::kStop;
  }
  return Gate::kProceed;
}

Error FakeDisk::planned_error(const std::string& what) const {
  return Error(stopped_ ? Code::IoFailed : fail_code_, what + ": planned fault");
}

Result<std::unique_ptr<File>> FakeDisk::create(const std::string& path) {
  std::lock_guard lock(mutex_);
  EZ_ASSIGN(const Gate gate, enter(generation_, "create " + path, true));
  if (gate != Gate::kProceed) return planned_error("create " + path);
  if (entries_.contains(path)) return Error(Code::IoFailed, "create " + path + ": File exists");
  if (!directories_.contains(parent_of(path)))
    return Error(Code::IoFailed, "create " + path + ": no directory");
  auto inode = std::make_shared<Inode>();
  entries_[path] = inode;
  entry_changes_.push_back({"", path, inode});
  return std::unique_ptr<File>(std::make_unique<Handle>(*this, inode, path, true));
}

Result<std::unique_ptr<File>> FakeDisk::open(const std::string& path, bool writable) {
  std::lock_guard lock(mutex_);
  EZ_ASSIGN(const Gate gate, enter(generation_, "open " + path, writable));
  if (gate != Gate::kProceed) return planned_error("open " + path);
  const auto found = entries_.find(path);
  if (found == entries_.end()) return Error(Code::IoFailed, "open " + path + ": No such file or directory");
  return std::unique_ptr<File>(std::make_unique<Handle>(*this, found->second, path, writable));
}

Status FakeDisk::rename(const std::string& from, const std::string& to) {
  std::lock_guard lock(mutex_);
  EZ_ASSIGN(const Gate gate, enter(generation_, "rename " + from, true));
  if (gate != Gate::kProceed) return planned_error("rename " + from);
  const auto found = entries_.find(from);
  if (found == entries_.end()) return Error(Code::IoFailed, "rename " + from + ": No such file or directory");
  entry_changes_.push_back({from, to, found->second});
  entry_changes_.back().apply(entries_);
  return {};
}

Status FakeDisk::unlink(const std::string& path) {
  std::lock_guard lock(mutex_);
  EZ_ASSIGN(const Gate gate, enter(generation_, "unlink " + path, true));
  if (gate != Gate::kProceed) return planned_error("unlink " + path);
  if (!entries_.contains(path))
    return Error(Code::IoFailed, "unlink " + path + ": No such file or directory");
  entry_changes_.push_back({path, "", nullptr});
  entry_changes_.back().apply(entries_);
  return {};
}

Result<std::vector<std::string>> FakeDisk::list(const std::string& directory) {
  std::lock_guard lock(mutex_);
  EZ_ASSIGN(const Gate gate, enter(generation_, "list " + directory, false));
  if (gate != Gate::kProceed) return planned_error("list " + directory);
  if (!directories_.contains(directory)) {
    return Error(Code::DataDirUnusable, directory + ": not a directory");
  }
  std::vector<std::string> names;
  for (const auto& [path, inode] : entries_) {
    if (parent_of(path) == directory) names.push_back(name_of(path));
  }
  return names;
}

Status FakeDisk::make_directory(const std::string& directory) {
  std::lock_guard lock(mutex_);
  if (entries_.contains(directory)) return Error(Code::DataDirUnusable, directory + " is not a directory");
  const bool exists = directories_.contains(directory);
  EZ_ASSIGN(const Gate gate, enter(generation_, "mkdir " + directory, !exists));
  if (gate != Gate::kProceed) return planned_error("mkdir " + directory);
  directories_.insert(directory);
  return {};
}

Status FakeDisk::sync_dir(const std::string& directory) {
  std::lock_guard lock(mutex_);
  EZ_ASSIGN(const Gate gate, enter(generation_, "sync " + directory, true));
  if (gate != Gate::kProceed) return planned_error("sync " + directory);
  std::erase_if(entry_changes_, [&](const EntryChange& change) {
    if (!change.in(directory)) return false;
    change.apply(durable_entries_);
    return true;
  });
  return {};
}

Result<std::uint64_t> FakeDisk::free_bytes(const std::string& directory) {
  std::lock_guard lock(mutex_);
  EZ_ASSIGN(const Gate gate, enter(generation_, "statvfs " + directory, false));
  if (gate != Gate::kProceed) return planned_error("statvfs " + directory);
  const std::uint64_t used = used_locked();
  return used >= capacity_ ? std::uint64_t{0} : capacity_ - used;
}

Result<std::unique_ptr<DiskLock>> FakeDisk::lock(const std::string& path) {
  std::lock_guard lock(mutex_);
  EZ_ASSIGN(const Gate gate, enter(generation_, "flock " + path, false));
  if (gate != Gate::kProceed) return planned_error("flock " + path);
  if (locks_.contains(path)) return Error(Code::DataDirLocked, path + " is held by process 1");
  if (read_only_) return Error(Code::DataDirUnusable, "open " + path + ": Read-only file system");
  auto& inode = entries_[path];
  if (inode == nullptr) inode = durable_entries_[path] = std::make_shared<Inode>();
  inode->current = inode->durable = "1\n";
  locks_.insert(path);
  return std::unique_ptr<DiskLock>(std::make_unique<Lock>(*this, path));
}

Result<std::unique_ptr<DiskLock>> FakeDisk::lock_existing(const std::string& path) {
  std::lock_guard lock(mutex_);
  EZ_ASSIGN(const Gate gate, enter(generation_, "flock " + path, false));
  if (gate != Gate::kProceed) return planned_error("flock " + path);
  if (!entries_.contains(path)) return std::unique_ptr<DiskLock>();
  if (!locks_.insert(path).second) return Error(Code::DataDirLocked, path + " is held by process 1");
  return std::unique_ptr<DiskLock>(std::make_unique<Lock>(*this, path));
}

void FakeDisk::end_process() {
  ++generation_;
  locks_.clear();
  stopped_ = false;
  fail_at_ = stop_at_ = 0;
}

void FakeDisk::settle_entries(bool keep_all) {
  std::set<std::string> lost;  // names whose earlier change was lost
  for (const EntryChange& change : entry_changes_) {
    const bool depends = lost.contains(change.from) || lost.contains(change.to);
    if (!depends && (keep_all || random_.chance(1, 2))) {
      change.apply(durable_entries_);
    } else {
      if (!change.from.empty()) lost.insert(change.from);
      if (!change.to.empty()) lost.insert(change.to);
    }
  }
  entry_changes_.clear();
  entries_ = durable_entries_;
}

void FakeDisk::crash() {
  std::lock_guard lock(mutex_);
  end_process();
  settle_entries(false);
  for (auto& [path, inode] : entries_) {
    for (const Change& change : inode->pending) {
      if (change.kind != Change::Kind::kWrite) {
        if (random_.chance(1, 2)) change.apply(inode->durable);
        continue;
      }
      const std::string_view bytes = change.bytes;
      switch (random_.below(4)) {
        case 0:
          break;
        case 1:
          change.apply(inode->durable);
          break;
        case 2:
          put(inode->durable, change.offset, bytes.substr(0, random_.below(bytes.size() + 1)));
          break;
        default:
          for (std::uint64_t at = 0; at < bytes.size();) {
            const std::uint64_t left = kSectorBytes - (change.offset + at) % kSectorBytes;
            const std::string_view sector = bytes.substr(at, left);
            if (random_.chance(1, 2)) put(inode->durable, change.offset + at, sector);
            at += sector.size();
          }
      }
    }
    inode->pending.clear();
    inode->current = inode->durable;
  }
}

void FakeDisk::crash_keeping(std::uint64_t bytes) {
  std::lock_guard lock(mutex_);
  end_process();
  settle_entries(true);
  std::vector<std::pair<const Change*, Inode*>> changes;
  for (auto& [path, inode] : entries_) {
    for (const Change& change : inode->pending) changes.emplace_back(&change, inode.get());
  }
  std::sort(changes.begin(), changes.end(),
            [](const auto& a, const auto& b) { return a.first->sequence < b.first->sequence; });
  for (const auto& [change, inode] : changes) {
    if (change->kind != Change::Kind::kWrite) {
      change->apply(inode->durable);
      continue;
    }
    const std::string_view kept = std::string_view(change->bytes).substr(0, bytes);
    put(inode->durable, change->offset, kept);
    bytes -= kept.size();
  }
  for (auto& [path, inode] : entries_) {
    inode->pending.clear();
    inode->current = inode->durable;
  }
}

void FakeDisk::kill() {
  std::lock_guard lock(mutex_);
  end_process();
}

void FakeDisk::fail_operation(std::uint64_t countdown, Code code) {
  std::lock_guard lock(mutex_);
  fail_at_ = operations_ + countdown;
  fail_code_ = code;
  fault_happened_ = false;
}

void FakeDisk::stop_at_operation(std::uint64_t countdown) {
  std::lock_guard lock(mutex_);
  stop_at_ = operations_ + countdown;
  fault_happened_ = false;
}

void FakeDisk::set_capacity(std::uint64_t bytes) {
  std::lock_guard lock(mutex_);
  capacity_ = bytes;
}

void FakeDisk::set_read_only(bool read_only) {
  std::lock_guard lock(mutex_);
  read_only_ = read_only;
}

void FakeDisk::flip_bit(const std::string& path, std::uint64_t bit) {
  std::lock_guard lock(mutex_);
  Inode& inode = *entries_.at(path);
  const auto mask = static_cast<char>(1U << (bit % 8));
  EZ_CHECK(bit / 8 < inode.current.size(), "flip_bit beyond the end of the file");
  inode.current[bit / 8] = static_cast<char>(inode.current[bit / 8] ^ mask);
  if (bit / 8 < inode.durable.size()) {
    inode.durable[bit / 8] = static_cast<char>(inode.durable[bit / 8] ^ mask);
  }
}

std::uint64_t FakeDisk::operations() const {
  std::lock_guard lock(mutex_);
  return operations_;
}

std::uint64_t FakeDisk::unsynced_bytes() const {
  std::lock_guard lock(mutex_);
  std::uint64_t total = 0;
  for (const auto& [path, inode] : entries_) {
    for (const Change& change : inode->pending) total += change.bytes.size();
  }
  return total;
}

bool FakeDisk::fault_happened() const {
  std::lock_guard lock(mutex_);
  return fault_happened_;
}

std::vector<std::string> FakeDisk::paths() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> out;
  for (const auto& [path, inode] : entries_) out.push_back(path);
  return out;
}

std::string FakeDisk::contents(const std::string& path) const {
  std::lock_guard lock(mutex_);
  return entries_.at(path)->current;
}

void FakeDisk::set_contents(const std::string& path, std::string bytes) {
  std::lock_guard lock(mutex_);
  auto inode = std::make_shared<Inode>();
  inode->current = inode->durable = std::move(bytes);
  entries_[path] = durable_entries_[path] = inode;
}

std::uint64_t FakeDisk::used_locked() const {
  std::uint64_t total = 0;
  for (const auto& [path, inode] : entries_) total += inode->current.size();
  return total;
}

}  // namespace ez::log
