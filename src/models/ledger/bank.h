// Bank: where the money of leases is kept. The ledger draws allowances from it and tells it what calls cost.
// Implemented over the log (http/gateway/engine_bank.h) and, for tests, in memory.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"

namespace ez::models {

// What the gateway has to know of a live lease.
struct LeaseInfo {
  Fence fence;  // invalid: of no lease; what it costs is only counted
  RunId run;
  std::string task;
  std::string agent;  // its name
  std::string agent_type;
  std::string name_space;
  std::vector<std::string> models;   // patterns that the task allows; empty: all
  std::int64_t limit_microusd = -1;  // what it may still cost; -1: no limit
  bool has_open = false;             // allowances of a gateway that forgot them (before a restart)
};

// What calls cost, summed up.
struct UsageSum {
  std::uint64_t calls = 0;
  std::uint64_t failed = 0;
  std::uint64_t input_tokens = 0;
  std::uint64_t cache_read_tokens = 0;
  std::uint64_t cache_write_tokens = 0;
  std::uint64_t output_tokens = 0;
  std::int64_t microusd = 0;
  void add(const UsageSum& other);
};

struct UsageKey {
  std::string provider;
  std::string model;
  std::string key;  // label
  bool replayed = false;
  auto operator<=>(const UsageKey&) const = default;
};

struct UsageRow {
  Fence fence;
  std::string name_space;
  UsageKey key;
  UsageSum sum;
};

struct AllowanceReturn {
  Fence fence;
  std::int64_t microusd = 0;
};

struct UsageBatch {
  std::vector<UsageRow> rows;
  std::vector<AllowanceReturn> returns;  // after the rows
  [[nodiscard]] bool empty() const { return rows.empty() && returns.empty(); }
};

// Threads: everything from any thread; callbacks come once, on any thread, and must be quick.
class Bank {
 public:
  virtual ~Bank() = default;
  // Errors: LEASE_STALE.
  virtual void find(Fence fence, std::function<void(Result<LeaseInfo>)> found) = 0;
  // At least `need`, as much of `want` as fits. `fresh`: see LeaseInfo::has_open. Durable when it is
  // answered. Errors: BUDGET_EXCEEDED, LEASE_STALE, and those of the log.
  virtual void draw(Fence fence, std::int64_t need, std::int64_t want, bool fresh,
                    std::function<void(Result<std::int64_t>)> drawn) = 0;
  // In order with other calls of the same caller. An error says that nothing of it was taken; OUTCOME_UNKNOWN
  // that it may have been.
  virtual void record(UsageBatch batch, std::function<void(const Status&)> done) = 0;
};

}  // namespace ez::models
