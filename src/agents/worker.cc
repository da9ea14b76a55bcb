#include "agents/worker.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

namespace ez::agents {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// A pause that doubles; waiting is the caller's, so that it can be interrupted.
class Backoff {
 public:
  Backoff(milliseconds first, milliseconds longest) : first_(first), longest_(longest), next_(first) {}
  milliseconds take() {
    const milliseconds pause = next_;
    next_ = std::min(next_ * 2, longest_);
    return pause;
  }
  void reset() { next_ = first_; }

 private:
  milliseconds first_;
  milliseconds longest_;
  milliseconds next_;
};

}  // namespace

class Worker::Impl {
 public:
  Impl(Options options, ControlPlane& plane, Runner runner)
      : options_(std::move(options)), plane_(plane), runner_(std::move(runner)) {
    EZ_CHECK(options_.registration.capacity > 0, "a worker needs at least one slot");
  }

  void start() {
    std::lock_guard lock(mutex_);
    EZ_CHECK(threads_.empty() && !stopping_, "a worker starts once");
    for (std::int64_t i = 0; i < options_.registration.capacity; ++i)
      threads_.emplace_back([this] { slot_loop(); });
    poller_ = std::thread([this] { poll_loop(); });
    deliverer_ = std::thread([this] { deliver_loop(); });
    heart_ = std::thread([this] { heartbeat_loop(); });
  }

  void stop() {
    const std::lock_guard one_at_a_time(stop_mutex_);
    if (stopped_) return;
    stopped_ = true;
    std::unique_lock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
    lock.unlock();
    plane_.interrupt();
    if (poller_.joinable()) poller_.join();  // after this no new item comes
    lock.lock();
    changed_.wait_for(lock, options_.stop_wait, [&] { return running_.empty() && queue_.empty(); });
    killing_ = true;
    for (auto& [fence, lease] : running_) lease->token.cancel();
    for (const std::unique_ptr<Lease>& lease : queue_) lease->token.cancel();
    changed_.notify_all();
    lock.unlock();
    for (std::thread& thread : threads_) thread.join();
    lock.lock();
    deliver_until_ = Clock::now() + options_.deliver_wait;
    slots_ended_ = true;
    changed_.notify_all();
    lock.unlock();
    if (deliverer_.joinable()) deliverer_.join();
    if (heart_.joinable()) heart_.join();
  }

  std::string agent() const {
    std::lock_guard lock(mutex_);
    return agent_;
  }
  std::size_t running() const {
    std::lock_guard lock(mutex_);
    return running_.size();
  }

 private:
  struct Lease {
    WorkItem item;
    CancelToken token;
    bool lost = false;  // guarded by mutex_: the result interests nobody
  };

  void report(std::string_view text) const {
    if (options_.report) options_.report(text);
  }

  // Called with the lock; waits at most `pause`, less when the worker stops.
  void rest(std::unique_lock<std::mutex>& lock, milliseconds pause) {
    changed_.wait_for(lock, pause, [&] { return stopping_; });
  }

  // Makes sure that there is a registration other than `known_bad`. False when the worker stops first.
  bool ensure_registered(const std::string& known_bad) {
    const std::lock_guard one_at_a_time(register_mutex_);
    Backoff backoff(options_.first_pause, options_.longest_pause);
    while (true) {
      {
        std::lock_guard lock(mutex_);
        if (!agent_.empty() && agent_ != known_bad) return true;
        if (stopping_ && known_bad.empty()) return false;
      }
      auto registered = plane_.register_agent(options_.registration);
      std::unique_lock lock(mutex_);
      if (registered.ok()) {
        agent_ = registered->agent;
        heartbeat_ms_ = std::max<std::int64_t>(50, registered->heartbeat_ms);
        changed_.notify_all();
        return true;
      }
      report("registration: " + registered.error().to_string());
      if (stopping_) return false;
      rest(lock, backoff.take());
    }
  }

  void slot_loop() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return !queue_.empty() || killing_; });
      if (queue_.empty()) return;
      std::unique_ptr<Lease> owned = std::move(queue_.front());
      queue_.pop_front();
      Lease& lease = *owned;
      lock.unlock();
      const std::unique_ptr<LogPort> log = plane_.log_of(lease.item);
      TaskResult result = runner_(lease.item, *log, lease.token);
      lock.lock();
      running_.erase(lease.item.fence);
      if (!lease.lost) {
        if (killing_ && result.outcome == Outcome::kCancelled) {
          const Error why(Code::ShuttingDown, "the agent was stopped while the task ran");
          result.outcome = Outcome::kFailed;
          result.error_code = why.name();
          result.error_message = why.message();
        }
        results_.push_back(std::move(result));
      }
      changed_.notify_all();
    }
  }

  [[nodiscard]] std::int64_t free_slots() const {
    return options_.registration.capacity - static_cast<std::int64_t>(running_.size()) -
           static_cast<std::int64_t>(results_.size() + in_delivery_);
  }

  // Results leave results_ for the time of the call and come back when it fails.
  std::vector<TaskResult> take_results() {
    std::vector<TaskResult> batch;
    while (!results_.empty() && batch.size() < kMaxResultsPerCall) {
      batch.push_back(std::move(results_.front()));
      results_.pop_front();
    }
    in_delivery_ += batch.size();
    return batch;
  }

  // One call of work(), with everything that follows from its answer. Returns whether it succeeded. Called
  // without the lock.
  bool call_work(std::int64_t want, std::int64_t wait_ms, std::vector<TaskResult> batch) {
    WorkRequest request;
    request.agent = agent();
    request.want = want;
    request.wait_ms = wait_ms;
    request.results = std::move(batch);
    auto reply = plane_.work(request);
    std::unique_lock lock(mutex_);
    in_delivery_ -= request.results.size();
    for (TaskResult& result : request.results) {
      const auto answered = [&](const std::pair<Fence, Acceptance>& one) {
        return one.first == result.fence;
      };
      const bool settled =
          reply.ok() && std::any_of(reply->accepted.begin(), reply->accepted.end(), answered);
      if (!settled) results_.push_back(std::move(result));
    }
    changed_.notify_all();
    if (!reply.ok()) {
      lock.unlock();
      if (reply.error().code() == Code::AgentNotFound) {
        report("the server does not know this agent any more, registering again");
        return ensure_registered(request.agent);
      }
      report("work: " + reply.error().to_string());
      return false;
    }
    for (const Value& task : reply->tasks) accept(task);
    for (const Cancel& cancel : reply->cancel) cancel_lease(cancel.fence);
    return true;
  }

  // With the lock.
  void accept(const Value& json) {
    auto item = parse_work_item(json);
    if (!item.ok()) {
      refuse(json, item.error());
      return;
    }
    if (running_.contains(item->fence)) return;  // the answer of a repeated request
    auto lease = std::make_unique<Lease>();
    lease->item = std::move(*item);
    running_[lease->item.fence] = lease.get();
    if (killing_) lease->token.cancel();
    queue_.push_back(std::move(lease));
    changed_.notify_all();
  }

  // Answers for an item that cannot be read, as far as it says whose it is; otherwise its lease has to
  // expire.
  void refuse(const Value& json, const Error& error) {
    report("an item that cannot be read: " + error.to_string());
    WorkItem stub;
    stub.run = json.string_or("run", "");
    stub.task = json.string_or("task", "");
    stub.attempt = static_cast<std::uint64_t>(std::max<std::int64_t>(0, json.int_or("attempt", 0)));
    stub.fence = Fence{static_cast<std::uint64_t>(std::max<std::int64_t>(0, json.int_or("fence", 0)))};
    if (json.string_or("kind", "") == "merge") stub.kind = WorkKind::kMerge;
    if (stub.run.empty() || stub.task.empty() || !stub.fence.valid()) return;
    results_.push_back(failure_of(stub, Outcome::kFailed, error));
    changed_.notify_all();
  }

  // With the lock.
  void cancel_lease(Fence fence) {
    const auto found = running_.find(fence);
    if (found != running_.end()) found->second->token.cancel();
  }

  void poll_loop() {
    if (!ensure_registered("")) return;
    Backoff backoff(options_.first_pause, options_.longest_pause);
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return stopping_ || !results_.empty() || free_slots() > 0; });
      if (stopping_) return;
      std::vector<TaskResult> batch = take_results();
      const std::int64_t want =
          std::max<std::int64_t>(0, free_slots() + static_cast<std::int64_t>(batch.size()));
      // With results in hand the answer should come at once; whether there is work is asked again after it.
      const std::int64_t wait_ms = batch.empty() ? options_.poll_wait.count() : 0;
      polling_ = true;
      changed_.notify_all();
      lock.unlock();
      const bool good = call_work(want, wait_ms, std::move(batch));
      lock.lock();
      polling_ = false;
      if (good) {
        backoff.reset();
      } else {
        rest(lock, backoff.take());
      }
    }
  }

  // Results that finish while the poller waits for work, and all of them once the worker stops.
  void deliver_loop() {
    Backoff backoff(options_.first_pause, options_.longest_pause);
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] {
        return (!results_.empty() && (polling_ || stopping_)) || (slots_ended_ && in_delivery_ == 0);
      });
      if (results_.empty()) {
        if (slots_ended_) return;
        continue;
      }
      if (slots_ended_ && Clock::now() >= deliver_until_) {
        report(std::to_string(results_.size()) + " results could not be delivered; their leases will expire");
        return;
      }
      std::vector<TaskResult> batch = take_results();
      lock.unlock();
      const bool good = call_work(0, 0, std::move(batch));
      lock.lock();
      if (good) {
        backoff.reset();
        continue;
      }
      const milliseconds pause = backoff.take();
      const auto until = Clock::now() + pause;
      // stopping_ does not shorten this one: the last deliveries need their pauses too.
      changed_.wait_until(lock, slots_ended_ ? std::min(until, deliver_until_) : until, [] { return false; });
    }
  }

  void heartbeat_loop() {
    Backoff backoff(options_.first_pause, options_.longest_pause);
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return slots_ended_ || (!running_.empty() && !agent_.empty()); });
      if (slots_ended_) return;
      std::vector<Fence> leases;
      std::int64_t pace_ms = heartbeat_ms_;  // of the most impatient one
      for (const auto& [fence, lease] : running_) {
        leases.push_back(fence);
        pace_ms = std::min(pace_ms, std::max<std::int64_t>(lease->item.heartbeat_ms, 1));
      }
      const std::string agent = agent_;
      // A lease that comes while this poll waits is named by the next one, before it could expire: unless it
      // is far more impatient than all that run.
      const std::int64_t wait_ms = stopping_ ? 0 : pace_ms / 3;
      const auto began = Clock::now();
      lock.unlock();
      auto reply = plane_.heartbeat(agent, leases, wait_ms);
      if (!reply.ok() && reply.error().code() == Code::AgentNotFound) ensure_registered(agent);
      lock.lock();
      if (!reply.ok()) {
        report("heartbeat: " + reply.error().to_string());
        changed_.wait_for(lock, backoff.take(), [&] { return slots_ended_; });
        continue;
      }
      backoff.reset();
      for (const Cancel& cancel : reply->cancel) cancel_lease(cancel.fence);
      for (const Fence fence : reply->unknown) {
        const auto found = running_.find(fence);
        if (found == running_.end()) continue;  // it ended meanwhile
        report("lost the lease of " + found->second->item.run + "/" + found->second->item.task +
               ", its work is ended");
        found->second->lost = true;
        found->second->token.cancel();
      }
      // A plane that answers at once must not make this a busy loop.
      const auto due = began + milliseconds(std::max<std::int64_t>(10, pace_ms / 10));
      changed_.wait_until(lock, due, [&] { return slots_ended_; });
    }
  }

  const Options options_;
  ControlPlane& plane_;
  const Runner runner_;
  std::mutex stop_mutex_;
  bool stopped_ = false;
  std::mutex register_mutex_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;  // anything below
  std::string agent_;
  std::int64_t heartbeat_ms_ = 10'000;
  std::deque<std::unique_ptr<Lease>> queue_;  // accepted, waiting for a slot thread
  std::map<Fence, Lease*> running_;           // queued or running
  std::deque<TaskResult> results_;
  std::size_t in_delivery_ = 0;
  bool polling_ = false;
  bool stopping_ = false;
  bool killing_ = false;
  bool slots_ended_ = false;
  Clock::time_point deliver_until_;
  std::vector<std::thread> threads_;
  std::thread poller_;
  std::thread deliverer_;
  std::thread heart_;
};

Worker::Worker(Options options, ControlPlane& plane, Runner runner)
    : impl_(std::make_unique<Impl>(std::move(options), plane, std::move(runner))) {}
Worker::~Worker() { impl_->stop(); }
void Worker::start() { impl_->start(); }
void Worker::stop() { impl_->stop(); }
std::string Worker::agent() const { return impl_->agent(); }
std::size_t Worker::running() const { return impl_->running(); }

}  // namespace ez::agents
