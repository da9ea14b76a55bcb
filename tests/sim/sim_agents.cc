// The agents of the simulated world: they do the work, fail at it, answer twice, answer late, fall silent and
// die.
#include <algorithm>

#include "world.h"

namespace ez::sim {

void World::agent_register(SimAgent& agent) {
  if (agent.registering) return;
  core::pb::Command command;
  auto* body = command.mutable_register_agent();
  body->set_name(agent.name);
  body->set_type(agent.type);
  body->set_capacity(agent.capacity);
  body->add_capabilities("fast");
  agent.registering = true;
  kernel_->propose(std::move(command), [this, &agent, life = life_](const Result<core::Reply>& reply) {
    if (life != life_) return;
    agent.registering = false;
    if (!reply.ok() || reply->error) return;
    agent.id = reply->agent;
    // Registering anew means starting anew: the old work is dropped.
    agent.work.clear();
  });
}

void World::agent_offer(SimAgent& agent) {
  if (agent.demand || agent.work.size() >= agent.capacity) return;
  const auto want = static_cast<std::uint32_t>(agent.capacity - agent.work.size());
  auto offered = kernel_->offer(*agent.id, want, [this, &agent](const std::vector<core::Lease>& leases) {
    agent.demand.reset();
    if (faults_ && random_.chance(1, 25)) return;  // the answer is lost on the way; the server does not know
    if (faults_ && random_.chance(1, 25)) return kernel_->undelivered(leases);
    agent.work.insert(agent.work.end(), leases.begin(), leases.end());
  });
  if (offered.ok()) {
    agent.demand = *offered;
  } else if (offered.error().code() == Code::AgentNotFound) {
    agent.id.reset();
  }
}

void World::send_result(SimAgent& agent, const core::pb::ReportResult& result, bool kind) {
  core::pb::Command command;
  *command.mutable_report_result() = result;
  std::string key;
  bool merge = false;
  if (const auto lease = kernel_->state().leases.find(Fence{result.fence()});
      lease != kernel_->state().leases.end()) {
    key = to_text(lease->second.run) + "/" + lease->second.task_key + "#" +
          std::to_string(lease->second.attempt);
    merge = lease->second.merge;
  }
  agent.sent.push_back(result);
  if (agent.sent.size() > 8) agent.sent.erase(agent.sent.begin());
  kernel_->propose(std::move(command), [this, &agent, result, key, merge](const Result<core::Reply>& reply) {
    if (!reply.ok()) return;  // it stays in `sent` and is tried again
    std::erase_if(agent.sent, [&](const auto& other) { return other.fence() == result.fence(); });
    switch (reply->result) {
      case core::Reply::Result::kAccepted:
        if (!accepted_fences_.insert(result.fence()).second)
          broken_ = "one lease had two accepted results: " + key;
        if (merge) ++tally_.merges;
        if (!merge && result.outcome() == core::pb::ReportResult::SUCCEEDED && ++accepted_[key] > 1) {
          broken_ = "two accepted results for " + key;
        }
        break;
      case core::Reply::Result::kDuplicate:
        ++tally_.duplicate;
        break;
      default:
        ++tally_.stale;
        break;
    }
  });
  // The same once more, as a client does whose connection broke.
  if (!kind && random_.chance(1, 8)) {
    core::pb::Command again;
    *again.mutable_report_result() = result;
    kernel_->propose(std::move(again), [this, key](const Result<core::Reply>& reply) {
      if (reply.ok() && reply->result == core::Reply::Result::kAccepted) {
        // Possible only when the first copy did not make it into the log.
        ++tally_.duplicate;
      }
    });
  }
}

void World::agent_finish(SimAgent& agent, bool kind) {
  if (agent.work.empty()) return;
  const std::size_t pick = random_.below(agent.work.size());
  const core::Lease lease = agent.work[pick];
  agent.work.erase(agent.work.begin() + static_cast<std::ptrdiff_t>(pick));
  core::pb::ReportResult result;
  result.set_fence(lease.fence.value);
  result.set_run(lease.run.value);
  result.set_outcome(core::pb::ReportResult::SUCCEEDED);
  const std::uint64_t luck = kind ? 100 : random_.below(100);
  if (luck < 15) {
    result.set_outcome(core::pb::ReportResult::FAILED);
    result.set_error_code("COMMAND_FAILED");
    result.set_final(random_.chance(1, 10));
  } else if (luck < 20 && lease.merge) {
    result.set_outcome(core::pb::ReportResult::CONFLICT);
    result.set_conflict("<<<<<<<");
  } else if (luck < 24) {
    result.set_outcome(core::pb::ReportResult::CANCELLED);
  }
  if (lease.merge && random_.chance(1, 4)) {
    result.mutable_resolution()->set_agent_type("claude");
    result.mutable_resolution()->add_tries()->set_error_code("MERGE_CONFLICT");
    result.mutable_resolution()->add_tries();
    result.add_artifacts()->set_name("resolver/1/transcript.jsonl");
  }
  if (result.outcome() == core::pb::ReportResult::SUCCEEDED) {
    if (lease.merge) {
      result.set_head("head-" + std::to_string(lease.fence.value));
    } else {
      if (random_.chance(1, 2)) result.set_output(R"({"n": )" + std::to_string(random_.below(100)) + "}");
      if (random_.chance(2, 3)) {
        result.set_commit("commit-" + std::to_string(lease.fence.value));
        result.set_branch("branch");
      }
    }
  }
  // Most keep to what they may spend, some claim more.
  const auto most = static_cast<std::uint64_t>(std::max<std::int64_t>(lease.reserve_microusd, 0));
  if (!kind || random_.chance(1, 2)) {
    result.set_cost_microusd(static_cast<std::int64_t>(random_.below(most + (kind ? 1 : 4))));
  }
  send_result(agent, result, kind);
}

void World::agent_turn(SimAgent& agent, bool kind) {
  if (!kernel_->leading()) return;
  if (!agent.id) return agent_register(agent);
  if (!kind && random_.chance(1, 60)) {
    // It dies and comes back under its name, or falls silent for a while with its work.
    if (agent.demand) kernel_->withdraw(*agent.demand);
    agent.demand.reset();
    if (random_.chance(1, 2)) {
      agent.id.reset();
      agent.work.clear();
    } else {
      agent.deaf_until_us = clock_.steady_us + static_cast<std::int64_t>(random_.below(90'000'000));
    }
    return;
  }
  if (clock_.steady_us >= agent.deaf_until_us) {
    std::vector<Fence> fences;
    for (const core::Lease& lease : agent.work) fences.push_back(lease.fence);
    const auto unknown = kernel_->heartbeat(*agent.id, fences);
    if (kind || random_.chance(1, 2)) {
      std::erase_if(agent.work, [&](const core::Lease& lease) {
        return std::find(unknown.begin(), unknown.end(), lease.fence) != unknown.end();
      });
    }
  }
  if (!agent.sent.empty() && (kind || random_.chance(1, 4))) {
    const core::pb::ReportResult again = agent.sent[random_.below(agent.sent.size())];
    send_result(agent, again, kind);
  }
  // An agent that lies: a result for a lease that it never had.
  if (!kind && random_.chance(1, 200)) {
    core::pb::ReportResult lie;
    lie.set_fence(random_.below(50) + 1'000'000);
    lie.set_run(1);
    lie.set_outcome(core::pb::ReportResult::SUCCEEDED);
    send_result(agent, lie, true);
  }
  if (random_.chance(1, 4)) call_models(agent);
  if (random_.chance(1, 2)) {
    agent_finish(agent, kind);
  } else {
    agent_offer(agent);
  }
}

}  // namespace ez::sim
