#include "http/api/timers.h"
#include "base/thread_name.h"

#include <vector>

namespace ez::http::api {

Timers::Timers(Clock& clock, std::size_t capacity)
    : clock_(clock), capacity_(capacity), thread_([this] { run(); }) {}

Timers::~Timers() { stop(); }

Timers::Id Timers::after(std::chrono::milliseconds duration, std::function<void()> callback) {
  const std::int64_t due_us = clock_.monotonic_us() + std::chrono::microseconds(duration).count();
  bool first = false;
  Id id = 0;
  {
    std::lock_guard lock(mutex_);
    if (stopping_ || queue_.size() >= capacity_) return 0;
    id = next_++;
    const auto at = queue_.emplace(std::pair(due_us, id), std::move(callback)).first;
    due_us_.emplace(id, due_us);
    first = at == queue_.begin();
  }
  if (first) changed_.notify_one();
  return id;
}

void Timers::cancel(Id id) {
  std::function<void()>
      dropped;  // goes after the lock, because what it holds may have a destructor that calls back
  std::lock_guard lock(mutex_);
  const auto found = due_us_.find(id);
  if (found == due_us_.end()) return;
  const auto at = queue_.find({found->second, id});
  dropped = std::move(at->second);
  queue_.erase(at);
  due_us_.erase(found);
}

void Timers::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
  std::map<std::pair<std::int64_t, Id>, std::function<void()>> dropped;
  std::lock_guard lock(mutex_);
  dropped.swap(queue_);
  due_us_.clear();
}

std::size_t Timers::size() const {
  std::lock_guard lock(mutex_);
  return queue_.size();
}

void Timers::run() {
  name_thread("ez-timers");
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (queue_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const std::int64_t now_us = clock_.monotonic_us();
    if (const std::int64_t due_us = queue_.begin()->first.first; due_us > now_us) {
      changed_.wait_for(lock, std::chrono::microseconds(due_us - now_us));
      continue;
    }
    std::vector<std::function<void()>> due;
    while (!queue_.empty() && queue_.begin()->first.first <= now_us) {
      due.push_back(std::move(queue_.begin()->second));
      due_us_.erase(queue_.begin()->first.second);
      queue_.erase(queue_.begin());
    }
    lock.unlock();
    for (const auto& callback : due) callback();
    due.clear();
    lock.lock();
  }
}

}  // namespace ez::http::api
