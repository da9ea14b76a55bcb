#include "http/api/long_poll.h"

#include "base/json.h"

namespace ez::http::api {

std::function<void()> LongPoll::abandoner() {
  return [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    std::shared_ptr<engine::Waiting> waiting;
    Timers::Id timer = 0;
    {
      std::lock_guard lock(self->mutex_);
      if (self->answered_) return;
      self->gone_ = true;
      waiting = std::move(self->waiting_);
      timer = std::exchange(self->timer_, 0);
    }
    self->context_.timers.cancel(timer);
    if (waiting) waiting->abandon();
  };
}

void LongPoll::begin(std::shared_ptr<engine::Waiting> waiting, std::chrono::milliseconds wait) {
  bool gone = false;
  {
    std::lock_guard lock(mutex_);
    if (answered_) return;
    gone = gone_;
    if (!gone) waiting_ = waiting;
  }
  if (gone) return waiting->abandon();
  const Timers::Id timer = context_.timers.after(wait, [waiting] { waiting->expire(); });
  if (timer == 0) return waiting->expire();
  {
    std::lock_guard lock(mutex_);
    if (!answered_ && !gone_) {
      timer_ = timer;
      return;
    }
  }
  context_.timers.cancel(timer);
}

bool LongPoll::answered() {
  std::shared_ptr<engine::Waiting> waiting;
  Timers::Id timer = 0;
  {
    std::lock_guard lock(mutex_);
    if (gone_) return false;
    answered_ = true;
    waiting = std::move(waiting_);
    timer = std::exchange(timer_, 0);
  }
  if (timer != 0) context_.timers.cancel(timer);
  return true;
}

void append_cancelled(std::string& out, const std::vector<core::Lease>& leases) {
  out.push_back('[');
  for (const core::Lease& lease : leases) {
    if (out.back() != '[') out.push_back(',');
    out += "{\"run\":\"" + to_text(lease.run) + "\",\"task\":";
    append_json_string(out, lease.task_key);
    out += ",\"attempt\":" + std::to_string(lease.attempt) +
           ",\"fence\":" + std::to_string(lease.fence.value) +
           ",\"reason\":\"the task or its run was cancelled\"}";
  }
  out.push_back(']');
}

}  // namespace ez::http::api
