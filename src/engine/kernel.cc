#include "engine/kernel.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>

#include "core/apply.h"
#include "core/snapshot.h"
#include "engine/run_blobs.h"
#include "engine/schedule_planner.h"

namespace ez::engine {
namespace {

constexpr std::size_t kBatchBytes = 1024 * 1024;
constexpr std::size_t kBatchCommands = 2048;
constexpr std::uint32_t kTimersPerTick = 1000;
constexpr std::size_t kMaxUnanswered = 64;  // records on their way through the log

// A Batch is put together by hand, because its commands are bytes already.
void append_field(std::string& out, int field, google::protobuf::internal::WireFormatLite::WireType type,
                  std::uint32_t number) {
  using google::protobuf::internal::WireFormatLite;
  using google::protobuf::io::CodedOutputStream;
  std::uint8_t bytes[10];
  std::uint8_t* end = WireFormatLite::WriteTagToArray(field, type, bytes);
  end = CodedOutputStream::WriteVarint32ToArray(number, end);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(end - bytes));
}

}  // namespace

Kernel::Kernel(KernelOptions options, log::Log& log, Clock& clock, Random& random, KernelListener& listener)
    : options_(options),
      log_(log),
      clock_(clock),
      random_(random),
      listener_(listener),
      zones_(clock),
      liveness_(options.agent_timeout_ms) {}

Kernel::~Kernel() = default;

Status Kernel::recover(LogIndex history_position) {
  EZ_ASSIGN(auto snapshot, log_.newest_snapshot());
  if (snapshot && history_position < snapshot->index()) {
    EZ_ASSIGN(snapshot, log_.oldest_snapshot());
  }
  if (snapshot) {
    EZ_TRY(core::decode_snapshot([&] { return snapshot->read(1024 * 1024); }, state_));
    state_.applied = snapshot->index();
  }
  return log_.start(state_.applied, *this);
}

void Kernel::step(std::chrono::microseconds wait) {
  if (failure_) return;
  if (leading_) {
    fire_timers();
    plan_schedules();
    expire();
    dispatch();
    append_proposals();
  }
  log_.poll(tickets_.empty() && queue_.empty() ? wait : std::chrono::microseconds(0));
  // What the committed records made ready is on its way to agents before the caller turns to anything else.
  if (leading_ && !failure_) {
    dispatch();
    append_proposals();
  }
}

std::chrono::microseconds Kernel::idle_time() const {
  if (!queue_.empty() || !tickets_.empty()) return std::chrono::microseconds(0);
  std::int64_t wait_us = 1'000'000;
  if (leading_) {
    const std::int64_t now_us = clock_.monotonic_us();
    if (!state_.timers.empty()) {
      wait_us = std::min(wait_us, (state_.timers.begin()->due_ms - clock_.now_ms()) * 1000);
    }
    if (!state_.unplanned.empty() && !plan_outstanding_) wait_us = 0;
    if (const std::int64_t due = liveness_.next_due_us(); due != INT64_MAX)
      wait_us = std::min(wait_us, due - now_us);
    if (internal_hold_us_ > now_us) wait_us = std::max(wait_us, internal_hold_us_ - now_us);
  }
  return std::chrono::microseconds(std::max<std::int64_t>(wait_us, 0));
}

void Kernel::propose(core::pb::Command command, Done done) {
  if (failure_) return done(*failure_);
  if (!leading_) return done(Error(Code::NotLeader, "this server does not lead the log now"));
  if (queue_.size() + in_flight_ >= kMaxPending) {
    ++counters_.refused;
    return done(Error(Code::Overloaded, std::to_string(kMaxPending) + " commands wait for the log already"));
  }
  command.set_now_ms(clock_.now_ms());
  command.set_jitter_seed(random_.next());
  const std::size_t size = command.ByteSizeLong();
  if (size > kMaxCommandBytes) {
    return done(Error(Code::PayloadTooLarge,
                      "the command has more than " + std::to_string(kMaxCommandBytes) + " bytes"));
  }
  std::string bytes(size, '\0');
  command.SerializeWithCachedSizesToArray(reinterpret_cast<std::uint8_t*>(bytes.data()));
  queue_.push_back({std::move(command), std::move(bytes), std::move(done)});
}

void Kernel::append_proposals() {
  while (!queue_.empty() && tickets_.size() < kMaxUnanswered) {
    using google::protobuf::internal::WireFormatLite;
    std::string batch;
    append_field(batch, core::pb::Batch::kSemanticsFieldNumber, WireFormatLite::WIRETYPE_VARINT,
                 core::kSemantics);
    std::vector<Proposal> proposals;
    while (!queue_.empty() && batch.size() < kBatchBytes && proposals.size() < kBatchCommands) {
      proposals.push_back(std::move(queue_.front()));
      queue_.pop_front();
      const std::string bytes = std::exchange(proposals.back().bytes, {});
      append_field(batch, core::pb::Batch::kCommandsFieldNumber, WireFormatLite::WIRETYPE_LENGTH_DELIMITED,
                   static_cast<std::uint32_t>(bytes.size()));
      batch += bytes;
    }
    const log::Ticket ticket{next_ticket_++};
    const std::size_t count = proposals.size();
    // Known before the append, because a provider may answer from inside it.
    in_flight_ += count;
    tickets_.emplace(ticket.value, std::move(proposals));
    const Status status = log_.append(epoch_, ticket, std::move(batch));
    if (status.ok()) continue;
    auto refused = std::move(tickets_.at(ticket.value));
    tickets_.erase(ticket.value);
    in_flight_ -= count;
    counters_.refused += count;
    for (Proposal& proposal : refused) proposal.done(status.error());
  }
}

void Kernel::committed(const log::Record& record) {
  std::uint64_t event_id = record.index.value * kEventsPerRecord;
  if (const auto mine = tickets_.find(record.ticket.value);
      record.ticket.value != 0 && mine != tickets_.end()) {
    std::vector<Proposal> proposals = std::move(mine->second);
    tickets_.erase(mine);
    in_flight_ -= proposals.size();
    ++counters_.records;
    for (Proposal& proposal : proposals) {
      carry_out(proposal.command, record.index, event_id, &proposal.done);
    }
    return;
  }
  core::pb::Batch batch;
  if (!batch.ParseFromArray(record.bytes.data(), static_cast<int>(record.bytes.size()))) {
    return failed(
        Error(Code::LogDamaged, "record " + std::to_string(record.index.value) + " does not parse"));
  }
  if (batch.semantics() > core::kSemantics) {
    return failed(Error(Code::VersionBarrier, "record " + std::to_string(record.index.value) +
                                                  " needs semantics " + std::to_string(batch.semantics()) +
                                                  ", this ez knows " + std::to_string(core::kSemantics)));
  }
  ++counters_.records;
  for (const core::pb::Command& command : batch.commands()) {
    carry_out(command, record.index, event_id, nullptr);
  }
}

// `done`: of whoever proposed it here; null when nobody did.
void Kernel::carry_out(const core::pb::Command& command, LogIndex index, std::uint64_t& event_id,
                       Done* done) {
  effects_.clear();
  core::apply(state_, command, index, effects_);
  ++counters_.commands;
  const std::int64_t now_us = clock_.monotonic_us();
  for (const core::Lease& lease : effects_.reply.granted) liveness_.granted(lease, now_us);
  for (const Fence fence : effects_.ended) {
    liveness_.ended(fence);
    listener_.lease_ended(fence);
  }
  for (const AgentId agent : effects_.removed_agents) {
    dispatcher_.forget_agent(agent);
    liveness_.agent_removed(agent);
  }
  if (effects_.reply.agent.valid() && effects_.reply.created)
    liveness_.agent_seen(effects_.reply.agent, now_us);
  note(command);
  for (const auto& run : effects_.finished) {
    ++counters_.runs_finished;
    listener_.finished(run, index);
  }
  if (!effects_.events.empty()) {
    listener_.changed(effects_.events, event_id);
    event_id += effects_.events.size();
  }
  for (const core::Lease& lease : effects_.cancelled) listener_.cancel_work(lease);
  if (done != nullptr) std::exchange(*done, nullptr)(std::move(effects_.reply));
}

void Kernel::note(const core::pb::Command& command) {
  const core::Reply& reply = effects_.reply;
  counters_.runs_started += effects_.scheduled_starts;
  if (reply.error) return;
  if (command.has_start_run() && reply.created) {
    ++counters_.runs_started;
    // What it takes over of an earlier run is its own from now on: that one may leave history.
    std::vector<std::string> hashes;
    for (const auto& seed : command.start_run().seeds()) {
      for (const auto& artifact : seed.artifacts()) hashes.push_back(artifact.sha256());
      if (!seed.output_blob().empty()) hashes.push_back(seed.output_blob());
    }
    if (!hashes.empty()) listener_.blobs_referenced(to_text(reply.run), hashes);
  }
  if (command.has_import_run()) {
    for (const auto& run : effects_.finished) {
      if (auto hashes = blobs_of(*run); !hashes.empty()) listener_.blobs_referenced(to_text(run->id), hashes);
    }
  }
  if (command.has_assign()) counters_.assigned += reply.granted.size();
  if (command.has_register_workflow() && reply.created && command.register_workflow().files_size() > 0) {
    std::vector<std::string> hashes;
    for (const auto& file : command.register_workflow().files()) hashes.push_back(file.sha256());
    listener_.blobs_referenced("workflow/" + command.register_workflow().namespace_(), hashes);
  }
  if (!command.has_report_result()) return;
  const core::pb::ReportResult& result = command.report_result();
  switch (reply.result) {
    case core::Reply::Result::kAccepted:
      ++counters_.results_accepted;
      break;
    case core::Reply::Result::kDuplicate:
      ++counters_.results_duplicate;
      return;
    default:
      ++counters_.results_stale;
      return;
  }
  if (result.artifacts_size() == 0 && result.output_blob().empty()) return;
  std::vector<std::string> hashes;
  for (const auto& artifact : result.artifacts()) hashes.push_back(artifact.sha256());
  if (!result.output_blob().empty()) hashes.push_back(result.output_blob());
  listener_.blobs_referenced(to_text(reply.run), hashes);
}

void Kernel::append_ended(log::Ticket ticket, log::AppendOutcome outcome) {
  const auto found = tickets_.find(ticket.value);
  if (found == tickets_.end()) return;
  auto proposals = std::move(found->second);
  tickets_.erase(found);
  in_flight_ -= proposals.size();
  const Error error =
      outcome == log::AppendOutcome::kRejected
          ? Error(Code::NotLeader, "another server leads the log now")
          : Error(Code::OutcomeUnknown, "leadership was lost while the command was on its way");
  for (Proposal& proposal : proposals) proposal.done(error);
}

void Kernel::leadership(Epoch epoch, bool leading) {
  epoch_ = epoch;
  leading_ = leading;
  if (leading) {
    liveness_.reset(state_, clock_.monotonic_us());
    internal_hold_us_ = 0;
  } else {
    answer_all(Error(Code::NotLeader, "another server leads the log now"));
    dispatcher_.clear();
  }
  listener_.leadership(epoch, leading);
}

void Kernel::failed(const Error& error) {
  if (failure_) return;
  failure_ = error;
  leading_ = false;
  answer_all(error);
  // Records on their way may or may not be durable; nobody may be told that they are.
  auto tickets = std::move(tickets_);
  tickets_.clear();
  in_flight_ = 0;
  for (auto& [ticket, proposals] : tickets) {
    for (Proposal& proposal : proposals) {
      if (proposal.done) proposal.done(error);
    }
  }
  dispatcher_.clear();
  listener_.failed(error);
}

void Kernel::answer_all(const Error& error) {
  auto waiting = std::move(queue_);
  queue_.clear();
  for (Proposal& proposal : waiting) proposal.done(error);
}

bool Kernel::may_propose_internal() { return clock_.monotonic_us() >= internal_hold_us_; }

void Kernel::hold_internal() {
  internal_hold_us_ = clock_.monotonic_us() + options_.retry_internal_ms * 1000;
}

void Kernel::dispatch() {
  if (dispatcher_.size() == 0 || !may_propose_internal()) return;
  for (Assignment& assignment : dispatcher_.choose(state_)) {
    core::pb::Command command;
    core::pb::Assign* assign = command.mutable_assign();
    assign->set_agent(assignment.agent.value);
    for (const Assignment::Task& task : assignment.tasks) {
      auto* item = assign->add_items();
      item->set_run(task.run.value);
      item->set_task(task.task);
    }
    propose(std::move(command), [this, assignment = std::move(assignment)](Result<core::Reply> reply) {
      std::vector<core::Lease> granted;
      if (reply.ok()) {
        granted = std::move(reply->granted);
      } else {
        hold_internal();
      }
      undelivered(dispatcher_.ended(state_, assignment, std::move(granted)));
    });
  }
}

Result<DemandId> Kernel::offer(AgentId agent, std::uint32_t want, Dispatcher::Deliver deliver) {
  if (failure_) return *failure_;
  if (!leading_) return Error(Code::NotLeader, "this server does not lead the log now");
  liveness_.agent_seen(agent, clock_.monotonic_us());
  return dispatcher_.offer(state_, agent, want, std::move(deliver));
}

void Kernel::withdraw(DemandId id) { dispatcher_.withdraw(state_, id); }

void Kernel::undelivered(const std::vector<core::Lease>& leases) {
  if (leases.empty() || !leading_) return;
  core::pb::Command command;
  command.mutable_expire_leases()->set_reason("the work did not reach the agent");
  command.mutable_expire_leases()->set_undelivered(true);
  for (const core::Lease& lease : leases) command.mutable_expire_leases()->add_fences(lease.fence.value);
  // When it is refused, the leases end by their heartbeat instead.
  propose(std::move(command), [](const Result<core::Reply>&) {});
}

std::vector<Fence> Kernel::heartbeat(AgentId agent, const std::vector<Fence>& fences) {
  const std::int64_t now_us = clock_.monotonic_us();
  std::vector<Fence> unknown;
  if (state_.agents.contains(agent)) liveness_.agent_seen(agent, now_us);
  for (const Fence fence : fences) {
    const auto lease = state_.leases.find(fence);
    if (lease == state_.leases.end() || lease->second.agent != agent ||
        !liveness_.lease_seen(fence, now_us)) {
      unknown.push_back(fence);
    }
  }
  return unknown;
}

std::vector<core::Lease> Kernel::cancelled_work(AgentId agent) const {
  std::vector<core::Lease> out;
  const auto& cancelled = state_.cancelled_leases;
  for (auto at = cancelled.lower_bound({agent, Fence{}}); at != cancelled.end() && at->first == agent; ++at) {
    out.push_back(state_.leases.at(at->second));
  }
  return out;
}

void Kernel::fire_timers() {
  if (tick_outstanding_ || state_.timers.empty() || state_.timers.begin()->due_ms > clock_.now_ms()) return;
  if (!may_propose_internal()) return;
  core::pb::Command command;
  command.mutable_tick()->set_limit(kTimersPerTick);
  tick_outstanding_ = true;
  propose(std::move(command), [this](const Result<core::Reply>& reply) {
    tick_outstanding_ = false;
    if (!reply.ok()) hold_internal();
  });
}

void Kernel::plan_schedules() {
  if (plan_outstanding_ || state_.unplanned.empty() || !may_propose_internal()) return;
  core::pb::Command command;
  *command.mutable_plan_schedules() = plan_due_schedules(state_, zones_, clock_.now_ms(), random_);
  plan_outstanding_ = true;
  propose(std::move(command), [this](const Result<core::Reply>& reply) {
    plan_outstanding_ = false;
    if (!reply.ok()) hold_internal();
  });
}

void Kernel::expire() {
  if (expiry_outstanding_ || !may_propose_internal()) return;
  const std::int64_t now_us = clock_.monotonic_us();
  if (liveness_.next_due_us() > now_us) return;
  const auto fences = liveness_.silent_leases(now_us);
  if (!fences.empty()) {
    core::pb::Command command;
    command.mutable_expire_leases()->set_reason("no heartbeat of the agent");
    for (const Fence fence : fences) command.mutable_expire_leases()->add_fences(fence.value);
    expiry_outstanding_ = true;
    counters_.leases_expired += fences.size();
    return propose(std::move(command), [this](const Result<core::Reply>& reply) {
      expiry_outstanding_ = false;
      if (!reply.ok()) hold_internal();
    });
  }
  for (const AgentId agent : liveness_.silent_agents(now_us)) {
    core::pb::Command command;
    command.mutable_remove_agent()->set_agent(agent.value);
    command.mutable_remove_agent()->set_reason("it was silent for " +
                                               std::to_string(options_.agent_timeout_ms) + " ms");
    expiry_outstanding_ = true;
    return propose(std::move(command), [this, agent](const Result<core::Reply>& reply) {
      expiry_outstanding_ = false;
      if (!reply.ok()) return hold_internal();
      liveness_.agent_removed(agent);  // also when the state did not know it
    });
  }
}

bool Kernel::snapshot_due() const {
  return !snapshot_running_ && !failure_ && leading_ &&
         log_.bytes_since_snapshot() >= options_.snapshot_bytes;
}

void Kernel::snapshot_ended(LogIndex index, bool ok) {
  snapshot_running_ = false;
  if (!ok || failure_) return;
  ++counters_.snapshots;
  if (const Status status = log_.trim(index); !status.ok()) failed(status.error());
}

Status Kernel::seal() { return log_.seal(epoch_); }

}  // namespace ez::engine
