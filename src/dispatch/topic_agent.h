// TopicAgent: the agent `topic-TYPE` of one entry of `dispatch:`. To the engine it is an agent like any
// other: it has a registration, takes leases, sends heartbeats and reports results. Its work is done by
// whoever consumes the topic. Internal to dispatch/.
//
// A restart. Registration and leases are in the log of the server, so a new process goes on with them: it
// finds its agent by name, publishes what is leased again (messages whose ids the queue knows), and replies
// that came in meanwhile wait in its group.
//
// Failures. What the engine or the queue cannot do now is tried again for as long as it takes; a reply is
// acknowledged when the engine has answered, or becomes a dead letter with the reason.
//
// Threads. One of its own, which alone touches what follows Ports; what others answer becomes a turn of it.
// Bounds: `capacity` leases, 256 replies under way.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "dispatch/messages.h"
#include "queue/embedded/embedded_bus.h"
#include "telemetry/metrics.h"

namespace ez::dispatch {

// All outlive the agent.
struct Ports {
  engine::Engine& engine;
  queue::EmbeddedBus& bus;
  storage::BlobStore& blobs;
  storage::AttemptLogs& logs;
  telemetry::Registry& metrics;
};

class TopicAgent {
 public:
  TopicAgent(queue::DispatchConfig config, const Ports& ports);
  ~TopicAgent();  // stop()
  TopicAgent(const TopicAgent&) = delete;
  TopicAgent& operator=(const TopicAgent&) = delete;

  // Its group exists when this returns; the rest goes on by itself. The engine has been started. Waits for
  // the queue's log.
  [[nodiscard]] Status start();
  // Keeps registration and leases; what is under way is done again by the next start(). Before the engine
  // stops.
  void stop();

 private:
  using Turn = std::function<void()>;
  // Shared with callbacks, which may come after the end.
  struct Inbox {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<Turn> turns;
    bool closed = false;
    bool post(Turn turn);  // false: closed
  };
  struct Out {
    core::Lease lease;
    std::int64_t heard_us = 0;  // published, or the newest word of the consumer
    bool reporting = false;     // its result is on its way to the log
  };
  struct Pending {
    Fence fence;  // 0: a cancel
    queue::Message message;
  };
  struct Job {
    queue::Delivery delivery;
    Reply reply;
  };
  using JobPtr = std::shared_ptr<Job>;
  // What the engine's state says of a reply.
  struct Standing {
    enum class Kind : std::uint8_t { kLive, kOver, kStrange } kind = Kind::kStrange;
    std::string why;    // it is strange
    core::Lease lease;  // it is live
  };
  // What happens on the engine's loop, with nothing of ours but values; gives the turn that follows.
  using Look = std::function<Turn(const core::State&)>;

  void loop();
  void after(std::chrono::milliseconds delay, Turn turn);
  void look(Look at);
  void ask(std::uint64_t token);

  // the agent
  void connect();
  void register_agent();
  void connected(AgentId agent, std::vector<engine::WorkTask> tasks);
  void lost(AgentId agent);
  void demand();
  void answered(AgentId agent, Result<engine::WorkAnswer> answer);
  void granted(std::vector<engine::WorkTask> tasks);
  void beat();
  void hurry();
  void beaten(AgentId agent, const engine::HeartbeatAnswer& answer);
  void drop_silent();
  void cancel(const core::Lease& lease);
  void fail(const core::Lease& lease, const Error& error);

  // messages
  void publish_some();
  void published(std::vector<Pending> batch, const std::vector<Result<queue::Receipt>>& receipts);
  void tell_cancel(const core::Lease& lease, const std::string& reason);

  // replies
  void take();
  void taken(Result<std::vector<queue::Delivery>> got);
  void judge(const JobPtr& job);
  void judge_ended(const JobPtr& job);
  void decide(const JobPtr& job, const Standing& standing);
  void append_log(const JobPtr& job);
  void report(const JobPtr& job);
  void reported(const JobPtr& job, const Result<core::Reply>& reply);
  void acknowledge(const JobPtr& job);
  void bury(const JobPtr& job, const std::string& reason);
  void settled();
  void count_reply(std::string_view outcome);

  const queue::DispatchConfig config_;
  const std::string name_;
  const Ports ports_;
  const std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();

  AgentId agent_;  // 0: not registered
  bool connecting_ = false;
  std::map<Fence, Out> out_;
  std::shared_ptr<engine::Waiting> demand_;
  std::shared_ptr<engine::Waiting> beat_;
  bool beating_ = false;
  std::uint64_t beats_ = 0;
  std::int64_t interval_ms_ = 0;  // of the present beat
  std::size_t cancelling_ = 0;
  std::deque<Pending> pending_;
  bool publishing_ = false;
  std::unique_ptr<queue::EmbeddedConsumer> consumer_;
  bool taking_ = false;
  std::size_t under_way_ = 0;
  std::map<std::uint64_t, Look> looks_;
  std::uint64_t next_look_ = 1;
  std::multimap<std::int64_t, Turn> timers_;  // by monotonic microseconds

  telemetry::Counter& tasks_total_;
  telemetry::Family<telemetry::Counter>& replies_total_;
  telemetry::Counter& buried_total_;
  telemetry::Counter& cancelled_total_;
  telemetry::Counter& silent_total_;
  telemetry::Gauge& out_gauge_;
  std::thread thread_;
};

}  // namespace ez::dispatch
