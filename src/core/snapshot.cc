#include "core/snapshot.h"

#include "base/sha256.h"
#include "core/rate.h"
#include "core/run_codec.h"
#include "core/schedule_codec.h"
#include "core/snapshot.pb.h"
#include "orchestration/parse.h"

namespace ez::core {
namespace {

constexpr std::size_t kPieceBytes = 1024 * 1024;
constexpr std::size_t kMaxItemBytes = 512 * 1024 * 1024;

// Collects items as <4-byte little-endian length><bytes> and hands them on in pieces.
class Encoder {
 public:
  explicit Encoder(const std::function<Status(std::string_view)>& write) : write_(write) {}

  Status add(const pb::Item& item) {
    const std::size_t size = item.ByteSizeLong();
    const std::size_t start = buffer_.size();
    buffer_.resize(start + 4 + size);
    for (int i = 0; i < 4; ++i) buffer_[start + i] = static_cast<char>((size >> (8 * i)) & 0xff);
    EZ_CHECK(item.SerializeToArray(buffer_.data() + start + 4, static_cast<int>(size)),
             "an item did not serialize");
    ++items_;
    return buffer_.size() >= kPieceBytes ? flush() : Status();
  }
  Status flush() {
    if (buffer_.empty()) return {};
    const Status status = write_(buffer_);
    buffer_.clear();
    return status;
  }
  [[nodiscard]] std::uint64_t items() const { return items_; }

 private:
  const std::function<Status(std::string_view)>& write_;
  std::string buffer_;
  std::uint64_t items_ = 0;
};

void encode(const WorkflowVersion& version, pb::WorkflowVersion& out) {
  out.set_namespace_(version.namespace_name);
  out.set_version(version.version);
  out.set_canonical(version.canonical);
  out.set_source(version.source);
  out.set_registered_ms(version.registered_ms);
  for (const ShippedFile& file : version.files) {
    pb::ShippedFile* slot = out.add_files();
    slot->set_path(file.path);
    slot->set_sha256(file.sha256);
    slot->set_mode(file.mode);
  }
}

void encode(const Agent& agent, pb::Agent& out) {
  out.set_id(agent.id.value);
  out.set_name(agent.name);
  out.set_type(agent.type);
  for (const std::string& capability : agent.capabilities) out.add_capabilities(capability);
  out.set_capacity(agent.capacity);
  out.set_registered_ms(agent.registered_ms);
  out.set_completed(agent.completed);
  out.set_failed(agent.failed);
}

void encode(const Lease& lease, pb::Lease& out) {
  out.set_fence(lease.fence.value);
  out.set_run(lease.run.value);
  out.set_task(lease.task);
  out.set_attempt(lease.attempt);
  out.set_agent(lease.agent.value);
  out.set_merge(lease.merge);
  out.set_cancelled(lease.cancelled);
  out.set_granted_ms(lease.granted_ms);
  out.set_heartbeat_ms(lease.heartbeat_ms);
  out.set_task_key(lease.task_key);
  out.set_reserve(static_cast<std::uint64_t>(lease.reserve_microusd + 1));
  out.set_open_microusd(lease.open_microusd);
  out.set_metered(lease.metered);
  out.set_lent_microusd(lease.lent_microusd);
}

Status decode(const pb::WorkflowVersion& in, State& state) {
  auto version = std::make_shared<WorkflowVersion>();
  EZ_ASSIGN(version->definition, orchestration::from_canonical(in.canonical()));
  version->namespace_name = in.namespace_();
  version->version = in.version();
  version->canonical = in.canonical();
  version->source = in.source();
  version->registered_ms = in.registered_ms();
  for (const pb::ShippedFile& file : in.files())
    version->files.push_back({file.path(), file.sha256(), file.mode()});
  const auto newest = state.find_workflow(version->namespace_name, version->definition->name, 0);
  if (version->version != (newest ? newest->version : 0) + 1) {
    return Error(Code::SnapshotDamaged,
                 "the versions of workflow " + version->definition->name + " have a gap");
  }
  state.add_workflow(std::move(version));
  return {};
}

void decode(const pb::Agent& in, State& state) {
  Agent agent;
  agent.id = AgentId{in.id()};
  agent.name = in.name();
  agent.type = in.type();
  agent.capabilities.assign(in.capabilities().begin(), in.capabilities().end());
  agent.capacity = in.capacity();
  agent.registered_ms = in.registered_ms();
  agent.completed = in.completed();
  agent.failed = in.failed();
  state.add_agent(std::move(agent));
}

void decode(const pb::Lease& in, State& state) {
  state.add_lease({Fence{in.fence()}, RunId{in.run()}, in.task(), in.attempt(), AgentId{in.agent()},
                   in.merge(), in.cancelled(), in.granted_ms(), in.heartbeat_ms(), in.task_key(),
                   static_cast<std::int64_t>(in.reserve()) - 1, in.open_microusd(), in.metered(),
                   in.lent_microusd()});
}

class Decoder {
 public:
  explicit Decoder(State& state) : state_(state) {}

  Status add(const pb::Item& item) {
    if (done_) return Error(Code::SnapshotDamaged, "items after the footer");
    if (items_ == 0 && !item.has_header())
      return Error(Code::SnapshotDamaged, "the first item is not a header");
    switch (item.body_case()) {
      case pb::Item::kHeader:
        EZ_TRY(header(item.header()));
        break;
      case pb::Item::kNamespaceSettings: {
        const pb::NamespaceSettings& in = item.namespace_settings();
        Namespace& owner = state_.namespaces[state_.namespace_of(in.name())];
        owner.weight = in.weight();
        owner.max_running = in.max_running();
        break;
      }
      case pb::Item::kCostTotal: {
        auto [key, sum] = decode_cost(item.cost_total());
        state_.cost_totals.insert_or_assign(std::move(key), sum);
        break;
      }
      case pb::Item::kPause: {
        const pb::PauseRecord& in = item.pause();
        put_pause(state_, {static_cast<PauseKind>(in.kind()), in.namespace_(), in.name(), in.active(),
                           in.principal(), in.comment(), in.since_ms(), in.resumed_ms()});
        break;
      }
      case pb::Item::kRate:
        put_rate(state_, item.rate().key(), item.rate().full_us());
        break;
      case pb::Item::kSchedule:
        EZ_TRY(decode_schedule(item.schedule(), state_));
        break;
      case pb::Item::kWorkflow:
        EZ_TRY(decode(item.workflow(), state_));
        break;
      case pb::Item::kAgent:
        decode(item.agent(), state_);
        break;
      case pb::Item::kLease:
        decode(item.lease(), state_);
        break;
      case pb::Item::kIdempotency: {
        const pb::IdempotencyKey& key = item.idempotency();
        state_.idempotency[key.key()] = {RunId{key.run()}, key.created_ms(), key.request_hash()};
        state_.idempotency_ages.insert({key.created_ms(), key.key()});
        break;
      }
      case pb::Item::kRun: {
        EZ_ASSIGN(Run run, decode_run(item.run(), state_));
        if (state_.find_run(run.id) != nullptr) {
          return Error(Code::SnapshotDamaged, to_text(run.id) + " appears twice");
        }
        const RunId id = run.id;
        state_.add_run(Cow<Run>(std::move(run)));
        state_.derive_run(*state_.find_run(id));
        break;
      }
      case pb::Item::kFooter:
        if (item.footer().items() != items_) return Error(Code::SnapshotDamaged, "items are missing");
        done_ = true;
        break;
      case pb::Item::BODY_NOT_SET:
        return Error(Code::SnapshotDamaged, "an item of a kind that this version does not know");
    }
    ++items_;
    return {};
  }
  [[nodiscard]] bool done() const { return done_; }

 private:
  Status header(const pb::Header& header) {
    if (header.semantics() > kSemantics) {
      return Error(Code::VersionBarrier, "the snapshot needs semantics " +
                                             std::to_string(header.semantics()) + ", this ez knows " +
                                             std::to_string(kSemantics));
    }
    state_.next_run = header.next_run();
    state_.next_agent = header.next_agent();
    state_.next_fence = header.next_fence();
    state_.now_ms = header.now_ms();
    state_.applied = LogIndex{header.applied_index()};
    return {};
  }
  State& state_;
  std::uint64_t items_ = 0;
  bool done_ = false;
};

}  // namespace

Frozen freeze(const State& state) {
  Frozen frozen;
  frozen.next_run = state.next_run;
  frozen.next_agent = state.next_agent;
  frozen.next_fence = state.next_fence;
  frozen.now_ms = state.now_ms;
  frozen.applied = state.applied;
  frozen.workflows = state.workflows;
  frozen.agents = state.agents;
  frozen.leases = state.leases;
  frozen.idempotency = state.idempotency;
  frozen.pauses = state.pauses;
  frozen.rates = state.rates;
  frozen.schedules = state.schedules;
  frozen.pages = state.pages;
  frozen.cost_totals = state.cost_totals;
  for (const auto& [name, id] : state.namespace_ids) {
    const Namespace& owner = state.namespaces[id];
    // One that a workflow names comes back with it.
    const auto workflow = state.workflows.lower_bound({name, std::string()});
    const bool named = workflow != state.workflows.end() && workflow->first.first == name;
    if (owner.weight != 1 || owner.max_running != 0 || !named) frozen.namespaces.push_back(owner);
  }
  return frozen;
}

Status encode_snapshot(const Frozen& frozen, const std::function<Status(std::string_view)>& write) {
  Encoder encoder(write);
  {
    pb::Item item;
    pb::Header* header = item.mutable_header();
    header->set_semantics(kSemantics);
    header->set_next_run(frozen.next_run);
    header->set_next_agent(frozen.next_agent);
    header->set_next_fence(frozen.next_fence);
    header->set_now_ms(frozen.now_ms);
    header->set_applied_index(frozen.applied.value);
    EZ_TRY(encoder.add(item));
  }
  for (const Namespace& owner : frozen.namespaces) {
    pb::Item item;
    pb::NamespaceSettings* slot = item.mutable_namespace_settings();
    slot->set_name(owner.name);
    slot->set_weight(owner.weight);
    slot->set_max_running(owner.max_running);
    EZ_TRY(encoder.add(item));
  }
  for (const auto& [name, versions] : frozen.workflows) {
    for (const auto& version : versions) {
      pb::Item item;
      encode(*version, *item.mutable_workflow());
      EZ_TRY(encoder.add(item));
    }
  }
  for (const auto& [key, pause] : frozen.pauses) {
    pb::Item item;
    pb::PauseRecord* slot = item.mutable_pause();
    slot->set_kind(static_cast<std::uint32_t>(pause.kind));
    slot->set_namespace_(pause.name_space);
    slot->set_name(pause.name);
    slot->set_active(pause.active);
    slot->set_principal(pause.principal);
    slot->set_comment(pause.comment);
    slot->set_since_ms(pause.since_ms);
    slot->set_resumed_ms(pause.resumed_ms);
    EZ_TRY(encoder.add(item));
  }
  for (const auto& [key, full_us] : frozen.rates) {
    pb::Item item;
    item.mutable_rate()->set_key(key);
    item.mutable_rate()->set_full_us(full_us);
    EZ_TRY(encoder.add(item));
  }
  for (const auto& [key, schedule] : frozen.schedules) {
    pb::Item item;
    encode_schedule(*schedule, *item.mutable_schedule());
    EZ_TRY(encoder.add(item));
  }
  for (const auto& [key, sum] : frozen.cost_totals) {
    pb::Item item;
    encode_cost(key, sum, *item.mutable_cost_total());
    EZ_TRY(encoder.add(item));
  }
  for (const auto& [id, agent] : frozen.agents) {
    pb::Item item;
    encode(agent, *item.mutable_agent());
    EZ_TRY(encoder.add(item));
  }
  for (const auto& [fence, lease] : frozen.leases) {
    pb::Item item;
    encode(lease, *item.mutable_lease());
    EZ_TRY(encoder.add(item));
  }
  for (const auto& [key, entry] : frozen.idempotency) {
    pb::Item item;
    pb::IdempotencyKey* slot = item.mutable_idempotency();
    slot->set_key(key);
    slot->set_run(entry.run.value);
    slot->set_created_ms(entry.created_ms);
    slot->set_request_hash(entry.request_hash);
    EZ_TRY(encoder.add(item));
  }
  for (const auto& [number, page] : frozen.pages) {
    for (const Cow<Run>& run : page->runs) {
      if (!run) continue;
      pb::Item item;
      encode_run(*run, *item.mutable_run());
      EZ_TRY(encoder.add(item));
    }
  }
  pb::Item footer;
  footer.mutable_footer()->set_items(encoder.items());
  EZ_TRY(encoder.add(footer));
  return encoder.flush();
}

Status decode_snapshot(const std::function<Result<std::string>()>& read, State& state) {
  Decoder decoder(state);
  std::string buffer;
  std::size_t at = 0;
  while (true) {
    EZ_ASSIGN(const std::string piece, read());
    if (piece.empty()) break;
    buffer.erase(0, at);
    at = 0;
    buffer += piece;
    while (buffer.size() - at >= 4) {
      std::size_t size = 0;
      for (int i = 0; i < 4; ++i) size |= std::size_t{static_cast<unsigned char>(buffer[at + i])} << (8 * i);
      if (size > kMaxItemBytes) return Error(Code::SnapshotDamaged, "an item has an impossible length");
      if (buffer.size() - at - 4 < size) break;
      pb::Item item;
      if (!item.ParseFromArray(buffer.data() + at + 4, static_cast<int>(size))) {
        return Error(Code::SnapshotDamaged, "an item does not parse");
      }
      EZ_TRY(decoder.add(item));
      at += 4 + size;
    }
  }
  if (at != buffer.size() || !decoder.done())
    return Error(Code::SnapshotDamaged, "the snapshot is cut short");
  return {};
}

std::string encode_run(const Run& run) {
  pb::Run record;
  encode_run(run, record);
  return record.SerializeAsString();
}

Result<Run> decode_run(std::string_view bytes, const State& state) {
  pb::Run record;
  if (!record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Error(Code::SnapshotDamaged, "the record of a run does not parse");
  }
  return decode_run(record, state);
}

std::string state_hash(const State& state) {
  Sha256 hash;
  const Status status = encode_snapshot(freeze(state), [&](std::string_view piece) {
    hash.update(piece);
    return Status();
  });
  EZ_CHECK(status.ok(), "hashing cannot fail");
  return hash.finish_hex();
}

}  // namespace ez::core
