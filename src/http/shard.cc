#include "http/shard.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <iterator>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/random.h"

namespace ez::http {
namespace {

constexpr std::size_t kSpareIncoming = 8;
constexpr std::size_t kMaxBeyondLimit = 256;
constexpr std::size_t kKeptWriteBytes = 256 * 1024;

std::int64_t us(std::chrono::milliseconds duration) { return duration.count() * 1000; }

class Call final : public LoopTask {
 public:
  explicit Call(std::function<void()> call) : call_(std::move(call)) {}
  void run_on_loop() override { call_(); }

 private:
  std::function<void()> call_;
};

// Carries an accepted socket to its loop; closes it when it never gets there.
class Adoption final : public LoopTask {
 public:
  Adoption(Shard& shard, int fd, bool beyond_limit) : shard_(shard), fd_(fd), beyond_limit_(beyond_limit) {}
  ~Adoption() override {
    if (fd_ < 0) return;
    ::close(fd_);
    if (!beyond_limit_) --shard_.shared().connections;
  }
  void run_on_loop() override { shard_.adopt(std::exchange(fd_, -1), beyond_limit_); }

 private:
  Shard& shard_;
  int fd_;
  const bool beyond_limit_;
};

}  // namespace

Shard::Shard(std::shared_ptr<EventLoop> loop, ServerShared& shared)
    : read_buffer(std::make_unique<char[]>(kReadBytes)),
      loop_(std::move(loop)),
      shared_(shared),
      deadlines_{
          DeadlineQueue(us(shared.options.idle_timeout)),   DeadlineQueue(us(shared.options.head_timeout)),
          DeadlineQueue(us(shared.options.body_timeout)),   DeadlineQueue(us(shared.options.write_timeout)),
          DeadlineQueue(us(shared.options.linger_timeout)), DeadlineQueue(us(shared.options.heartbeat))} {
  loop_->set_stream_limit(shared.options.max_stream_bytes /
                          static_cast<std::size_t>(shared.options.io_threads));
  char prefix[20];
  std::snprintf(prefix, sizeof prefix, "%010llx-",
                static_cast<unsigned long long>(system_random().next() & 0xffffffffffULL));
  id_prefix_ = prefix;
}

Shard::~Shard() = default;

void Shard::adopt(int fd, bool beyond_limit) {
  if (draining_ || (beyond_limit && beyond_limit_ >= kMaxBeyondLimit)) {
    ::close(fd);
    if (!beyond_limit) --shared_.connections;
    return;
  }
  auto connection = std::make_unique<Connection>(*this, fd);
  Connection& adopted = *connection;
  adopted.beyond_limit = beyond_limit;
  adopted.slot = connections_.size();
  connections_.push_back(std::move(connection));
  if (beyond_limit) ++beyond_limit_;
  adopted.begin();
  if (beyond_limit) {
    adopted.refuse(Error(Code::ServerBusy, "the server has its " + std::to_string(options().max_connections) +
                                               " connections already"));
  }
}

void Shard::hand_over(int fd, bool beyond_limit) {
  (void)loop_->post(std::make_shared<Adoption>(*this, fd, beyond_limit));
}

void Shard::bury(Connection& connection) {
  const std::size_t slot = connection.slot;
  EZ_CHECK(slot < connections_.size() && connections_[slot].get() == &connection,
           "a connection outside of its shard");
  if (connection.beyond_limit) {
    --beyond_limit_;
  } else {
    --shared_.connections;
  }
  buried_.push_back(std::move(connections_[slot]));
  if (slot + 1 != connections_.size()) {
    connections_[slot] = std::move(connections_.back());
    connections_[slot]->slot = slot;
  }
  connections_.pop_back();
}

void Shard::stop(std::int64_t deadline_us) {
  (void)loop_->post(std::make_shared<Call>([this, deadline_us] {
    draining_ = true;
    stop_deadline_us_ = deadline_us;
    if (on_stop) on_stop();
    // Backwards, because a connection that closes is replaced by the last one, which has been visited then.
    for (std::size_t i = connections_.size(); i-- > 0;) {
      if (i < connections_.size()) connections_[i]->drain();
    }
  }));
}

std::int64_t Shard::round_done(std::int64_t now_us) {
  std::int64_t next_us = std::numeric_limits<std::int64_t>::max();
  for (std::size_t i = 0; i < kDeadlineCount; ++i) {
    while (DeadlineLink* due = deadlines_[i].pop_due(now_us)) {
      static_cast<Connection*>(due)->timed_out(static_cast<Deadline>(i));
    }
    next_us = std::min(next_us, deadlines_[i].next_us());
  }
  if (draining_) {
    if (now_us >= stop_deadline_us_) {
      for (std::size_t i = connections_.size(); i-- > 0;) {
        if (i < connections_.size()) connections_[i]->cut();
      }
    }
    buried_.clear();
    if (connections_.empty()) return -1;
    return std::min(next_us, std::max(stop_deadline_us_, now_us));
  }
  buried_.clear();
  if (write_buffer.capacity() > kKeptWriteBytes) std::string().swap(write_buffer);
  return next_us;
}

std::unique_ptr<Incoming> Shard::lend_incoming() {
  if (spare_.empty()) return std::make_unique<Incoming>();
  std::unique_ptr<Incoming> incoming = std::move(spare_.back());
  spare_.pop_back();
  return incoming;
}

void Shard::give_back(std::unique_ptr<Incoming> incoming) {
  if (spare_.size() >= kSpareIncoming) return;
  incoming->reset();
  spare_.push_back(std::move(incoming));
}

std::string Shard::fresh_request_id() {
  char digits[20];
  const auto end = std::to_chars(std::begin(digits), std::end(digits), ++id_count_, 16).ptr;
  std::string id;
  id.reserve(id_prefix_.size() + sizeof digits);
  return id.append(id_prefix_).append(digits, end);
}

const std::string& Shard::date() {
  const std::int64_t now_s = system_clock().now_ms() / 1000;
  if (now_s != date_s_) {
    date_s_ = now_s;
    date_ = http_date(now_s);
  }
  return date_;
}

}  // namespace ez::http
