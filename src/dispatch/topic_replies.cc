// What consumers send to the topic of replies.
#include <algorithm>

#include "base/clock.h"
#include "base/thread_name.h"
#include "core/command.pb.h"
#include "dispatch/topic_agent.h"
#include "telemetry/log.h"

namespace ez::dispatch {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kRepliesUnderWay = 256;
constexpr std::size_t kRepliesAtOnce = 64;
constexpr std::size_t kReplyBytes = 8U << 20;
constexpr milliseconds kTakeWait{30'000};
constexpr milliseconds kSubscribeWait{10'000};
constexpr milliseconds kReplyAgain{500};
constexpr std::int64_t kReplyLeaseMs =
    12LL * 3600 * 1000;  // it waits here for the engine for as long as it takes

std::string text_of(const storage::AttemptId& id) {
  return "attempt " + std::to_string(id.attempt) + " of " + id.task + " of " + to_text(id.run);
}

bool is_of(const core::Lease& lease, const storage::AttemptId& id) {
  return lease.run == id.run && lease.task_key == id.task && lease.attempt == id.attempt;
}

// Why the reply is nothing that could come late from our consumers; empty when it may.
std::string strange_reply(const core::Run& run, const storage::AttemptId& id, const std::string& agent_type) {
  for (std::size_t i = 0; i < run.tasks.size(); ++i) {
    const core::Task& task = run.tasks[i];
    if (run.key_of(task) != id.task) continue;
    const std::string& type = run.definition_of(task).agent.type;
    if (type != agent_type) return text_of(id) + " is for agents of the type " + type;
    if (id.attempt > task.attempt) return text_of(id) + " has not been yet";
    return "";
  }
  return to_text(id.run) + " has no task " + id.task;
}

}  // namespace

Status TopicAgent::start() {
  EZ_ASSIGN(consumer_, ports_.bus.subscribe_embedded({config_.replies, std::string(queue::kDispatchGroup),
                                                      kRepliesUnderWay, kReplyLeaseMs},
                                                     kSubscribeWait));
  thread_ = std::thread([this] { loop(); });
  inbox_->post([this] { connect(); });
  return {};
}

void TopicAgent::take() {
  if (taking_ || under_way_ + kRepliesAtOnce > kRepliesUnderWay) return;
  taking_ = true;
  consumer_->take(kRepliesAtOnce, kReplyBytes, kTakeWait,
                  [inbox = inbox_, this](Result<std::vector<queue::Delivery>> got) {
                    inbox->post([this, got = std::move(got)]() mutable { taken(std::move(got)); });
                  });
}

void TopicAgent::taken(Result<std::vector<queue::Delivery>> got) {
  taking_ = false;
  if (!got.ok()) {
    EZ_LOG(kWarning, "dispatch", "replies cannot be taken", {"topic", config_.replies},
           {"error", got.error().to_string()});
    return after(kReplyAgain, [this] {
      // Somebody dropped the group, with what waited for it.
      auto fresh = ports_.bus.subscribe_embedded(
          {config_.replies, std::string(queue::kDispatchGroup), kRepliesUnderWay, kReplyLeaseMs},
          kSubscribeWait);
      if (fresh.ok()) consumer_ = std::move(*fresh);
      take();
    });
  }
  for (queue::Delivery& delivery : *got) {
    ++under_way_;
    const auto job = std::make_shared<Job>();
    job->delivery = std::move(delivery);
    auto reply = read_reply(job->delivery.message.payload, ports_.blobs);
    if (!reply.ok()) {
      bury(job, reply.error().to_string());
      continue;
    }
    job->reply = std::move(reply).value();
    judge(job);
  }
  take();
}

// Whose lease it is decides what the reply is worth.
void TopicAgent::judge(const JobPtr& job) {
  look([this, job, agent = agent_, id = job->reply.attempt,
        fence = job->reply.fence](const core::State& state) -> Turn {
    const auto found = state.leases.find(fence);
    if (found == state.leases.end()) {
      if (fence.value < state.next_fence) return [this, job] { judge_ended(job); };
      return [this, job, fence] {
        decide(job, {Standing::Kind::kStrange, "no lease has the fence " + std::to_string(fence.value), {}});
      };
    }
    const core::Lease& lease = found->second;
    Standing standing{Standing::Kind::kLive, "", lease};
    if (!is_of(lease, id)) {
      standing.kind = Standing::Kind::kStrange;
      standing.why = "the fence " + std::to_string(fence.value) + " is not that of " + text_of(id);
    } else if (lease.agent != agent) {
      standing.kind = Standing::Kind::kStrange;
      standing.why = text_of(id) + " is leased to another agent";
    }
    return [this, job, standing = std::move(standing)] { decide(job, standing); };
  });
}

void TopicAgent::judge_ended(const JobPtr& job) {
  ports_.engine.find_run(job->reply.attempt.run,
                         [inbox = inbox_, this, job, id = job->reply.attempt,
                          type = config_.agent_type](const Result<Cow<core::Run>>& found) {
                           Standing standing{Standing::Kind::kOver, "", {}};
                           bool again = false;
                           if (found.ok()) {
                             standing.why = strange_reply(**found, id, type);
                           } else {
                             again = found.error().code() != Code::RunNotFound;
                             standing.why = found.error().message();
                           }
                           if (!standing.why.empty()) standing.kind = Standing::Kind::kStrange;
                           inbox->post([this, job, again, standing = std::move(standing)] {
                             if (!again) return decide(job, standing);
                             after(kReplyAgain, [this, job] { judge(job); });
                           });
                         });
}

void TopicAgent::decide(const JobPtr& job, const Standing& standing) {
  if (standing.kind == Standing::Kind::kStrange) return bury(job, standing.why);
  if (standing.kind == Standing::Kind::kLive && !standing.lease.cancelled) {
    // Also one that was given up for its silence, when this comes just in time.
    Out& out = out_.try_emplace(job->reply.fence, Out{standing.lease, 0, false}).first->second;
    out.heard_us = std::max(out.heard_us, system_clock().monotonic_us());
    out.reporting = out.reporting || !job->reply.progress;
  }
  if (!job->reply.progress) return report(job);
  if (standing.kind == Standing::Kind::kLive) {
    append_log(job);
    count_reply("progress");
  } else {
    count_reply("stale");
  }
  acknowledge(job);
}

// A log that is full or finished takes nothing more; the task goes on without it.
void TopicAgent::append_log(const JobPtr& job) {
  if (job->reply.log.empty()) return;
  const storage::AttemptId& id = job->reply.attempt;
  const auto size = ports_.logs.size(id);
  const auto appended =
      size.ok() ? ports_.logs.append(id, *size, job->reply.log) : Result<storage::AppendedLog>(size.error());
  if (!appended.ok()) {
    EZ_LOG(kWarning, "dispatch", "progress cannot be written to the log", {"run", to_text(id.run)},
           {"task", id.task}, {"attempt", id.attempt}, {"error", appended.error().to_string()});
  }
}

void TopicAgent::report(const JobPtr& job) {
  core::pb::Command command;
  if (job->reply.refused) {
    command = refused_result(job->reply);
  } else {
    *command.mutable_report_result() = job->reply.result->report;
  }
  ports_.engine.propose(std::move(command), [inbox = inbox_, this, job](Result<core::Reply> reply) {
    inbox->post([this, job, reply = std::move(reply)] { reported(job, reply); });
  });
}

void TopicAgent::reported(const JobPtr& job, const Result<core::Reply>& reply) {
  const Error* error = !reply.ok() ? &reply.error() : reply->error ? &*reply->error : nullptr;
  if (error != nullptr) {
    // Until the engine has answered, the reply is neither done with nor given up.
    if (error->retry()) return after(kReplyAgain, [this, job] { report(job); });
    return bury(job, error->to_string());
  }
  const storage::AttemptId& id = job->reply.attempt;
  const bool accepted = reply->result == core::Reply::Result::kAccepted;
  const bool duplicate = reply->result == core::Reply::Result::kDuplicate;
  const std::string_view outcome = duplicate            ? "duplicate"
                                   : !accepted          ? "stale"
                                   : job->reply.refused ? "refused"
                                                        : "accepted";
  count_reply(outcome);
  if (accepted && (job->reply.refused || job->reply.result->ends)) (void)ports_.logs.finish(id);
  if (job->reply.refused && accepted) {
    EZ_LOG(kWarning, "dispatch", "a result is refused and its attempt has failed", {"run", to_text(id.run)},
           {"task", id.task}, {"attempt", id.attempt}, {"error", job->reply.refused->to_string()});
  } else {
    EZ_LOG(kDebug, "dispatch", "a reply", {"run", to_text(id.run)}, {"task", id.task},
           {"attempt", id.attempt}, {"outcome", outcome});
  }
  out_.erase(job->reply.fence);
  acknowledge(job);
}

void TopicAgent::acknowledge(const JobPtr& job) {
  consumer_->ack({job->delivery.tag},
                 [inbox = inbox_, this](const std::vector<Status>&) { inbox->post([this] { settled(); }); });
}

void TopicAgent::bury(const JobPtr& job, const std::string& reason) {
  EZ_LOG(kWarning, "dispatch", "a reply becomes a dead letter", {"topic", config_.replies},
         {"id", job->delivery.message.id}, {"reason", reason});
  consumer_->bury({job->delivery.tag}, reason, [inbox = inbox_, this, job](const std::vector<Status>& done) {
    const bool full = !done.empty() && !done.front().ok() && done.front().error().code() == Code::Overloaded;
    inbox->post([this, job, full] {
      buried_total_.increment();
      if (!full) return settled();
      // There are too many dead letters already: what is useless may not hold up what is not.
      EZ_LOG(kError, "dispatch", "a reply is dropped, there are too many dead letters",
             {"id", job->delivery.message.id});
      acknowledge(job);
    });
  });
}

void TopicAgent::settled() {
  --under_way_;
  take();
}

void TopicAgent::count_reply(std::string_view outcome) {
  replies_total_.with({config_.agent_type, outcome}).increment();
}

}  // namespace ez::dispatch
