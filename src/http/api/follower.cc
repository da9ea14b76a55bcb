#include "http/api/follower.h"

namespace ez::http::api {
namespace {
constexpr std::chrono::milliseconds kTryAgain{100};  // the render thread's queue was full
// A refused event is tried again when the client has taken what was sent. All streams together have a limit
// too, and nobody tells when there is room below that.
constexpr std::chrono::milliseconds kTrySendAgain{1'000};
}  // namespace

Follower::Follower(Context& context) : context_(context) { context_.followers.fetch_add(1); }

Follower::~Follower() { context_.followers.fetch_sub(1); }

void Follower::open(Responder responder) {
  stream_ = EventStream(std::move(responder), kBufferBytes);
  stream_.on_drained([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->wake();
  });
  stream_.on_closed([self = shared_from_this()] {
    self->gone_.store(true);
    self->wake();
  });
  {
    std::lock_guard lock(mutex_);  // from here on the stream belongs to the render thread
    opened_ = true;
  }
  wake();
}

void Follower::wake() {
  {
    std::lock_guard lock(mutex_);
    again_ = true;
    if (!opened_ || scheduled_) return;
    scheduled_ = true;
  }
  if (context_.renders.post([self = shared_from_this()] { self->run(); })) return;
  {
    std::lock_guard lock(mutex_);
    scheduled_ = false;
  }
  wake_after(kTryAgain);
}

void Follower::wake_after(std::chrono::milliseconds duration) {
  (void)context_.timers.after(duration, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->wake();
  });
}

void Follower::run() {
  while (true) {
    {
      std::lock_guard lock(mutex_);
      if (!again_ || over_) {
        scheduled_ = false;
        return;
      }
      again_ = false;
    }
    if (send_all()) continue;
    over_ = true;
    ended();
    stream_.close();
  }
}

bool Follower::send_all() {
  while (!gone_.load()) {
    if (!held_) held_ = next();
    if (!held_) return !gone_.load();
    if (!stream_.try_send({held_->id, held_->name, held_->data})) {
      if (stream_.open()) wake_after(kTrySendAgain);
      return stream_.open();
    }
    if (held_->last) return false;
    held_.reset();
  }
  return false;
}

}  // namespace ez::http::api
