#include "models/ledger/ledger.h"

#include <algorithm>

namespace ez::models {
namespace {

// An allowance beyond what the next call needs, so that most calls need no trip through the log: small enough
// that a crash, which counts it as spent, costs little.
std::int64_t wanted(std::int64_t need, std::int64_t limit) {
  constexpr std::int64_t kLeast = 50'000;  // five cents
  constexpr std::int64_t kCalls = 4;
  constexpr std::int64_t kShare = 8;
  if (need > INT64_MAX / 8) return need;
  const std::int64_t want = std::max(need * kCalls, kLeast);
  return limit < 0 ? want : std::max(need, std::min(want, limit / kShare));
}

Error stale(const LeaseInfo& info) {
  return Error(Code::LeaseStale, "the work of task " + info.task + " of " + to_text(info.run) + " is over");
}

}  // namespace

void UsageSum::add(const UsageSum& other) {
  calls += other.calls;
  failed += other.failed;
  input_tokens += other.input_tokens;
  cache_read_tokens += other.cache_read_tokens;
  cache_write_tokens += other.cache_write_tokens;
  output_tokens += other.output_tokens;
  microusd += other.microusd;
}

AccountPtr Ledger::find(Fence fence) const {
  std::lock_guard lock(mutex_);
  const auto found = accounts_.find(fence.value);
  return found == accounts_.end() ? nullptr : found->second;
}

std::size_t Ledger::accounts() const {
  std::lock_guard lock(mutex_);
  return accounts_.size();
}

void Ledger::open(Fence fence, std::function<void(Result<AccountPtr>)> opened) {
  if (AccountPtr known = find(fence)) return opened(std::move(known));
  bank_.find(fence, [this, opened = std::move(opened)](Result<LeaseInfo> found) {
    if (!found.ok()) return opened(found.error());
    AccountPtr account;
    {
      std::lock_guard lock(mutex_);
      const std::uint64_t key = found->fence.value;
      if (const auto known = accounts_.find(key); known != accounts_.end()) {
        account = known->second;
      } else if (accounts_.size() < kMaxAccounts) {
        account = std::make_shared<Account>(std::move(found).value());
        accounts_.emplace(key, account);
      }
    }
    if (!account) return opened(Error(Code::Overloaded, "too many tasks use the model gateway at a time"));
    opened(std::move(account));
  });
}

AccountPtr Ledger::open_free(const std::string& principal, const std::string& name_space) {
  std::lock_guard lock(mutex_);
  // Principals are few: they are configured. Beyond the bound they share an account.
  const std::string key = free_accounts_.size() < kMaxWaiters ? principal + "\n" + name_space : "";
  AccountPtr& account = free_accounts_[key];
  if (!account) {
    LeaseInfo info;
    info.agent = principal;
    info.name_space = name_space;
    account = std::make_shared<Account>(std::move(info));
  }
  return account;
}

void Ledger::reserve(const AccountPtr& account, std::int64_t microusd,
                     std::function<void(const Status&)> done) {
  const LeaseInfo& info = account->info;
  std::unique_lock lock(account->mutex_);
  account->used_us_ = clock_.monotonic_us();
  std::optional<Error> refused;
  if (account->closed_) {
    refused = stale(info);
  } else if (info.limit_microusd >= 0 && microusd > info.limit_microusd) {
    refused = Error(Code::BudgetExceeded, "the call may cost more than all that task " + info.task + " of " +
                                              to_text(info.run) + " may");
  } else if (account->waiters_.size() >= kMaxWaiters) {
    refused = Error(Code::Overloaded, "too many calls of this task wait for money");
  }
  if (refused) {
    lock.unlock();
    return done(*refused);
  }
  const bool unlimited = !info.fence.valid() || microusd == 0;
  if (unlimited || (account->waiters_.empty() && account->free_ >= microusd)) {
    if (!unlimited) {
      account->free_ -= microusd;
      account->reserved_ += microusd;
    }
    ++account->calls_;
    lock.unlock();
    return done({});
  }
  account->waiters_.push_back({microusd, std::move(done)});
  lock.unlock();
  pump(account);
}

bool Ledger::reserve_now(const AccountPtr& account, std::int64_t microusd) {
  const bool unlimited = !account->info.fence.valid() || microusd == 0;
  std::lock_guard lock(account->mutex_);
  if (account->closed_) return false;
  if (!unlimited) {
    if (account->free_ < microusd || !account->waiters_.empty()) return false;
    account->free_ -= microusd;
    account->reserved_ += microusd;
  }
  ++account->calls_;
  return true;
}

// Serves those that wait, in order: from what is free, then from the lease, then from what calls give back.
void Ledger::pump(const AccountPtr& account) {
  Account& a = *account;
  while (true) {
    std::function<void(const Status&)> granted;
    std::int64_t need = 0;
    bool fresh = false;
    {
      std::lock_guard lock(a.mutex_);
      if (a.waiters_.empty() || a.drawing_ || a.closed_) return;
      Account::Waiter& first = a.waiters_.front();
      if (a.free_ >= first.need) {
        a.free_ -= first.need;
        a.reserved_ += first.need;
        ++a.calls_;
        granted = std::move(first.done);
        a.waiters_.pop_front();
      } else {
        need = first.need - a.free_;
        a.drawing_ = true;
        a.free_at_draw_ = a.free_;
        fresh = a.fresh_;
      }
    }
    if (granted) {
      granted({});
      continue;
    }
    bank_.draw(
        a.info.fence, need, wanted(need, a.info.limit_microusd), fresh,
        [this, account](Result<std::int64_t> drawn) {
          std::vector<std::function<void(const Status&)>> failed;
          Account& held = *account;
          bool go_on = true;
          UsageBatch late;
          {
            std::lock_guard lock(held.mutex_);
            held.drawing_ = false;
            // What a forgotten allowance held was counted as spent with the first draw that the log knows of.
            const bool answered = drawn.ok() || drawn.error().code() == Code::BudgetExceeded;
            if (answered) held.fresh_ = false;
            if (drawn.ok() && held.closed_) {
              late.returns.push_back({held.info.fence, *drawn});
            } else if (drawn.ok()) {
              held.free_ += *drawn;
            } else if (drawn.error().code() == Code::BudgetExceeded && held.free_ != held.free_at_draw_) {
              // A call gave something back meanwhile: less is needed now.
            } else if (drawn.error().code() == Code::BudgetExceeded && held.reserved_ > 0) {
              go_on = false;  // calls under way will give something back: settle() goes on
            } else if (!held.waiters_.empty()) {
              failed.push_back(std::move(held.waiters_.front().done));
              held.waiters_.pop_front();
            }
          }
          send(std::move(late));
          for (const auto& done : failed) done(drawn.error());
          if (go_on) pump(account);
        });
    return;
  }
}

void Ledger::mark(const AccountPtr& account, std::unique_lock<std::mutex>& lock) {
  const bool known = account->dirty_;
  account->dirty_ = true;
  lock.unlock();
  if (known) return;
  bool first = false;
  {
    std::lock_guard mine(mutex_);
    first = dirty_.empty() && !flushing_;
    dirty_.push_back(account);
  }
  if (first && wake_) wake_();
}

void Ledger::settle(const AccountPtr& account, std::int64_t reserved_microusd, UsageKey key, UsageSum sum) {
  const bool leased = account->info.fence.valid();
  std::unique_lock lock(account->mutex_);
  if (leased) {
    sum.microusd = std::clamp<std::int64_t>(sum.microusd, 0, reserved_microusd);
    account->reserved_ -= reserved_microusd;
    account->free_ += reserved_microusd - sum.microusd;
  }
  --account->calls_;
  account->used_us_ = clock_.monotonic_us();
  account->total_.add(sum);
  account->rows_[std::move(key)].add(sum);
  if (account->closed_) {
    // Perhaps its lease still lives, cancelled, until the agent has answered.
    UsageBatch batch;
    take_rows(*account, batch);
    if (account->free_ > 0) batch.returns.push_back({account->info.fence, account->free_});
    account->free_ = 0;
    lock.unlock();
    return send(std::move(batch));
  }
  mark(account, lock);
  pump(account);
}

Ledger::Total Ledger::total(const AccountPtr& account) const {
  std::lock_guard lock(account->mutex_);
  return {account->total_, account->calls_};
}

std::uint64_t Ledger::on_over(const AccountPtr& account, std::function<void()> abort) {
  std::lock_guard lock(account->mutex_);
  if (account->closed_) return 0;
  const std::uint64_t id = account->next_abort_++;
  account->aborts_.emplace(id, std::move(abort));
  return id;
}

void Ledger::forget(const AccountPtr& account, std::uint64_t abort) {
  std::function<void()> dropped;  // may own the account: destroyed without the lock
  std::lock_guard lock(account->mutex_);
  const auto found = account->aborts_.find(abort);
  if (found == account->aborts_.end()) return;
  dropped = std::move(found->second);
  account->aborts_.erase(found);
}

void Ledger::take_rows(Account& account, UsageBatch& batch) {
  for (auto& [key, sum] : account.rows_) {
    batch.rows.push_back({account.info.fence, account.info.name_space, key, sum});
  }
  account.rows_.clear();
}

void Ledger::close(Fence fence) {
  AccountPtr account;
  {
    std::lock_guard lock(mutex_);
    const auto found = accounts_.find(fence.value);
    if (found == accounts_.end()) return;
    account = std::move(found->second);
    accounts_.erase(found);
  }
  UsageBatch batch;
  std::deque<Account::Waiter> waiters;
  std::map<std::uint64_t, std::function<void()>> aborts;
  {
    std::lock_guard lock(account->mutex_);
    account->closed_ = true;
    waiters.swap(account->waiters_);
    aborts.swap(account->aborts_);
    take_rows(*account, batch);
    if (account->free_ > 0) batch.returns.push_back({fence, account->free_});
    account->free_ = 0;
  }
  send(std::move(batch));
  for (auto& [id, abort] : aborts) abort();
  for (const Account::Waiter& waiter : waiters) waiter.done(stale(account->info));
}

void Ledger::give_back(RunId run) {
  std::vector<AccountPtr> accounts;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [fence, account] : accounts_) {
      if (account->info.run == run) accounts.push_back(account);
    }
  }
  UsageBatch batch;
  for (const AccountPtr& account : accounts) {
    std::lock_guard lock(account->mutex_);
    take_rows(*account, batch);
    if (account->free_ > 0) batch.returns.push_back({account->info.fence, account->free_});
    account->free_ = 0;
  }
  send(std::move(batch));
}

bool Ledger::flush(bool all) {
  std::vector<AccountPtr> dirty, idle;
  const std::int64_t now_us = clock_.monotonic_us();
  {
    std::lock_guard lock(mutex_);
    dirty.swap(dirty_);
    flushing_ = true;
  }
  UsageBatch batch;
  for (const AccountPtr& account : dirty) {
    std::unique_lock lock(account->mutex_);
    account->dirty_ = false;
    take_rows(*account, batch);
    if (account->closed_ || account->free_ == 0) continue;
    const bool at_rest = account->calls_ == 0 && account->waiters_.empty() && !account->drawing_;
    if (all || (at_rest && now_us - account->used_us_ >= kIdleReturnUs)) {
      batch.returns.push_back({account->info.fence, account->free_});
      account->free_ = 0;
    } else {
      mark(account, lock);  // looked at again until it has nothing
    }
  }
  send(std::move(batch));
  std::lock_guard lock(mutex_);
  flushing_ = !dirty_.empty();
  return flushing_;
}

void Ledger::send(UsageBatch batch) {
  if (batch.empty()) return;
  auto held = std::make_shared<UsageBatch>(batch);
  bank_.record(std::move(batch), [this, held](const Status& status) {
    if (!status.ok() && status.error().code() != Code::OutcomeUnknown) put_back(*held);
  });
}

// The log did not take it: it is tried again with the next flush.
void Ledger::put_back(const UsageBatch& batch) {
  for (const UsageRow& row : batch.rows) {
    const AccountPtr account = row.fence.valid() ? find(row.fence) : open_free("", row.name_space);
    if (!account) continue;  // its lease is over: what was drawn counted as spent
    std::unique_lock lock(account->mutex_);
    account->rows_[row.key].add(row.sum);
    mark(account, lock);
  }
  for (const AllowanceReturn& given : batch.returns) {
    const AccountPtr account = find(given.fence);
    if (!account) continue;
    std::unique_lock lock(account->mutex_);
    account->free_ += given.microusd;
    mark(account, lock);
  }
}

}  // namespace ez::models
