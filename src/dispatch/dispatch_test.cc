// Dispatch over the real engine, the real embedded queue and real logs, in a folder that goes away.
#include "dispatch/dispatch.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "base/clock.h"
#include "base/json.h"
#include "base/random.h"
#include "core/command.pb.h"
#include "core/run.h"
#include "log/disk_posix.h"
#include "log/local_log.h"
#include "log/testing.h"
#include "orchestration/parse.h"
#include "queue/wait_for.h"

namespace ez::dispatch {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kLongEnough{30'000};

constexpr const char* kRender = R"(name: render
inputs: {text: {type: string, default: hello}}
tasks:
  - id: draw
    agent: {type: renderer}
    priority: high
    prompt: Draw ${{ inputs.text }}
    env: {COLOUR: red}
    timeout: {heartbeat: 1s}
    retry: {max_attempts: 1}
    on_failure: fail
)";
constexpr const char* kOther = R"(name: other
tasks:
  - {id: sing, agent: {type: singer}, prompt: Sing}
)";

class DispatchTest : public testing::Test {
 protected:
  DispatchTest() {
    config_.agent_type = "renderer";
    config_.topic = "jobs.render";
    config_.replies = "jobs.render.done";
    config_.cancels = "jobs.render.cancel";
  }
  void SetUp() override { boot(); }
  ~DispatchTest() override { shut_down(); }

  void boot() {
    log::LocalLogOptions small;
    small.reserve_bytes = 0;
    auto queue_log = log::open_local_log(log::posix_disk(), directory_.path() + "/queue", small);
    auto log = log::open_local_log(log::posix_disk(), directory_.path() + "/log", small);
    auto history = storage::History::open(directory_.path());
    auto blobs = storage::BlobStore::open(directory_.path(), {}, system_clock());
    auto logs = storage::AttemptLogs::open(directory_.path(), {});
    ASSERT_TRUE(queue_log.ok() && log.ok() && history.ok() && blobs.ok() && logs.ok());
    auto bus = queue::EmbeddedBus::open(std::move(*queue_log));
    ASSERT_TRUE(bus.ok());
    bus_ = std::move(*bus);
    history_ = std::move(*history);
    blobs_ = std::move(*blobs);
    logs_ = std::move(*logs);
    metrics_ = std::make_unique<telemetry::Registry>();
    engine_ = std::make_unique<engine::Engine>(engine::KernelOptions{}, std::move(*log), *history_,
                                               blobs_.get(), system_clock(), system_random());
    ASSERT_TRUE(engine_->start().ok());
    dispatch_ =
        std::make_unique<Dispatch>(std::vector{config_}, Ports{*engine_, *bus_, *blobs_, *logs_, *metrics_});
    ASSERT_TRUE(dispatch_->start().ok());
    jobs_ = subscribe(config_.topic);
    cancels_ = subscribe(config_.cancels);
  }
  void shut_down() {
    jobs_.reset();
    cancels_.reset();
    if (dispatch_) dispatch_->stop();
    if (engine_) engine_->stop();
    dispatch_.reset();
    engine_.reset();
    metrics_.reset();
    logs_.reset();
    blobs_.reset();
    history_.reset();
    bus_.reset();
  }
  void restart() {
    shut_down();
    boot();
  }

  std::unique_ptr<queue::Consumer> subscribe(const std::string& topic) {
    auto made = bus_->subscribe({topic, "workers", 1000, 600'000}, kLongEnough);
    EXPECT_TRUE(made.ok()) << made.error().to_string();
    return made.ok() ? std::move(*made) : nullptr;
  }
  core::Reply propose(core::pb::Command command) {
    const auto reply = queue::wait_for<core::Reply>(
        [&](auto done) { engine_->propose(std::move(command), std::move(done)); });
    EXPECT_TRUE(reply.ok() && !reply->error)
        << (reply.ok() ? reply->error->to_string() : reply.error().to_string());
    return reply.ok() ? *reply : core::Reply{};
  }
  RunId start(const char* source, const std::string& inputs = "{}") {
    const auto parsed = orchestration::parse_workflow(source);
    EXPECT_TRUE(parsed.ok()) << parsed.diagnostics.front().to_string();
    core::pb::Command command;
    auto* body = command.mutable_register_workflow();
    body->set_namespace_("default");
    body->set_canonical(orchestration::to_canonical(*parsed.workflow));
    body->set_source(source);
    propose(std::move(command));
    core::pb::Command start;
    start.mutable_start_run()->set_namespace_("default");
    start.mutable_start_run()->set_workflow(parsed.workflow->name);
    start.mutable_start_run()->set_inputs(inputs);
    start.mutable_start_run()->set_principal("tester");
    return propose(std::move(start)).run;
  }
  // The next task at the topic, as a consumer sees it; it is acknowledged at once.
  Value next_task(queue::Delivery* whole = nullptr) { return next_of(*jobs_, whole); }
  Value next_of(queue::Consumer& consumer, queue::Delivery* whole = nullptr) {
    auto got = take_and_wait(consumer, 1, kLongEnough);
    EXPECT_TRUE(got.ok() && got->size() == 1) << "nothing came";
    if (!got.ok() || got->empty()) return Value(Value::Map{});
    EXPECT_TRUE(ack_and_wait(consumer, {got->front().tag}).ok());
    auto parsed = parse_json(got->front().message.payload);
    EXPECT_TRUE(parsed.ok()) << got->front().message.payload;
    if (whole != nullptr) *whole = std::move(got->front());
    return parsed.ok() ? *parsed : Value(Value::Map{});
  }
  static Value answer_to(const Value& task, const std::string& outcome) {
    Value out(Value::Map{});
    for (const char* key : {"run", "task", "attempt", "fence", "kind"}) out.set(key, *task.find(key));
    out.set("outcome", Value(outcome));
    return out;
  }
  void send(const std::string& payload) {
    queue::Message message;
    message.topic = config_.replies;
    message.payload = payload;
    EXPECT_TRUE(publish_and_wait(*bus_, std::move(message)).ok());
  }
  void send(const Value& reply) { send(to_json(reply)); }
  // Looks again and again; the bound is only there to end a broken test.
  template <typename Condition>
  bool until(Condition condition) {
    const std::int64_t end = system_clock().monotonic_us() + 30'000'000;
    while (!condition()) {
      if (system_clock().monotonic_us() > end) return false;
      std::this_thread::yield();
    }
    return true;
  }
  Cow<core::Run> run_of(RunId id) {
    auto found = queue::wait_for<Cow<core::Run>>([&](auto done) { engine_->find_run(id, std::move(done)); });
    EXPECT_TRUE(found.ok());
    return found.ok() ? std::move(*found) : Cow<core::Run>();
  }
  core::RunState end_of(RunId id) {
    EXPECT_TRUE(until([&] { return core::is_terminal(run_of(id)->state); })) << "the run does not end";
    return run_of(id)->state;
  }
  std::vector<std::string> reasons() {
    std::vector<std::string> out;
    auto dead = bus_->dead_letters({});
    EXPECT_TRUE(dead.ok());
    for (const auto& one : *dead) {
      EXPECT_EQ(one.group, "ez-dispatch");
      out.push_back(one.reason);
    }
    return out;
  }
  std::uint64_t counted(std::string_view outcome) {
    return metrics_
        ->counters("ez_dispatch_replies_total", "Replies of consumers, by what became of them.",
                   {"agent_type", "outcome"})
        .with({"renderer", outcome})
        .value();
  }
  std::size_t agents() {
    return queue::await<std::size_t>(
        [&](auto done) { engine_->read([done](const core::State& state) { done(state.agents.size()); }); });
  }

  queue::DispatchConfig config_;
  log::TemporaryDirectory directory_;
  std::unique_ptr<queue::EmbeddedBus> bus_;
  std::unique_ptr<storage::History> history_;
  std::unique_ptr<storage::BlobStore> blobs_;
  std::unique_ptr<storage::AttemptLogs> logs_;
  std::unique_ptr<telemetry::Registry> metrics_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<Dispatch> dispatch_;
  std::unique_ptr<queue::Consumer> jobs_;
  std::unique_ptr<queue::Consumer> cancels_;
};

TEST_F(DispatchTest, ATaskGoesOutAndItsResultComesBack) {
  const RunId run = start(kRender, R"({"text": "a tree"})");
  queue::Delivery whole;
  const Value task = next_task(&whole);
  EXPECT_EQ(task.string_or("run", ""), to_text(run));
  EXPECT_EQ(task.string_or("task", ""), "draw");
  EXPECT_EQ(task.string_or("kind", ""), "execute");
  EXPECT_EQ(task.string_or("prompt", ""), "Draw a tree");
  EXPECT_EQ(task.find("env")->string_or("COLOUR", ""), "red");
  EXPECT_EQ(task.string_or("reply_topic", ""), "jobs.render.done");
  EXPECT_EQ(task.find("model_gateway"), nullptr) << "a broker is no place for a key";
  const std::string fence = std::to_string(task.int_or("fence", 0));
  EXPECT_EQ(whole.message.id, "task/" + to_text(run) + "/draw/1/" + fence);
  EXPECT_EQ(whole.message.key, "");
  EXPECT_EQ(whole.message.priority, queue::Priority::kHigh);
  EXPECT_EQ(whole.message.headers, (queue::Headers{{"run", to_text(run)},
                                                   {"task", "draw"},
                                                   {"attempt", "1"},
                                                   {"fence", fence},
                                                   {"kind", "execute"},
                                                   {"agent-type", "renderer"}}));
  Value progress = answer_to(task, "");
  progress.set("kind", Value("progress"));
  progress.set("log", Value("half of it\n"));
  send(progress);
  ASSERT_TRUE(until([&] { return counted("progress") == 1; }));
  const storage::AttemptId attempt{run, "draw", 1};
  EXPECT_EQ(logs_->read(attempt, 0, 100)->bytes, "half of it\n");
  Value result = answer_to(task, "succeeded");
  result.set("output", Value(Value::Map{{"pages", Value(3)}}));
  send(result);
  EXPECT_EQ(end_of(run), core::RunState::kSucceeded);
  EXPECT_EQ(run_of(run)->tasks[0].get().output, R"({"pages":3})");
  send(result);  // once more, and late
  ASSERT_TRUE(until([&] { return counted("stale") == 1; }));
  EXPECT_EQ(counted("accepted"), 1U);
  EXPECT_TRUE(logs_->state(attempt)->finished);
  EXPECT_TRUE(reasons().empty());
}

TEST_F(DispatchTest, ARestartGoesOnWithTheSameLeases) {
  std::vector<RunId> runs;
  for (int i = 0; i < 5; ++i) runs.push_back(start(kRender));
  std::vector<Value> tasks;
  for (int i = 0; i < 3; ++i) tasks.push_back(next_task());
  send(answer_to(tasks[0], "succeeded"));
  EXPECT_TRUE(until([&] { return counted("accepted") == 1; }));
  restart();
  send(answer_to(tasks[1], "succeeded"));
  // What was out already is not out again; the other two come.
  for (int i = 0; i < 2; ++i) tasks.push_back(next_task());
  for (std::size_t i = 2; i < tasks.size(); ++i) send(answer_to(tasks[i], "succeeded"));
  std::set<std::string> seen;
  for (const Value& task : tasks) {
    EXPECT_EQ(task.int_or("attempt", 0), 1);
    seen.insert(std::string(task.string_or("run", "")));
  }
  EXPECT_EQ(seen.size(), 5U);
  for (const RunId run : runs) EXPECT_EQ(end_of(run), core::RunState::kSucceeded);
  EXPECT_EQ(agents(), 1U);
  EXPECT_EQ(bus_->topics(config_.topic).at(0).counts.published, 5U);
}

TEST_F(DispatchTest, WhatIsNoReplyIsADeadLetterAndHoldsUpNothing) {
  const RunId run = start(kRender);
  const RunId song = start(kOther);
  const Value task = next_task();
  const auto changed = [&](const char* key, Value value) {
    Value out = answer_to(task, "succeeded");
    out.set(key, std::move(value));
    return out;
  };
  send(std::string("no json"));
  send(Value(Value::Map{{"run", Value(to_text(run))}}));
  send(changed("outcome", Value("splendid")));
  send(changed("fence", Value(1'000'000)));
  send(changed("attempt", Value(2)));
  send(changed("run", Value("r999")));
  send(changed("kind", Value("progress")));  // is none of these
  // An agent of another type holds the lease of the other task.
  core::pb::Command singer;
  singer.mutable_register_agent()->set_name("singer-1");
  singer.mutable_register_agent()->set_type("singer");
  singer.mutable_register_agent()->set_capacity(1);
  const AgentId agent = propose(std::move(singer)).agent;
  const auto work = queue::wait_for<engine::WorkAnswer>([&](auto done) {
    (void)engine_->work({agent, 1, {}}, [done](Result<engine::WorkAnswer> answer) {
      done(std::move(answer));
      return true;
    });
  });
  ASSERT_TRUE(work.ok());
  const core::Lease& lease = work->tasks.at(0).lease;
  Value stolen = changed("fence", Value(static_cast<std::int64_t>(lease.fence.value)));
  stolen.set("run", Value(to_text(song)));
  stolen.set("task", Value("sing"));
  send(stolen);
  ASSERT_TRUE(until([&] { return reasons().size() == 7; }));
  core::pb::Command ended;
  ended.mutable_report_result()->set_fence(lease.fence.value);
  ended.mutable_report_result()->set_run(song.value);
  ended.mutable_report_result()->set_outcome(core::pb::ReportResult::SUCCEEDED);
  propose(std::move(ended));
  send(stolen);
  ASSERT_TRUE(until([&] { return reasons().size() == 8; }));
  std::string all;
  for (const std::string& reason : reasons()) all += reason + "\n";
  for (const char* part :
       {"JSON", "reply.fence: is missing", "reply.outcome: must be succeeded",
        "no lease has the fence 1000000", "is not that of attempt 2 of draw",
        "is not that of attempt 1 of draw of r999", "attempt 1 of sing of r2 is leased to another agent",
        "attempt 1 of sing of r2 is for agents of the type singer"}) {
    EXPECT_NE(all.find(part), std::string::npos) << part << " is not in\n" << all;
  }
  send(answer_to(task, "succeeded"));
  EXPECT_EQ(end_of(run), core::RunState::kSucceeded);
  EXPECT_EQ(counted("progress"), 1U);
}

TEST_F(DispatchTest, AResultBeyondTheLimitsFailsItsAttempt) {
  for (const bool too_large : {true, false}) {
    const RunId run = start(kRender);
    Value result = answer_to(next_task(), "succeeded");
    if (too_large) {
      result.set("output", Value(std::string(20'000, 'x')));
    } else {
      result.set("output_blob", Value(std::string(64, 'a')));
    }
    send(result);
    EXPECT_EQ(end_of(run), core::RunState::kFailed);
    EXPECT_EQ(run_of(run)->tasks[0].get().error.code, too_large ? "PAYLOAD_TOO_LARGE" : "BLOB_NOT_FOUND");
  }
  EXPECT_TRUE(until([&] { return counted("refused") == 2; }));
  EXPECT_TRUE(reasons().empty());
}

TEST_F(DispatchTest, ATaskThatIsNoMessageFails) {
  const RunId run = start(kRender, to_json(Value(Value::Map{{"text", Value(std::string(600'000, 'x'))}})));
  EXPECT_EQ(end_of(run), core::RunState::kFailed);
  EXPECT_EQ(run_of(run)->tasks[0].get().error.code, "PAYLOAD_TOO_LARGE");
}

TEST_F(DispatchTest, ACancelIsToldAndALateReplyDropped) {
  const RunId run = start(kRender);
  const Value task = next_task();
  core::pb::Command stop;
  stop.mutable_control_run()->set_run(run.value);
  stop.mutable_control_run()->set_action(core::pb::ControlRun::CANCEL);
  propose(std::move(stop));
  EXPECT_EQ(end_of(run), core::RunState::kCancelled) << "nobody waits for the consumer";
  queue::Delivery whole;
  const Value told = next_of(*cancels_, &whole);
  for (const char* key : {"run", "task", "attempt", "fence"}) EXPECT_EQ(*told.find(key), *task.find(key));
  EXPECT_EQ(told.string_or("reason", ""), "the task or its run was cancelled");
  EXPECT_TRUE(whole.message.id.starts_with("cancel/" + to_text(run) + "/draw/1/"));
  send(answer_to(task, "succeeded"));
  ASSERT_TRUE(until([&] { return counted("stale") == 1; }));
  EXPECT_TRUE(reasons().empty());
}

TEST_F(DispatchTest, AnAgentThatWasRemovedRegistersAgain) {
  const RunId run = start(kRender);
  const Value first = next_task();
  const AgentId agent = queue::await<AgentId>([&](auto done) {
    engine_->read([done](const core::State& state) { done(state.agent_names.at("topic-renderer")); });
  });
  core::pb::Command gone;
  gone.mutable_remove_agent()->set_agent(agent.value);
  gone.mutable_remove_agent()->set_reason("a test");
  propose(std::move(gone));
  const Value second = next_task();
  EXPECT_EQ(second.string_or("run", ""), to_text(run));
  EXPECT_NE(second.int_or("fence", 0), first.int_or("fence", 0));
  send(answer_to(first, "failed"));  // late
  send(answer_to(second, "succeeded"));
  EXPECT_EQ(end_of(run), core::RunState::kSucceeded);
}

class SilentDispatchTest : public DispatchTest {
 protected:
  SilentDispatchTest() { config_.silence_ms = 100; }
};

TEST_F(SilentDispatchTest, ATaskOfWhichNothingIsHeardGoesOutAgain) {
  const RunId run = start(kRender);
  const Value first = next_task();
  EXPECT_EQ(next_of(*cancels_).int_or("fence", 0), first.int_or("fence", 0));
  // Its lease ends by the usual rule, a second later. On a busy machine the next one may fall silent too,
  // before this has answered it.
  std::set<std::int64_t> fences{first.int_or("fence", 0)};
  ASSERT_TRUE(until([&] {
    auto got = take_and_wait(*jobs_, 1, milliseconds(100));
    if (got.ok() && !got->empty()) {
      EXPECT_TRUE(ack_and_wait(*jobs_, {got->front().tag}).ok());
      const Value task = *parse_json(got->front().message.payload);
      EXPECT_TRUE(fences.insert(task.int_or("fence", 0)).second) << "the same lease twice";
      send(answer_to(task, "succeeded"));
    }
    return core::is_terminal(run_of(run)->state);
  }));
  EXPECT_EQ(end_of(run), core::RunState::kSucceeded);
}

}  // namespace
}  // namespace ez::dispatch
