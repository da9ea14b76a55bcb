#include "engine/projector.h"

#include <algorithm>
#include <chrono>

#include "core/snapshot.h"

namespace ez::engine {
namespace {

constexpr std::size_t kBatch = 2'000;
// The more runs share a transaction, the fewer pages are written again for each, and the less often does
// its sync come between those of the log. Meanwhile find() and recent() know what is not written yet.
constexpr std::chrono::milliseconds kGather{250};

}  // namespace

storage::HistoryRow history_row(const core::Run& run) {
  storage::HistoryRow row;
  row.id = run.id;
  row.namespace_name = run.workflow->namespace_name;
  row.workflow = run.definition().name;
  row.version = run.workflow->version;
  row.state = core::to_text(run.state);
  row.priority = orchestration::to_text(run.priority);
  row.created_ms = run.created_ms;
  row.finished_ms = run.finished_ms;
  row.cost_microusd = run.cost_microusd;
  row.started_by = run.principal;
  row.error_code = run.error.code;
  row.labels = run.get_labels();
  for (std::uint32_t i = 0; i < run.tasks.size(); ++i) {
    const std::int64_t started = run.tasks[i].started_ms;
    if (started != 0 && (row.started_ms == 0 || started < row.started_ms)) row.started_ms = started;
  }
  const auto count = [&](core::TaskState state) { return run.counts[static_cast<int>(state)]; };
  row.tasks.total = run.tasks.size();
  row.tasks.succeeded = count(core::TaskState::kSucceeded);
  row.tasks.failed = count(core::TaskState::kFailed);
  row.tasks.skipped = count(core::TaskState::kSkipped);
  row.tasks.cancelled = count(core::TaskState::kCancelled);
  row.record = core::encode_run(run);
  return row;
}

Projector::Projector(storage::History& history, storage::BlobStore* blobs)
    : history_(history), blobs_(blobs) {}

void Projector::finished(const Cow<core::Run>& run, LogIndex index) {
  if (index <= history_.position()) return;  // replayed: it is there already
  std::size_t size = 0;
  {
    std::lock_guard lock(mutex_);
    unwritten_[run->id] = run;
    queue_.push_back({run, index, {}, {}});
    ++handed_over_;
    size = queue_.size();
  }
  announce(size);
}

void Projector::referenced(std::string owner, std::vector<std::string> sha256s) {
  if (blobs_ == nullptr) return;
  std::size_t size = 0;
  {
    std::lock_guard lock(mutex_);
    queue_.push_back({{}, {}, std::move(owner), std::move(sha256s)});
    ++handed_over_;
    size = queue_.size();
  }
  announce(size);
}

// Wakes the writer when it has something to do, not for each item.
void Projector::announce(std::size_t queued) {
  if (queued == 1) changed_.notify_all();
  if (queued >= kBatch) gathered_.notify_all();
}

bool Projector::full() const {
  std::lock_guard lock(mutex_);
  return queue_.size() >= kMaxQueued;
}

Cow<core::Run> Projector::find(RunId id) const {
  std::lock_guard lock(mutex_);
  const auto found = unwritten_.find(id);
  return found == unwritten_.end() ? Cow<core::Run>() : found->second;
}

std::vector<Cow<core::Run>> Projector::recent(std::size_t limit) const {
  std::lock_guard lock(mutex_);
  std::vector<Cow<core::Run>> out;
  for (auto at = unwritten_.rbegin(); at != unwritten_.rend() && out.size() < limit; ++at)
    out.push_back(at->second);
  return out;
}

Status Projector::write(const std::vector<Item>& items, LogIndex position) {
  std::vector<storage::HistoryRow> rows;
  for (const Item& item : items) {
    if (item.run) {
      rows.push_back(history_row(*item.run));
      continue;
    }
    // A blob that is missing cannot be kept; its run shows the hash and reading it says BLOB_NOT_FOUND.
    const Status status = blobs_->add_refs(item.owner, item.sha256s);
    if (!status.ok() && status.error().code() != Code::BlobNotFound &&
        status.error().code() != Code::InvalidArgument) {
      return status;
    }
  }
  if (rows.empty() && position <= history_.position()) return {};
  return history_.append(rows, position);
}

Result<std::size_t> Projector::pump() {
  std::lock_guard one_at_a_time(pump_mutex_);
  std::size_t total = 0;
  while (true) {
    std::vector<Item> items;
    LogIndex position = history_.position();
    {
      std::lock_guard lock(mutex_);
      if (failure_) return *failure_;
      while (!queue_.empty() && items.size() < kBatch) {
        items.push_back(std::move(queue_.front()));
        queue_.pop_front();
      }
      // Runs of one record must become durable together: a position says "everything up to here".
      while (!queue_.empty() && !items.empty() && items.back().run && queue_.front().run &&
             queue_.front().index == items.back().index) {
        items.push_back(std::move(queue_.front()));
        queue_.pop_front();
      }
    }
    if (items.empty()) return total;
    for (const Item& item : items) position = std::max(position, item.index);
    const Status status = write(items, position);
    {
      std::lock_guard lock(mutex_);
      if (!status.ok()) {
        failure_ = status.error();
      } else {
        for (const Item& item : items) {
          if (item.run) unwritten_.erase(item.run->id);
        }
        written_ += items.size();
      }
    }
    changed_.notify_all();
    if (!status.ok()) return status.error();
    total += items.size();
  }
}

void Projector::run() {
  while (true) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stopping_ || failure_ || !queue_.empty(); });
      // Runs that end within a moment of each other share a transaction and its sync.
      gathered_.wait_for(lock, kGather, [&] { return stopping_ || failure_ || queue_.size() >= kBatch; });
      if (failure_ || (stopping_ && queue_.empty())) return;
    }
    if (!pump().ok()) return;
  }
}

void Projector::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  gathered_.notify_all();
}

Status Projector::flush(LogIndex index) {
  std::uint64_t target = 0;
  {
    std::lock_guard lock(mutex_);
    target = handed_over_;
  }
  if (const auto pumped = pump(); !pumped.ok()) return pumped.error();
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return failure_ || written_ >= target; });
    if (failure_) return *failure_;
  }
  std::lock_guard one_at_a_time(pump_mutex_);
  return index <= history_.position() ? Status() : history_.append({}, index);
}

std::optional<Error> Projector::failure() const {
  std::lock_guard lock(mutex_);
  return failure_;
}

}  // namespace ez::engine
