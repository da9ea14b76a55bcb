// Ledger: reserve before a call leaves, settle when it is over, exact under any concurrency
// (docs/adr/0029-allowances.md).
//
//   lease's reserve ── draw (log) ──▶ free ── reserve ──▶ reserved by calls ── settle ──▶ rows (log, batched)
//                   ◀─ give back ────────◀──────────────────────────── rest ──┘
//
// A draw is durable before a call that needs it leaves; a row may reach the log later, because until then its
// money counts as drawn. So a crash never loses money out of sight: what was drawn and not recorded counts as
// spent.
//
// When the money does not suffice while other calls of the lease are under way, a call waits (in order) for
// what they give back; when nothing is under way it is refused with BUDGET_EXCEEDED.
//
// Threads. Everything is thread-safe; callbacks come on the caller's thread or on one of the bank's.
// Bounds: kMaxAccounts, kMaxWaiters per account.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "models/ledger/bank.h"

namespace ez::models {

inline constexpr std::size_t kMaxAccounts = 100'000;
inline constexpr std::size_t kMaxWaiters = 1'000;
inline constexpr std::int64_t kIdleReturnUs = 2'000'000;  // an idle account gives its allowance back

class Ledger;

// The money of one lease, or of one principal without a lease.
class Account {
 public:
  explicit Account(LeaseInfo given) : info(std::move(given)), fresh_(info.has_open) {}
  const LeaseInfo info;

 private:
  friend class Ledger;
  struct Waiter {
    std::int64_t need = 0;
    std::function<void(const Status&)> done;
  };
  std::mutex mutex_;
  // Guarded by mutex_:
  std::int64_t free_ = 0;
  std::int64_t reserved_ = 0;
  std::int64_t free_at_draw_ = 0;
  std::uint64_t calls_ = 0;  // that hold a reservation, also one of nothing
  std::deque<Waiter> waiters_;
  std::map<UsageKey, UsageSum> rows_;  // not yet recorded
  UsageSum total_;                     // of all that was settled since the account was opened
  std::map<std::uint64_t, std::function<void()>> aborts_;
  std::uint64_t next_abort_ = 1;
  std::int64_t used_us_ = 0;
  bool fresh_ = false;
  bool drawing_ = false;
  bool closed_ = false;
  bool dirty_ = false;  // in Ledger::dirty_
};
using AccountPtr = std::shared_ptr<Account>;

class Ledger {
 public:
  // Both outlive the ledger.
  // `wake` (any thread, quick) is called when there is something for flush() to do.
  Ledger(Bank& bank, Clock& clock, std::function<void()> wake = nullptr)
      : bank_(bank), clock_(clock), wake_(std::move(wake)) {}

  // The account of a live lease; found in memory when it was asked for before. Errors: LEASE_STALE,
  // OVERLOADED.
  void open(Fence fence, std::function<void(Result<AccountPtr>)> opened);
  // The same when it is in memory, otherwise null.
  [[nodiscard]] AccountPtr known(Fence fence) const { return find(fence); }
  // An account without a lease: calls are counted, nothing limits them.
  [[nodiscard]] AccountPtr open_free(const std::string& principal, const std::string& name_space);

  // `done` once: OK when so much is set aside, BUDGET_EXCEEDED, LEASE_STALE, OVERLOADED, or the log's error.
  void reserve(const AccountPtr& account, std::int64_t microusd, std::function<void(const Status&)> done);
  // The same out of what is free in memory alone, at once; false: not so much, or others wait for it.
  [[nodiscard]] bool reserve_now(const AccountPtr& account, std::int64_t microusd);
  // The call is over; at most what was reserved is counted.
  void settle(const AccountPtr& account, std::int64_t reserved_microusd, UsageKey key, UsageSum sum);

  // What the account's calls came to since it was opened, and how many are under way.
  struct Total {
    UsageSum sum;
    std::uint64_t under_way = 0;
  };
  [[nodiscard]] Total total(const AccountPtr& account) const;

  // `abort` is called when the lease is over, on any thread; 0 when it is over already (abort is not called).
  [[nodiscard]] std::uint64_t on_over(const AccountPtr& account, std::function<void()> abort);
  void forget(const AccountPtr& account, std::uint64_t abort);

  // The lease is over, or its agent is about to say so: its calls are broken off, what is known is recorded
  // before this returns (in the order of the bank), and the key is no longer good. Calls under way keep what
  // they reserved; it counts as spent unless they settle before the lease ends.
  void close(Fence fence);
  // Gives back what the accounts of a run do not need just now; for a run that is about to be cancelled.
  void give_back(RunId run);

  // Records what is not recorded and gives idle allowances back. Call it a moment after `wake`; true: again
  // in a moment. With `all` everything that is free is given back: the server stops.
  bool flush(bool all = false);

  [[nodiscard]] std::size_t accounts() const;

 private:
  void pump(const AccountPtr& account);
  void mark(const AccountPtr& account, std::unique_lock<std::mutex>& lock);
  void take_rows(Account& account, UsageBatch& batch);
  void send(UsageBatch batch);
  void put_back(const UsageBatch& batch);
  [[nodiscard]] AccountPtr find(Fence fence) const;

  Bank& bank_;
  Clock& clock_;
  const std::function<void()> wake_;
  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, AccountPtr> accounts_;  // by fence
  std::map<std::string, AccountPtr> free_accounts_;         // by principal and namespace
  std::vector<AccountPtr> dirty_;
  bool flushing_ = false;  // flush() is running, or is going to be called again
};

}  // namespace ez::models
