// Snapshots: the primary state as a sequence of length-prefixed protobuf Items (core/snapshot.proto).
// docs/formats/snapshot.md describes the bytes. The record of a finished run in history is the same Run
// message.
//
// Threads: freeze() on the loop (microseconds: pages are shared, not copied); the Frozen value may then be
// encoded on any other thread while the loop goes on.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/state.h"

namespace ez::core {

// The primary state at one log index, immutable.
struct Frozen {
  std::uint64_t next_run = 0;
  std::uint64_t next_agent = 0;
  std::uint64_t next_fence = 0;
  std::int64_t now_ms = 0;
  LogIndex applied;
  std::map<std::pair<std::string, std::string>, std::vector<std::shared_ptr<const WorkflowVersion>>>
      workflows;
  std::map<AgentId, Agent> agents;
  std::map<Fence, Lease> leases;
  std::map<std::string, IdempotencyEntry> idempotency;
  std::vector<Namespace> namespaces;  // by name; those with settings or without workflows
  std::map<std::string, Pause> pauses;
  std::map<std::string, std::int64_t> rates;
  std::map<std::string, Cow<Schedule>> schedules;
  CostTable cost_totals;
  std::map<std::uint64_t, Cow<RunPage>> pages;
};

[[nodiscard]] Frozen freeze(const State& state);

// Calls `write` with pieces of at most about 1 MiB (one run may be larger); stops at the first error.
[[nodiscard]] Status encode_snapshot(const Frozen& frozen,
                                     const std::function<Status(std::string_view)>& write);

// Reads a whole snapshot through `read` (empty piece: the end) into an empty state, derived parts included.
// Errors: SNAPSHOT_DAMAGED, VERSION_BARRIER.
[[nodiscard]] Status decode_snapshot(const std::function<Result<std::string>()>& read, State& state);

[[nodiscard]] std::string encode_run(const Run& run);
// `find` gives the workflow version that the record names. Errors: SNAPSHOT_DAMAGED, WORKFLOW_NOT_FOUND.
[[nodiscard]] Result<Run> decode_run(std::string_view bytes, const State& state);

// SHA-256 over the encoded primary state: equal on every replica that applied the same commands.
[[nodiscard]] std::string state_hash(const State& state);

}  // namespace ez::core
