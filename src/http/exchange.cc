#include "http/exchange.h"

#include <utility>

#include "base/check.h"

namespace ez::http {

void Exchange::post_locked(std::unique_lock<std::mutex>& lock) {
  if (posted_ || dispatching_) return;
  posted_ = true;
  lock.unlock();
  (void)loop_->post(shared_from_this());  // refused only when the server has ended; then nobody waits for it
}

void Exchange::release_locked(std::size_t bytes) {
  reserved_ -= bytes;
  loop_->release_stream_bytes(bytes);
}

bool Exchange::complete(Answer answer) {
  std::function<void()> dropped;  // destroyed after the lock is released: it may own what locks again
  std::unique_lock lock(mutex_);
  EZ_CHECK(!answered_, "a request was answered twice");
  answered_ = true;
  dropped.swap(on_gone_);
  if (gone_) return false;
  streaming_ = answer.stream;
  buffer_limit_ = answer.stream_options.buffer_bytes;
  answer_.emplace(std::move(answer));
  post_locked(lock);
  return true;
}

bool Exchange::send(std::string_view chunk, std::size_t beyond_limit) {
  std::unique_lock lock(mutex_);
  if (gone_ || closed_) return false;
  if (chunks_.size() + chunk.size() > buffer_limit_ + beyond_limit ||
      !loop_->reserve_stream_bytes(chunk.size())) {
    refused_ = true;
    return false;
  }
  reserved_ += chunk.size();
  chunks_.append(chunk);
  post_locked(lock);
  return true;
}

void Exchange::close_stream() {
  std::function<void()> dropped, dropped_too;
  std::unique_lock lock(mutex_);
  if (closed_) return;
  closed_ = true;
  dropped.swap(on_gone_);
  dropped_too.swap(on_drained_);
  if (!gone_) post_locked(lock);
}

bool Exchange::stream_open() const {
  std::lock_guard lock(mutex_);
  return !gone_ && !closed_;
}

void Exchange::on_gone(std::function<void()> callback) {
  std::unique_lock lock(mutex_);
  EZ_CHECK(!answered_ || streaming_, "a callback for a request that is answered already");
  on_gone_.swap(callback);
  if (gone_) post_locked(lock);
}

void Exchange::on_drained(std::function<void()> callback) {
  std::lock_guard lock(mutex_);
  on_drained_.swap(callback);
}

void Exchange::begin_dispatch() {
  std::lock_guard lock(mutex_);
  dispatching_ = true;
}

void Exchange::end_dispatch() {
  std::lock_guard lock(mutex_);
  dispatching_ = false;
}

std::optional<Answer> Exchange::take_answer() {
  std::lock_guard lock(mutex_);
  return std::exchange(answer_, std::nullopt);
}

Exchange::Chunks Exchange::take_chunks() {
  std::lock_guard lock(mutex_);
  release_locked(reserved_ - chunks_.size());  // it takes more only when all that it took has left
  return Chunks{std::exchange(chunks_, std::string()), closed_};
}

void Exchange::drained() {
  std::function<void()> callback;
  {
    std::lock_guard lock(mutex_);
    release_locked(reserved_ - chunks_.size());
    if (!refused_ || closed_) return;
    refused_ = false;
    callback = on_drained_;
  }
  if (callback) callback();
}

void Exchange::finish() {
  std::function<void()> dropped, dropped_too;
  owner_ = nullptr;
  std::lock_guard lock(mutex_);
  dropped.swap(on_gone_);
  dropped_too.swap(on_drained_);
  gone_ = true;
  chunks_ = std::string();
  release_locked(reserved_);
}

void Exchange::gone() {
  std::function<void()> callback, dropped;
  owner_ = nullptr;
  {
    std::lock_guard lock(mutex_);
    gone_ = true;
    callback.swap(on_gone_);
    dropped.swap(on_drained_);
    chunks_ = std::string();
    release_locked(reserved_);
  }
  if (callback) callback();
}

bool Exchange::waits_with_callback() const {
  std::lock_guard lock(mutex_);
  return !answered_ && on_gone_ != nullptr;
}

void Exchange::run_on_loop() {
  std::function<void()> callback;
  {
    std::lock_guard lock(mutex_);
    posted_ = false;
    if (gone_) callback.swap(on_gone_);
  }
  if (callback) return callback();
  if (owner_ != nullptr) owner_->exchange_ready();
}

}  // namespace ez::http
