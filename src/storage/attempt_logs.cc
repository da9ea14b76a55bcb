#include "storage/attempt_logs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <list>
#include <map>
#include <mutex>
#include <vector>

#include "storage/files.h"

namespace ez::storage {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMarkerStart = "\n[ez: the log ends here, at its limit of ";
constexpr std::string_view kMarkerEnd = " bytes]\n";
constexpr std::size_t kMaxMarkerBytes = 96;

bool digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// [a-z0-9][a-z0-9_-]{0,62} and, for an instance, .<up to 9 digits>: never a slash or two dots.
bool is_task(std::string_view task) {
  const auto dot = task.find('.');
  if (dot != std::string_view::npos && (!digits(task.substr(dot + 1)) || task.size() - dot > 10))
    return false;
  task = task.substr(0, dot);
  return !task.empty() && task.size() <= 63 && task[0] != '_' && task[0] != '-' &&
         task.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") == std::string_view::npos;
}

Status check_id(const AttemptId& id) {
  if (id.run.valid() && id.attempt > 0 && is_task(id.task)) return {};
  return Error(Code::InvalidArgument, "not the name of an attempt's log");
}

std::string run_folder(const std::string& folder, RunId run) {
  static constexpr char kHex[] = "0123456789abcdef";
  return folder + "/" + kHex[run.value >> 4 & 15] + kHex[run.value & 15] + "/" + to_text(run);
}

Status write_at(int fd, std::uint64_t offset, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0) {
      if (errno == EINTR) continue;
      return file_error("write", path, errno);
    }
    offset += static_cast<std::uint64_t>(written);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

// Whether the file ends with the line that says that the limit was reached.
Result<bool> ends_with_marker(const std::string& path, std::uint64_t size) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid()) return file_error("open", path, errno);
  const std::uint64_t from = size - std::min<std::uint64_t>(size, kMaxMarkerBytes);
  EZ_ASSIGN(const std::string read, read_at(fd.get(), from, kMaxMarkerBytes, path));
  std::string_view tail = read;
  const auto start = tail.rfind(kMarkerStart);
  if (start == std::string_view::npos || !tail.ends_with(kMarkerEnd)) return false;
  tail.remove_prefix(start + kMarkerStart.size());
  return tail.size() > kMarkerEnd.size() && digits(tail.substr(0, tail.size() - kMarkerEnd.size()));
}

}  // namespace

struct LogSubscription::Hook {
  std::mutex mutex;  // held while the listener runs
  LogListener listener;
  std::atomic<bool> ended{false};
  std::shared_ptr<std::atomic<std::size_t>> count;

  void call(const LogState& state) {
    std::lock_guard lock(mutex);
    if (listener) listener(state);
  }
  void end() {
    {
      std::lock_guard lock(mutex);
      listener = nullptr;
    }
    if (!ended.exchange(true)) count->fetch_sub(1);
  }
};

LogSubscription& LogSubscription::operator=(LogSubscription&& other) noexcept {
  if (this != &other) {
    if (hook_) hook_->end();
    hook_ = std::move(other.hook_);
  }
  return *this;
}
LogSubscription::~LogSubscription() {
  if (hook_) hook_->end();
}

using Hooks = std::vector<std::shared_ptr<LogSubscription::Hook>>;

namespace {

struct Entry {
  LogState state;
  bool truncated = false;
  Fd fd;
  std::string path;  // empty: no file yet
  Hooks hooks;
  std::list<AttemptId>::iterator recent;

  void prune() {
    std::erase_if(hooks, [](const auto& hook) { return hook->ended.load(); });
  }
};

struct Shard {
  std::mutex mutex;
  std::map<AttemptId, Entry> entries;
  std::list<AttemptId> recent;  // the latest used first
  std::size_t open = 0;
};

}  // namespace

struct AttemptLogs::State {
  std::string folder;
  AttemptLogLimits limits;
  std::size_t open_per_shard = 1;
  std::atomic<std::uint64_t> used{0};
  std::shared_ptr<std::atomic<std::size_t>> subscriptions = std::make_shared<std::atomic<std::size_t>>(0);
  std::array<Shard, kShards> shards;

  Shard& shard(const AttemptId& id) {
    const std::size_t hash =
        std::hash<std::string>()(id.task) ^ (id.run.value * 0x9e3779b97f4a7c15ULL) ^ id.attempt;
    return shards[(hash ^ hash >> 32) % kShards];
  }

  static void close(Shard& shard, Entry& entry) {
    if (!entry.fd.valid()) return;
    entry.fd.reset();
    --shard.open;
  }

  // Closes the descriptors and forgets the attempts that were not used for longest, until one more of each
  // fits.
  void make_room(Shard& shard, bool for_entry) const {
    for (auto at = shard.recent.rbegin(); shard.open >= open_per_shard && at != shard.recent.rend(); ++at) {
      close(shard, shard.entries.at(*at));
    }
    if (!for_entry) return;
    for (auto at = shard.recent.end();
         shard.entries.size() >= kMaxRemembered / kShards && at != shard.recent.begin();) {
      --at;
      Entry& entry = shard.entries.at(*at);
      entry.prune();
      if (!entry.hooks.empty()) continue;
      close(shard, entry);
      shard.entries.erase(*at);
      at = shard.recent.erase(at);
    }
  }

  // The entry of the log with what its file says. Called with the shard's lock held, like the others below.
  Result<Entry*> find(Shard& shard, const AttemptId& id) {
    auto found = shard.entries.find(id);
    if (found != shard.entries.end()) {
      shard.recent.splice(shard.recent.begin(), shard.recent, found->second.recent);
      return &found->second;
    }
    make_room(shard, true);
    Entry entry;
    const std::string stem = run_folder(folder, id.run) + "/" + id.task + "." + std::to_string(id.attempt);
    for (const bool finished : {true, false}) {
      const std::string path = stem + (finished ? ".log" : ".open");
      struct stat info {};
      if (::lstat(path.c_str(), &info) == 0) {
        entry.state = {static_cast<std::uint64_t>(info.st_size), finished};
        entry.path = path;
        break;
      }
      if (errno != ENOENT && errno != ENOTDIR) return file_error("stat", path, errno);
    }
    if (!entry.path.empty() && !entry.state.finished) {
      EZ_ASSIGN(entry.truncated, ends_with_marker(entry.path, entry.state.size));
    }
    shard.recent.push_front(id);
    entry.recent = shard.recent.begin();
    return &shard.entries.emplace(id, std::move(entry)).first->second;
  }

  Status open_file(Shard& shard, Entry& entry) const {
    if (entry.fd.valid()) return {};
    make_room(shard, false);
    entry.fd = Fd(::open(entry.path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!entry.fd.valid()) return file_error("open", entry.path, errno);
    ++shard.open;
    return {};
  }

  // Writes at the end of the file; on an error the file is as it was.
  Status grow(Entry& entry, std::string_view bytes) {
    if (used.fetch_add(bytes.size()) + bytes.size() > limits.total_bytes) {
      used.fetch_sub(bytes.size());
      return Error(Code::DiskFull,
                   "the logs have reached their budget of " + std::to_string(limits.total_bytes) + " bytes",
                   "Remove old runs or raise the budget; work goes on by itself when there is room.");
    }
    const Status written = write_at(entry.fd.get(), entry.state.size, bytes, entry.path);
    if (!written.ok()) {
      used.fetch_sub(bytes.size());
      // A tail that cannot be cut either is overwritten by the next append, which starts at the same size.
      (void)!::ftruncate(entry.fd.get(), static_cast<off_t>(entry.state.size));
      return written;
    }
    entry.state.size += bytes.size();
    return {};
  }

  static Hooks hooks_of(Entry& entry) {
    entry.prune();
    return entry.hooks;
  }
};

namespace {

void notify(const Hooks& hooks, const LogState& state) {
  for (const auto& hook : hooks) hook->call(state);
}

}  // namespace

AttemptLogs::AttemptLogs(std::unique_ptr<State> state) : state_(std::move(state)) {}
AttemptLogs::~AttemptLogs() = default;

Result<std::unique_ptr<AttemptLogs>> AttemptLogs::open(const std::string& folder,
                                                       const AttemptLogLimits& limits) {
  auto state = std::make_unique<State>();
  state->folder = folder + "/logs";
  state->limits = limits;
  state->open_per_shard = std::max<std::size_t>(1, limits.max_open_files / kShards);
  EZ_TRY(make_folders(state->folder));
  std::error_code error;
  fs::recursive_directory_iterator at(state->folder, error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    if (!at->is_regular_file(error)) continue;
    const auto size = at->file_size(error);
    if (!error) state->used += size;
  }
  if (error) return file_error("read", state->folder, error.value());
  return std::unique_ptr<AttemptLogs>(new AttemptLogs(std::move(state)));
}

Result<AppendedLog> AttemptLogs::append(const AttemptId& id, std::uint64_t offset, std::string_view bytes) {
  EZ_TRY(check_id(id));
  if (bytes.size() > kMaxAppendBytes) {
    return Error(Code::PayloadTooLarge,
                 "at most " + std::to_string(kMaxAppendBytes) + " bytes of a log at once");
  }
  AppendedLog result;
  Hooks hooks;
  LogState grown;
  {
    Shard& shard = state_->shard(id);
    std::lock_guard lock(shard.mutex);
    EZ_ASSIGN(Entry * entry, state_->find(shard, id));
    if (entry->truncated) {
      // After the limit every offset is good: the bytes are dropped.
      return AppendedLog{std::max(entry->state.size, offset + bytes.size()), true};
    }
    if (offset > entry->state.size) {
      return Error(Code::LogGap, "the offset " + std::to_string(offset) + " is above the size " +
                                     std::to_string(entry->state.size) + " of this log");
    }
    if (entry->state.size - offset >= bytes.size())
      return AppendedLog{entry->state.size, false};  // a repetition
    if (entry->state.finished) return Error(Code::WrongState, "this log is finished");
    bytes.remove_prefix(entry->state.size - offset);
    if (entry->path.empty()) {
      const std::string run = run_folder(state_->folder, id.run);
      EZ_TRY(make_folders(run));
      entry->path = run + "/" + id.task + "." + std::to_string(id.attempt) + ".open";
    }
    EZ_TRY(state_->open_file(shard, *entry));
    const std::uint64_t limit = state_->limits.max_attempt_bytes;
    const std::uint64_t end = entry->state.size + bytes.size();
    if (end > limit) {
      const std::uint64_t room = limit > entry->state.size ? limit - entry->state.size : 0;
      std::string last(bytes.substr(0, room));
      last += kMarkerStart;
      last += std::to_string(limit);
      last += kMarkerEnd;
      EZ_TRY(state_->grow(*entry, last));
      entry->truncated = true;
      result = {std::max(entry->state.size, end), true};
    } else {
      EZ_TRY(state_->grow(*entry, bytes));
      result = {entry->state.size, false};
    }
    hooks = State::hooks_of(*entry);
    grown = entry->state;
  }
  notify(hooks, grown);
  return result;
}

Result<LogChunk> AttemptLogs::read(const AttemptId& id, std::uint64_t offset, std::size_t limit) const {
  EZ_TRY(check_id(id));
  Shard& shard = state_->shard(id);
  std::lock_guard lock(shard.mutex);
  EZ_ASSIGN(Entry * entry, state_->find(shard, id));
  LogChunk chunk;
  chunk.state = entry->state;
  if (offset >= entry->state.size) return chunk;
  const std::uint64_t left = entry->state.size - offset;
  const auto take = static_cast<std::size_t>(std::min<std::uint64_t>({left, limit, kMaxLogReadBytes}));
  EZ_TRY(state_->open_file(shard, *entry));
  EZ_ASSIGN(chunk.bytes, read_at(entry->fd.get(), offset, take, entry->path));
  return chunk;
}

Result<LogState> AttemptLogs::state(const AttemptId& id) const {
  EZ_TRY(check_id(id));
  Shard& shard = state_->shard(id);
  std::lock_guard lock(shard.mutex);
  EZ_ASSIGN(Entry * entry, state_->find(shard, id));
  return entry->state;
}

Result<std::uint64_t> AttemptLogs::size(const AttemptId& id) const {
  EZ_ASSIGN(const LogState now, state(id));
  return now.size;
}

Status AttemptLogs::finish(const AttemptId& id) {
  EZ_TRY(check_id(id));
  Hooks hooks;
  LogState finished;
  {
    Shard& shard = state_->shard(id);
    std::lock_guard lock(shard.mutex);
    EZ_ASSIGN(Entry * entry, state_->find(shard, id));
    if (entry->state.finished) return {};
    if (!entry->path.empty()) {
      EZ_TRY(state_->open_file(shard, *entry));
      if (::fdatasync(entry->fd.get()) != 0) return file_error("fdatasync", entry->path, errno);
      const std::string name =
          run_folder(state_->folder, id.run) + "/" + id.task + "." + std::to_string(id.attempt) + ".log";
      if (::rename(entry->path.c_str(), name.c_str()) != 0) return file_error("rename", entry->path, errno);
      entry->path = name;
      State::close(shard, *entry);
    }
    entry->state.finished = true;
    hooks = State::hooks_of(*entry);
    finished = entry->state;
  }
  notify(hooks, finished);
  return {};
}

Result<LogSubscription> AttemptLogs::subscribe(const AttemptId& id, LogListener listener) {
  EZ_TRY(check_id(id));
  if (state_->subscriptions->fetch_add(1) >= kMaxSubscriptions) {
    state_->subscriptions->fetch_sub(1);
    return Error(Code::Overloaded,
                 std::to_string(kMaxSubscriptions) + " followers of logs are there already");
  }
  auto hook = std::make_shared<LogSubscription::Hook>();
  hook->listener = std::move(listener);
  hook->count = state_->subscriptions;
  LogSubscription subscription(hook);  // gives its place back on an error
  Shard& shard = state_->shard(id);
  std::lock_guard lock(shard.mutex);
  EZ_ASSIGN(Entry * entry, state_->find(shard, id));
  entry->prune();
  entry->hooks.push_back(std::move(hook));
  return subscription;
}

Status AttemptLogs::remove_run(RunId run) {
  if (!run.valid()) return Error(Code::InvalidArgument, "not the name of a run");
  Hooks hooks;
  {
    std::vector<std::unique_lock<std::mutex>> locks;
    for (Shard& shard : state_->shards) locks.emplace_back(shard.mutex);
    const std::string folder = run_folder(state_->folder, run);
    std::error_code error;
    fs::directory_iterator at(folder, error);
    if (error && error != std::errc::no_such_file_or_directory)
      return file_error("read", folder, error.value());
    for (; !error && at != fs::directory_iterator(); at.increment(error)) {
      std::error_code gone;
      const auto size = at->file_size(gone);
      const std::string path = at->path().string();
      if (::unlink(path.c_str()) != 0) return file_error("remove", path, errno);
      if (!gone) state_->used.fetch_sub(size);
    }
    ::rmdir(folder.c_str());  // an empty folder that stays does no harm
    for (Shard& shard : state_->shards) {
      auto entry = shard.entries.lower_bound(AttemptId{run, "", 0});
      while (entry != shard.entries.end() && entry->first.run == run) {
        for (auto& hook : State::hooks_of(entry->second)) hooks.push_back(std::move(hook));
        State::close(shard, entry->second);
        shard.recent.erase(entry->second.recent);
        entry = shard.entries.erase(entry);
      }
    }
  }
  notify(hooks, LogState{0, true});
  return {};
}

std::uint64_t AttemptLogs::stored_bytes() const { return state_->used.load(); }

std::size_t AttemptLogs::open_files() const {
  std::size_t count = 0;
  for (Shard& shard : state_->shards) {
    std::lock_guard lock(shard.mutex);
    count += shard.open;
  }
  return count;
}

}  // namespace ez::storage
