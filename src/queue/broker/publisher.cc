#include "queue/broker/publisher.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/clock.h"
#include "base/random.h"
#include "base/thread_name.h"

namespace ez::queue::broker {
namespace {

constexpr std::size_t kBatchMessages = 1000;
constexpr std::size_t kBatchBytes = 2U << 20;
constexpr std::size_t kMessageOverhead = 200;
constexpr std::size_t kMaxPublish = 10'000;
constexpr std::size_t kMaxPublishBytes = 16U << 20;
constexpr std::size_t kTopicsRemembered = 20'000;
constexpr std::int64_t kMaxPauseMs = 500;

std::int64_t now_us() { return system_clock().monotonic_us(); }

std::string random_prefix() {
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "m%016llx-",
                static_cast<unsigned long long>(system_random().next()));
  return text.data();
}

}  // namespace

Publisher::Publisher(Driver& driver, Control& control, const BrokerOptions& options)
    : driver_(driver),
      control_(control),
      options_(options),
      resend_(driver.capabilities().duplicate_ids > 0),
      id_prefix_(random_prefix()),
      thread_([this] { loop(); }) {}

Publisher::~Publisher() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  ready_.notify_all();
  thread_.join();
  const Error error(Code::ShuttingDown, "the queue is being closed");
  for (Batch& batch : sent_) {
    for (Pending& pending : batch) answer(pending, error);
  }
  for (Pending& pending : waiting_) answer(pending, error);
}

std::size_t Publisher::weight(const Message& message) {
  std::size_t bytes = kMessageOverhead + message.payload.size();
  for (const auto& [name, value] : message.headers) bytes += name.size() + value.size();
  return bytes;
}

void Publisher::publish(std::vector<Message> messages, PublishCallback done) {
  auto call = std::make_shared<Call>();
  call->answers.resize(messages.size());
  call->done = std::move(done);
  std::size_t bytes = 0;
  std::optional<Error> refusal;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const Status good = check_message(messages[i]);
    if (!good.ok()) {
      call->answers[i] = good.error();
      continue;
    }
    ++call->open;
    bytes += weight(messages[i]);
  }
  if (messages.empty() || messages.size() > kMaxPublish ||
      bytes > kMaxPublishBytes + kMaxPublish * kMessageOverhead) {
    refusal.emplace(Code::InvalidArgument,
                    "one call publishes 1 to 10,000 messages of together at most 16 MiB");
  } else if (call->open > 0) {
    std::lock_guard lock(mutex_);
    if (stop_) {
      refusal.emplace(Code::ShuttingDown, "the queue is being closed");
    } else if (pending_bytes_ + bytes > options_.max_pending_bytes) {
      refusal.emplace(Code::Overloaded, "too much is on its way to the broker (" +
                                            std::to_string(pending_bytes_ >> 20) + " MiB)");
    } else {
      pending_bytes_ += bytes;
      const std::int64_t wall = system_clock().now_ms();
      const std::int64_t deadline = now_us() + options_.publish_timeout_ms * 1000;
      for (std::size_t i = 0; i < messages.size(); ++i) {
        if (call->answers[i]) continue;
        if (messages[i].id.empty()) messages[i].id = id_prefix_ + std::to_string(++next_id_);
        waiting_.push_back({std::move(messages[i]), wall, deadline, call, i, false});
      }
      ready_.notify_all();
      return;
    }
  }
  std::vector<Result<Receipt>> answers;
  for (auto& one : call->answers) {
    answers.push_back(one ? std::move(*one) : Result<Receipt>(*refusal));
  }
  call->done(std::move(answers));
}

void Publisher::answer(Pending& pending, Result<Receipt> result) {
  {
    std::lock_guard lock(mutex_);
    pending_bytes_ -= std::min(pending_bytes_, weight(pending.message));
  }
  Call& call = *pending.call;
  call.answers[pending.index] = std::move(result);
  if (--call.open > 0) return;
  std::vector<Result<Receipt>> answers;
  answers.reserve(call.answers.size());
  for (auto& one : call.answers) answers.push_back(std::move(*one));
  call.done(std::move(answers));
}

void Publisher::loop() {
  name_thread("queue-publish");
  while (true) {
    {
      std::unique_lock lock(mutex_);
      if (sent_.empty() && waiting_.empty()) {
        ready_.wait(lock, [&] { return stop_ || !waiting_.empty(); });
      }
      if (stop_) break;
    }
    if (!session_ && !connect()) continue;
    while (session_ && sent_.size() < session_->max_batches() && send_next()) {
    }
    if (session_ && !sent_.empty()) receive_next();
  }
  session_.reset();
}

bool Publisher::connect() {
  {
    std::unique_lock lock(mutex_);
    if (now_us() < next_try_us_) {
      ready_.wait_for(lock, std::chrono::microseconds(next_try_us_ - now_us()), [&] { return stop_; });
      if (stop_) return false;
    }
  }
  auto opened = driver_.open_publisher();
  if (opened.ok()) {
    session_ = std::move(*opened);
    pause_ms_ = 0;
    return true;
  }
  last_error_ = opened.error();
  pause_ms_ = std::clamp<std::int64_t>(pause_ms_ * 2, 20, kMaxPauseMs);
  next_try_us_ = now_us() + pause_ms_ * 1000;
  fail_waiting(last_error_, !last_error_.retry());
  return false;
}

void Publisher::fail_waiting(const Error& error, bool all) {
  std::vector<Pending> failed;
  {
    std::lock_guard lock(mutex_);
    const std::int64_t now = now_us();
    while (!waiting_.empty() && (all || waiting_.front().deadline_us <= now)) {
      failed.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    }
  }
  for (Pending& pending : failed) refuse(pending, error);
}

bool Publisher::send_next() {
  Batch batch;
  {
    std::lock_guard lock(mutex_);
    std::size_t bytes = 0;
    while (!waiting_.empty() && batch.size() < kBatchMessages && bytes < kBatchBytes) {
      bytes += weight(waiting_.front().message);
      batch.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    }
  }
  if (batch.empty()) return false;
  const Status made = make_topics(batch);
  if (!made.ok()) {
    // Nothing of it was sent: it waits for better times, or is told.
    if (made.error().retry()) {
      {
        std::lock_guard lock(mutex_);
        for (auto one = batch.rbegin(); one != batch.rend(); ++one) waiting_.push_front(std::move(*one));
      }
      fail_waiting(made.error(), false);
    } else {
      for (Pending& pending : batch) refuse(pending, made.error());
    }
    return false;
  }
  std::vector<Outgoing> out;
  out.reserve(batch.size());
  for (const Pending& pending : batch) out.push_back({&pending.message, pending.published_ms});
  sent_.push_back(std::move(batch));
  const Status status = session_->send(out);
  if (!status.ok()) broken(status.error());
  return session_ != nullptr;
}

Status Publisher::make_topics(const Batch& batch) {
  std::vector<std::string> fresh;
  for (const Pending& pending : batch) {
    if (topics_.contains(pending.message.topic)) continue;
    if (std::ranges::find(fresh, pending.message.topic) == fresh.end())
      fresh.push_back(pending.message.topic);
  }
  if (fresh.empty()) return {};
  const Status made = control_.run(
      [&](ControlSession& session) -> Status {
        EZ_TRY(control_.sync(session));
        return control_.make_topics(session, fresh);
      },
      std::chrono::milliseconds(options_.request_timeout_ms));
  if (!made.ok()) return made;
  if (topics_.size() > kTopicsRemembered) topics_.clear();
  topics_.insert(fresh.begin(), fresh.end());
  return {};
}

void Publisher::receive_next() {
  auto answers = session_->receive();
  if (!answers.ok()) {
    broken(answers.error());
    return;
  }
  Batch batch = std::move(sent_.front());
  sent_.pop_front();
  EZ_CHECK(answers->size() == batch.size(), "a driver answered another number of messages");
  for (std::size_t i = 0; i < batch.size(); ++i) {
    Result<Receipt>& result = (*answers)[i];
    if (result.ok()) {
      // Sent twice by ourselves because a connection broke: it was new to the caller.
      if (batch[i].sent) result->duplicate = false;
    } else if (result.error().code() == Code::TopicNotFound) {
      topics_.erase(batch[i].message.topic);
    }
    result.ok() ? answer(batch[i], std::move(result)) : refuse(batch[i], result.error());
  }
}

// What was sent before, over a connection that broke, may have arrived then.
void Publisher::refuse(Pending& pending, const Error& error) {
  answer(pending, pending.sent ? Error(Code::OutcomeUnknown, error.message()) : error);
}

void Publisher::broken(const Error& error) {
  session_.reset();
  last_error_ = error;
  next_try_us_ = 0;
  // The broker may have come back without its memory.
  topics_.clear();
  std::deque<Batch> lost;
  lost.swap(sent_);
  if (resend_ && error.retry()) {
    std::lock_guard lock(mutex_);
    for (auto batch = lost.rbegin(); batch != lost.rend(); ++batch) {
      for (auto one = batch->rbegin(); one != batch->rend(); ++one) {
        one->sent = true;
        waiting_.push_front(std::move(*one));
      }
    }
  } else {
    for (Batch& batch : lost) {
      for (Pending& pending : batch) {
        answer(pending, Error(Code::OutcomeUnknown,
                              "the connection broke before the broker confirmed: " + error.message()));
      }
    }
  }
  fail_waiting(error, false);
}

}  // namespace ez::queue::broker
