// The agent: its registration, leases, heartbeats and messages. topic_replies.cc has what comes back.
#include "dispatch/topic_agent.h"

#include <algorithm>

#include "base/clock.h"
#include "base/thread_name.h"
#include "core/command.pb.h"
#include "telemetry/log.h"

namespace ez::dispatch {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kAgain{500};        // what could not be done now
constexpr milliseconds kLookAgain{5'000};  // a look at the state that was refused is not answered
constexpr std::int64_t kBeatMostMs = 5'000;
constexpr std::int64_t kBeatLeastMs = 20;
constexpr std::int64_t kUsualHeartbeatMs = 30'000;
constexpr std::size_t kPublishAtOnce = 500;
constexpr std::size_t kPublishBytes = 8U << 20;

std::int64_t agent_now_us() { return system_clock().monotonic_us(); }

std::int64_t heartbeat_of(const core::Lease& lease) {
  return lease.heartbeat_ms > 0 ? lease.heartbeat_ms : kUsualHeartbeatMs;
}

}  // namespace

bool TopicAgent::Inbox::post(Turn turn) {
  std::lock_guard lock(mutex);
  if (closed) return false;
  turns.push_back(std::move(turn));
  changed.notify_one();
  return true;
}

TopicAgent::TopicAgent(queue::DispatchConfig config, const Ports& ports)
    : config_(std::move(config)),
      name_("topic-" + config_.agent_type),
      ports_(ports),
      tasks_total_(ports.metrics
                       .counters("ez_dispatch_tasks_total", "Tasks that were published to their topic.",
                                 {"agent_type"})
                       .with({config_.agent_type})),
      replies_total_(ports.metrics.counters("ez_dispatch_replies_total",
                                            "Replies of consumers, by what became of them.",
                                            {"agent_type", "outcome"})),
      buried_total_(
          ports.metrics
              .counters("ez_dispatch_buried_total", "Replies that became dead letters.", {"agent_type"})
              .with({config_.agent_type})),
      cancelled_total_(
          ports.metrics
              .counters("ez_dispatch_cancelled_total", "Tasks that were out and should stop.", {"agent_type"})
              .with({config_.agent_type})),
      silent_total_(ports.metrics
                        .counters("ez_dispatch_silent_total",
                                  "Tasks that were given up because their consumer said nothing.",
                                  {"agent_type"})
                        .with({config_.agent_type})),
      out_gauge_(ports.metrics.gauges("ez_dispatch_out", "Tasks that are out at the topic.", {"agent_type"})
                     .with({config_.agent_type})) {}

TopicAgent::~TopicAgent() { stop(); }

void TopicAgent::stop() {
  {
    std::lock_guard lock(inbox_->mutex);
    inbox_->closed = true;
    inbox_->turns.clear();
  }
  inbox_->changed.notify_all();
  if (thread_.joinable()) thread_.join();
  if (demand_) demand_->abandon();
  if (beat_) beat_->abandon();
  demand_ = nullptr;
  beat_ = nullptr;
  consumer_.reset();
}

void TopicAgent::loop() {
  name_thread("ez-dispatch");
  while (true) {
    std::deque<Turn> turns;
    {
      std::unique_lock lock(inbox_->mutex);
      const auto ready = [&] { return inbox_->closed || !inbox_->turns.empty(); };
      if (timers_.empty()) {
        inbox_->changed.wait(lock, ready);
      } else {
        const std::int64_t left = std::max<std::int64_t>(0, timers_.begin()->first - agent_now_us());
        inbox_->changed.wait_for(lock, std::chrono::microseconds(left), ready);
      }
      if (inbox_->closed) return;
      turns = std::exchange(inbox_->turns, {});
    }
    for (const Turn& turn : turns) turn();
    const std::int64_t now = agent_now_us();
    while (!timers_.empty() && timers_.begin()->first <= now) {
      const Turn turn = std::move(timers_.begin()->second);
      timers_.erase(timers_.begin());
      turn();
    }
    out_gauge_.set(static_cast<double>(out_.size()));
  }
}

void TopicAgent::after(milliseconds delay, Turn turn) {
  timers_.emplace(agent_now_us() + std::chrono::microseconds(delay).count(), std::move(turn));
}

// An engine that is overloaded drops a look without a word, so it is asked again.
void TopicAgent::look(Look at) {
  const std::uint64_t token = next_look_++;
  looks_.emplace(token, std::move(at));
  ask(token);
}

void TopicAgent::ask(std::uint64_t token) {
  const auto found = looks_.find(token);
  if (found == looks_.end()) return;
  ports_.engine.read([inbox = inbox_, this, token, at = found->second](const core::State& state) {
    inbox->post([this, token, then = at(state)] {
      if (looks_.erase(token) > 0) then();
    });
  });
  after(kLookAgain, [this, token] { ask(token); });
}

// ---- registration ----

// The agent of an earlier life, with its leases, or a new one.
void TopicAgent::connect() {
  if (connecting_) return;
  connecting_ = true;
  look([this, name = name_, type = config_.agent_type,
        capacity = config_.capacity](const core::State& state) -> Turn {
    const auto known = state.agent_names.find(name);
    if (known != state.agent_names.end()) {
      const core::Agent& agent = state.agents.at(known->second);
      if (agent.type == type && agent.capacity == capacity && agent.capabilities.empty()) {
        std::vector<engine::WorkTask> tasks;
        for (const auto& [fence, lease] : state.leases) {
          if (lease.agent != agent.id) continue;
          if (Cow<core::Run> run = state.share_run(lease.run)) tasks.push_back({lease, std::move(run)});
        }
        return [this, id = agent.id, tasks = std::move(tasks)] { connected(id, tasks); };
      }
    }
    return [this] { register_agent(); };
  });
}

void TopicAgent::register_agent() {
  core::pb::Command command;
  core::pb::RegisterAgent& agent = *command.mutable_register_agent();
  agent.set_name(name_);
  agent.set_type(config_.agent_type);
  agent.set_capacity(config_.capacity);
  agent.set_principal("ez");
  ports_.engine.propose(std::move(command), [inbox = inbox_, this](Result<core::Reply> reply) {
    inbox->post([this, reply = std::move(reply)] {
      const Error* error = !reply.ok() ? &reply.error() : reply->error ? &*reply->error : nullptr;
      if (error == nullptr) return connected(reply->agent, {});
      EZ_LOG(kWarning, "dispatch", "the agent of a topic cannot be registered", {"agent", name_},
             {"error", error->to_string()});
      after(kAgain, [this] {
        connecting_ = false;
        connect();
      });
    });
  });
}

void TopicAgent::connected(AgentId agent, std::vector<engine::WorkTask> tasks) {
  connecting_ = false;
  agent_ = agent;
  EZ_LOG(kInfo, "dispatch", "tasks go to a topic", {"agent", name_}, {"id", to_text(agent)},
         {"topic", config_.topic}, {"out", tasks.size()});
  granted(std::move(tasks));
  demand();
  beating_ = false;
  beat();
  take();  // only now is it known which leases are ours
}

// Somebody removed the agent, or this process was away for so long: its leases have ended.
void TopicAgent::lost(AgentId agent) {
  if (agent != agent_ || connecting_) return;
  EZ_LOG(kWarning, "dispatch", "the agent of a topic was removed; it registers again", {"agent", name_});
  agent_ = AgentId{};
  out_.clear();
  std::erase_if(pending_, [](const Pending& one) { return one.fence != Fence{}; });
  if (demand_) demand_->abandon();
  demand_ = nullptr;
  beat_ = nullptr;
  connect();
}

// ---- leases ----

void TopicAgent::demand() {
  const AgentId agent = agent_;
  demand_ = ports_.engine.work(
      {agent, config_.capacity, {}}, [inbox = inbox_, this, agent](Result<engine::WorkAnswer> answer) {
        return inbox->post(
            [this, agent, answer = std::move(answer)]() mutable { answered(agent, std::move(answer)); });
      });
}

void TopicAgent::answered(AgentId agent, Result<engine::WorkAnswer> answer) {
  if (agent != agent_) return;
  if (answer.ok()) {
    granted(std::move(answer->tasks));
    return demand();
  }
  if (answer.error().code() == Code::AgentNotFound) return lost(agent);
  after(kAgain, [this, agent] {
    if (agent == agent_) demand();
  });
}

void TopicAgent::granted(std::vector<engine::WorkTask> tasks) {
  for (engine::WorkTask& task : tasks) {
    if (task.lease.cancelled) continue;  // the next heartbeat says so
    auto message = task_message(task, config_);
    if (!message.ok()) {
      fail(task.lease, message.error());
      continue;
    }
    const Fence fence = task.lease.fence;
    out_[fence] = Out{std::move(task.lease), agent_now_us(), false};
    pending_.push_back({fence, std::move(message).value()});
  }
  hurry();
  publish_some();
}

// No attempt could do better: it fails for good.
void TopicAgent::fail(const core::Lease& lease, const Error& error) {
  EZ_LOG(kWarning, "dispatch", "a task cannot be published", {"run", to_text(lease.run)},
         {"task", lease.task_key}, {"attempt", lease.attempt}, {"error", error.to_string()});
  ports_.engine.propose(engine::unmakeable_item(lease, error), [inbox = inbox_, this, lease,
                                                                error](const Result<core::Reply>& reply) {
    if (reply.ok() || !reply.error().retry()) return;
    inbox->post([this, lease, error] { after(kAgain, [this, lease, error] { fail(lease, error); }); });
  });
}

// One heartbeat waits at the engine all the time, so that what should stop is told at once; it is ended and
// sent again often enough for the most impatient lease.
void TopicAgent::beat() {
  if (beating_ || agent_ == AgentId{} || cancelling_ > 0) return;
  beating_ = true;
  drop_silent();
  std::vector<Fence> fences;
  interval_ms_ = kBeatMostMs;
  if (config_.silence_ms > 0) interval_ms_ = std::min(interval_ms_, config_.silence_ms / 2);
  for (const auto& [fence, out] : out_) {
    fences.push_back(fence);
    interval_ms_ = std::min(interval_ms_, heartbeat_of(out.lease) / 3);
  }
  interval_ms_ = std::max(interval_ms_, kBeatLeastMs);
  const std::uint64_t number = ++beats_;
  look([this, inbox = inbox_, &engine = ports_.engine, agent = agent_, fences = std::move(fences),
        number](const core::State& state) -> Turn {
    if (!state.agents.contains(agent)) return [this, agent] { lost(agent); };
    auto waiting =
        engine.heartbeat(agent, fences, true, [inbox, this, agent, number](engine::HeartbeatAnswer said) {
          inbox->post([this, agent, number, said = std::move(said)] {
            if (number == beats_) beaten(agent, said);
          });
        });
    return [this, number, waiting = std::move(waiting)] {
      if (number == beats_ && beating_) beat_ = waiting;
    };
  });
  const auto end = std::make_shared<Turn>();
  *end = [this, number, interval = interval_ms_, weak = std::weak_ptr<Turn>(end)] {
    if (number != beats_ || !beating_) return;
    if (beat_) beat_->expire();
    if (const auto self = weak.lock()) after(milliseconds(interval), [self] { (*self)(); });
  };
  after(milliseconds(interval_ms_), [end] { (*end)(); });
}

// A new lease may be less patient than those that the present heartbeat was sent for.
void TopicAgent::hurry() {
  std::int64_t least = interval_ms_;
  for (const auto& [fence, out] : out_) least = std::min(least, heartbeat_of(out.lease) / 3);
  if (!beating_ || least >= interval_ms_) return;
  interval_ms_ = std::max(least, kBeatLeastMs);
  after(milliseconds(interval_ms_), [this, number = beats_] {
    if (number == beats_ && beat_) beat_->expire();
  });
}

void TopicAgent::beaten(AgentId agent, const engine::HeartbeatAnswer& answer) {
  if (agent != agent_) return;
  beating_ = false;
  beat_ = nullptr;
  for (const Fence fence : answer.unknown) {
    const auto found = out_.find(fence);
    if (found == out_.end()) continue;
    // It timed out, or its run is gone. When its result is on its way it is simply done.
    if (!found->second.reporting) tell_cancel(found->second.lease, "the lease has ended");
    out_.erase(found);
  }
  for (const core::Lease& lease : answer.cancel) cancel(lease);
  publish_some();
  beat();
}

// The run does not wait for the consumer, whose reply will come too late.
void TopicAgent::cancel(const core::Lease& lease) {
  ++cancelling_;
  cancelled_total_.increment();
  out_.erase(lease.fence);
  tell_cancel(lease, "the task or its run was cancelled");
  core::pb::Command command;
  core::pb::ReportResult& result = *command.mutable_report_result();
  result.set_fence(lease.fence.value);
  result.set_run(lease.run.value);
  result.set_outcome(core::pb::ReportResult::CANCELLED);
  ports_.engine.propose(std::move(command), [inbox = inbox_, this](const Result<core::Reply>& reply) {
    inbox->post([this, ok = reply.ok()] {
      // When it failed, the next heartbeat says again what should stop.
      after(ok ? milliseconds(0) : kAgain, [this] {
        if (--cancelling_ == 0) beat();
      });
    });
  });
}

void TopicAgent::drop_silent() {
  if (config_.silence_ms == 0) return;
  const std::int64_t now = agent_now_us();
  for (auto at = out_.begin(); at != out_.end();) {
    const Out& out = at->second;
    if (out.reporting || now - out.heard_us < config_.silence_ms * 1000) {
      ++at;
      continue;
    }
    silent_total_.increment();
    EZ_LOG(kWarning, "dispatch", "nothing was heard of a task; its lease is not kept alive any more",
           {"run", to_text(out.lease.run)}, {"task", out.lease.task_key}, {"attempt", out.lease.attempt},
           {"agent", name_}, {"silence_ms", config_.silence_ms});
    tell_cancel(out.lease, "nothing was heard of it for " + std::to_string(config_.silence_ms / 1000) + " s");
    at = out_.erase(at);
  }
}

// ---- messages ----

void TopicAgent::tell_cancel(const core::Lease& lease, const std::string& reason) {
  if (config_.cancels.empty()) return;
  pending_.push_back({Fence{}, cancel_message(lease, reason, config_)});
  publish_some();
}

void TopicAgent::publish_some() {
  if (publishing_) return;
  auto batch = std::make_shared<std::vector<Pending>>();
  std::vector<queue::Message> messages;
  std::size_t bytes = 0;
  while (!pending_.empty() && batch->size() < kPublishAtOnce && bytes < kPublishBytes) {
    Pending one = std::move(pending_.front());
    pending_.pop_front();
    if (one.fence != Fence{} && !out_.contains(one.fence)) continue;  // cancelled before it went out
    bytes += one.message.payload.size();
    messages.push_back(one.message);
    batch->push_back(std::move(one));
  }
  if (batch->empty()) return;
  publishing_ = true;
  ports_.bus.publish(std::move(messages), [inbox = inbox_, this,
                                           batch](std::vector<Result<queue::Receipt>> receipts) {
    inbox->post([this, batch, receipts = std::move(receipts)] { published(std::move(*batch), receipts); });
  });
}

void TopicAgent::published(std::vector<Pending> batch, const std::vector<Result<queue::Receipt>>& receipts) {
  publishing_ = false;
  std::deque<Pending> again;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const auto out = out_.find(batch[i].fence);
    if (receipts[i].ok()) {
      if (out == out_.end()) continue;
      out->second.heard_us = agent_now_us();
      if (!receipts[i]->duplicate) tasks_total_.increment();
      continue;
    }
    const Error& error = receipts[i].error();
    if (error.retry()) {
      again.push_back(std::move(batch[i]));
    } else if (out != out_.end()) {
      const core::Lease lease = out->second.lease;
      out_.erase(out);
      fail(lease, error);
    }
  }
  if (again.empty()) return publish_some();
  EZ_LOG(kWarning, "dispatch", "tasks wait for their topic", {"topic", config_.topic},
         {"waiting", again.size()});
  pending_.insert(pending_.begin(), std::make_move_iterator(again.begin()),
                  std::make_move_iterator(again.end()));
  after(kAgain, [this] { publish_some(); });
}

}  // namespace ez::dispatch
