#include "agents/worker.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <set>

#include "agents/exec_runner.h"
#include "agents/test_ports.h"
#include "base/json.h"

namespace ez::agents {
namespace {

// A control plane in memory that keeps the promises of the interface: leases with fences, long polls,
// acceptance exactly once, and failures by countdown.
class MemoryPlane final : public ControlPlane, public FolderArtifacts {
 public:
  explicit MemoryPlane(const std::string& folder) : FolderArtifacts(folder) {}
  Status fetch(const std::string& sha256, const std::string& path) override {
    return FolderArtifacts::fetch(sha256, path);
  }
  Result<ArtifactRef> store(const std::string& path) override { return FolderArtifacts::store(path); }

  Result<Registered> register_agent(const Registration& registration) override {
    std::lock_guard lock(mutex_);
    if (fail_register_ > 0) return --fail_register_, Error(Code::ServerUnreachable, "down");
    ++registrations_;
    known_ = "a" + std::to_string(registrations_);
    EXPECT_EQ(registration.name, "tester");
    changed_.notify_all();
    return Registered{known_, 200, "s"};
  }
  Result<WorkReply> work(const WorkRequest& request) override {
    std::unique_lock lock(mutex_);
    if (fail_work_ > 0) return --fail_work_, Error(Code::ServerUnreachable, "down");
    if (request.agent != known_) return Error(Code::AgentNotFound, request.agent);
    WorkReply reply;
    for (const TaskResult& result : request.results) {
      const bool first = results_.emplace(result.fence, result).second;
      const bool live = leases_.erase(result.fence) > 0;
      reply.accepted.emplace_back(result.fence, !first ? Acceptance::kDuplicate
                                                : live ? Acceptance::kAccepted
                                                       : Acceptance::kStale);
    }
    changed_.notify_all();
    if (drop_answers_ > 0) return --drop_answers_, Error(Code::ServerUnreachable, "the answer was lost");
    changed_.wait_for(lock, std::chrono::milliseconds(request.wait_ms), [&] {
      return interrupted_ || (request.want > 0 && !queue_.empty()) || request.agent != known_;
    });
    while (request.want > static_cast<std::int64_t>(reply.tasks.size()) && !queue_.empty()) {
      leases_.insert(queue_.front().first);
      reply.tasks.push_back(queue_.front().second);
      queue_.pop_front();
    }
    most_leases_ = std::max(most_leases_, leases_.size());
    return reply;
  }
  Result<HeartbeatReply> heartbeat(const std::string& agent, const std::vector<Fence>& leases,
                                   std::int64_t wait_ms) override {
    std::unique_lock lock(mutex_);
    if (agent != known_) return Error(Code::AgentNotFound, agent);
    heartbeats_.push_back(wait_ms);
    changed_.notify_all();
    HeartbeatReply reply;
    changed_.wait_for(lock, std::chrono::milliseconds(wait_ms), [&] {
      return interrupted_ || std::any_of(leases.begin(), leases.end(), [&](Fence f) {
               return cancels_.contains(f) || !leases_.contains(f);
             });
    });
    for (const Fence fence : leases) {
      if (cancels_.contains(fence)) reply.cancel.push_back({fence, "asked"});
      if (!leases_.contains(fence)) reply.unknown.push_back(fence);
    }
    return reply;
  }
  std::unique_ptr<LogPort> log_of(const WorkItem&) override { return std::make_unique<MemoryLog>(); }
  void interrupt() override {
    std::lock_guard lock(mutex_);
    interrupted_ = true;
    changed_.notify_all();
  }

  void offer(std::uint64_t fence, const std::string& command, std::int64_t heartbeat_ms = 30'000) {
    WorkItem item;
    item.heartbeat_ms = heartbeat_ms;
    item.run = "r1";
    item.task = "t" + std::to_string(fence);
    item.attempt = 1;
    item.fence = Fence{fence};
    item.run_command = command;
    offer_json(fence, to_value(item));
  }
  void offer_json(std::uint64_t fence, Value item) {
    std::lock_guard lock(mutex_);
    queue_.emplace_back(Fence{fence}, std::move(item));
    changed_.notify_all();
  }
  void cancel(std::uint64_t fence) {
    std::lock_guard lock(mutex_);
    cancels_.insert(Fence{fence});
    changed_.notify_all();
  }
  void expire(std::uint64_t fence) {
    std::lock_guard lock(mutex_);
    leases_.erase(Fence{fence});
    changed_.notify_all();
  }
  void forget_agent() {
    std::lock_guard lock(mutex_);
    known_.clear();
    changed_.notify_all();
  }
  // Waits until that many results were taken; false after a minute.
  bool await_results(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60), [&] { return results_.size() >= count; });
  }
  // How long those were to wait, when there were so many.
  std::vector<std::int64_t> await_heartbeats(std::size_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(
        changed_.wait_for(lock, std::chrono::seconds(60), [&] { return heartbeats_.size() >= count; }));
    return heartbeats_;
  }
  std::map<Fence, TaskResult> results() {
    std::lock_guard lock(mutex_);
    return results_;
  }
  std::mutex mutex_;
  int fail_register_ = 0;
  int fail_work_ = 0;
  int drop_answers_ = 0;
  int registrations_ = 0;
  std::size_t most_leases_ = 0;

 private:
  std::condition_variable changed_;
  std::string known_;
  std::deque<std::pair<Fence, Value>> queue_;
  std::set<Fence> leases_;
  std::set<Fence> cancels_;
  std::map<Fence, TaskResult> results_;
  std::vector<std::int64_t> heartbeats_;
  bool interrupted_ = false;
};

// Runs "wait" until it is cancelled and everything else at once; the real runner has its own tests.
class Script {
 public:
  TaskResult operator()(const WorkItem& item, LogPort&, const CancelToken& token) {
    {
      std::lock_guard lock(mutex_);
      ++started_;
      most_ = std::max(most_, ++now_);
      changed_.notify_all();
    }
    TaskResult result = failure_of(item, Outcome::kCancelled, Error(Code::TaskCancelled, "asked"));
    if (item.run_command == "wait") {
      pollfd cancelled{token.fd(), POLLIN, 0};
      ::poll(&cancelled, 1, 60'000);
    } else {
      result.outcome = Outcome::kSucceeded;
      result.error_code.clear();
    }
    std::lock_guard lock(mutex_);
    --now_;
    changed_.notify_all();
    return result;
  }
  bool await_started(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60), [&] { return started_ >= count; });
  }
  bool await_idle() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60), [&] { return now_ == 0; });
  }
  int most() {
    std::lock_guard lock(mutex_);
    return most_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int started_ = 0;
  int now_ = 0;
  int most_ = 0;
};

class WorkerTest : public ::testing::Test {
 protected:
  Worker::Options options(std::int64_t capacity) {
    Worker::Options options;
    options.registration.name = "tester";
    options.registration.capacity = capacity;
    options.first_pause = std::chrono::milliseconds(1);
    options.longest_pause = std::chrono::milliseconds(20);
    return options;
  }
  Worker::Runner runner() {
    return [this](const WorkItem& item, LogPort& log, const CancelToken& token) {
      return script_(item, log, token);
    };
  }
  TempDir dir_;
  MemoryPlane plane_{dir_ / "blobs"};
  Script script_;
};

TEST_F(WorkerTest, WorksThroughManyItemsWithinItsCapacity) {
  for (std::uint64_t fence = 1; fence <= 300; ++fence) plane_.offer(fence, "go");
  Worker worker(options(4), plane_, runner());
  worker.start();
  ASSERT_TRUE(plane_.await_results(300));
  worker.stop();
  EXPECT_LE(script_.most(), 4);
  EXPECT_LE(plane_.most_leases_, 4U);
  for (const auto& [fence, result] : plane_.results()) EXPECT_EQ(result.outcome, Outcome::kSucceeded);
}

TEST_F(WorkerTest, SurvivesAServerThatComesAndGoes) {
  plane_.fail_register_ = 3;
  plane_.fail_work_ = 4;
  plane_.drop_answers_ = 3;
  for (std::uint64_t fence = 1; fence <= 10; ++fence) plane_.offer(fence, "go");
  Worker worker(options(2), plane_, runner());
  worker.start();
  ASSERT_TRUE(plane_.await_results(10));
  plane_.forget_agent();
  for (std::uint64_t fence = 11; fence <= 20; ++fence) plane_.offer(fence, "go");
  ASSERT_TRUE(plane_.await_results(20));
  worker.stop();
  EXPECT_GE(plane_.registrations_, 2);
  EXPECT_EQ(plane_.results().size(), 20U);
}

TEST_F(WorkerTest, AResultIsDeliveredWhileTheOtherSlotsWaitForWork) {
  Worker::Options slow = options(3);
  slow.poll_wait = std::chrono::milliseconds(600'000);
  Worker worker(slow, plane_, runner());
  plane_.offer(1, "wait");
  worker.start();
  ASSERT_TRUE(script_.await_started(1));
  plane_.cancel(1);
  ASSERT_TRUE(plane_.await_results(1));
  EXPECT_EQ(plane_.results().at(Fence{1}).outcome, Outcome::kCancelled);
  worker.stop();
}

TEST_F(WorkerTest, ALostLeaseEndsTheWorkAndItsResultIsDropped) {
  Worker worker(options(1), plane_, runner());
  plane_.offer(1, "wait");
  worker.start();
  ASSERT_TRUE(script_.await_started(1));
  plane_.expire(1);
  ASSERT_TRUE(script_.await_idle());
  plane_.offer(2, "go");
  ASSERT_TRUE(plane_.await_results(1));
  worker.stop();
  EXPECT_FALSE(plane_.results().contains(Fence{1}));
}

TEST_F(WorkerTest, AnImpatientLeaseIsNamedInItsOwnTime) {
  Worker worker(options(1), plane_, runner());
  plane_.offer(1, "wait", 90);
  worker.start();
  // The agent's own time is 200 ms.
  for (const std::int64_t wait_ms : plane_.await_heartbeats(3)) EXPECT_EQ(wait_ms, 30);
  plane_.cancel(1);
  ASSERT_TRUE(plane_.await_results(1));
  worker.stop();
}

TEST_F(WorkerTest, StopGivesEveryLeaseBackAsWorkToRepeat) {
  Worker worker(options(3), plane_, runner());
  for (std::uint64_t fence = 1; fence <= 3; ++fence) plane_.offer(fence, "wait");
  worker.start();
  ASSERT_TRUE(script_.await_started(3));
  worker.stop();
  const auto results = plane_.results();
  ASSERT_EQ(results.size(), 3U);
  for (const auto& [fence, result] : results) {
    EXPECT_EQ(result.outcome, Outcome::kFailed);
    EXPECT_EQ(result.error_code, "SHUTTING_DOWN");
    EXPECT_TRUE(find_code(result.error_code)->retry);
  }
  EXPECT_EQ(worker.running(), 0U);
}

TEST_F(WorkerTest, StopEndsEvenWhenTheServerIsGone) {
  plane_.fail_register_ = 1'000'000;
  Worker lonely(options(2), plane_, runner());
  lonely.start();
  lonely.stop();
  plane_.fail_register_ = 0;
  Worker::Options hasty = options(1);
  hasty.deliver_wait = std::chrono::milliseconds(50);
  Worker worker(hasty, plane_, runner());
  plane_.offer(1, "wait");
  worker.start();
  ASSERT_TRUE(script_.await_started(1));
  {
    std::lock_guard lock(plane_.mutex_);
    plane_.fail_work_ = 1'000'000;
  }
  worker.stop();
  EXPECT_TRUE(plane_.results().empty());
}

TEST_F(WorkerTest, AnItemThatCannotBeReadIsAnswered) {
  plane_.offer_json(
      5, *parse_json(R"({"run":"r1","task":"t5","attempt":1,"fence":5,"sandbox":{"memory_mb":"many"}})"));
  plane_.offer(6, "go");
  Worker worker(options(1), plane_, runner());
  worker.start();
  ASSERT_TRUE(plane_.await_results(2));
  worker.stop();
  EXPECT_EQ(plane_.results().at(Fence{5}).error_code, "REQUEST_INVALID");
}

TEST_F(WorkerTest, WithTheRealRunner) {
  EZ_NEED_SANDBOX();
  const Sandbox sandbox;
  WorkspaceManager::Options where;
  where.root = dir_ / "workspaces";
  WorkspaceManager workspaces(where);
  ExecRunner exec(sandbox, workspaces, plane_);
  Worker worker(options(3), plane_, [&](const WorkItem& item, LogPort& log, const CancelToken& token) {
    return exec.run(item, log, token);
  });
  for (std::uint64_t fence = 1; fence <= 6; ++fence)
    plane_.offer(fence, "echo '\"" + std::to_string(fence) + "\"' > $EZ_OUTPUT");
  plane_.offer(7, "sleep 600");
  worker.start();
  ASSERT_TRUE(plane_.await_results(6));
  worker.stop();
  const auto results = plane_.results();
  ASSERT_EQ(results.size(), 7U);
  EXPECT_EQ(results.at(Fence{3}).output, Value("3"));
  EXPECT_EQ(results.at(Fence{7}).error_code, "SHUTTING_DOWN");
}

}  // namespace
}  // namespace ez::agents
