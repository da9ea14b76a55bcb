#include "log/fake_log.h"

#include <algorithm>
#include <condition_variable>
#include <optional>

#include "base/check.h"

namespace ez::log {

class FakeLog final : public Log {
 public:
  explicit FakeLog(FakeCluster& cluster) : cluster_(cluster) {
    if (cluster_.leader_ != nullptr) cluster_.leader_->depose(true);
    cluster_.leader_ = this;
  }
  ~FakeLog() override {
    if (cluster_.leader_ != this) return;
    listener_ = nullptr;
    depose(false);
    cluster_.leader_ = nullptr;
  }

  Result<std::unique_ptr<SnapshotReader>> newest_snapshot() override { return snapshot(true); }
  Result<std::unique_ptr<SnapshotReader>> oldest_snapshot() override { return snapshot(false); }

  Status start(LogIndex applied, LogListener& listener) override {
    EZ_CHECK(listener_ == nullptr, "start() of a log that was started");
    if (applied.value + 1 < cluster_.first_index_ || applied.value > cluster_.last_index()) {
      return Error(Code::LogDamaged, "the log holds records " + std::to_string(cluster_.first_index_) +
                                         " to " + std::to_string(cluster_.last_index()) +
                                         ", the state is that of record " + std::to_string(applied.value));
    }
    listener_ = &listener;
    delivered_ = applied.value;
    wants_to_lead_ = true;
    election_polls_ = election_delay();
    return {};
  }

  Status append(Epoch epoch, Ticket ticket, std::string bytes) override {
    if (told_failed_ || cluster_.failed_) return Error(Code::ShuttingDown, "the log has failed");
    if (!leading_ || epoch.value != epoch_) {
      return Error(Code::NotLeader, "epoch " + std::to_string(epoch.value) + " does not lead this log");
    }
    if (bytes.size() > kMaxRecordBytes) return Error(Code::PayloadTooLarge, "the record is too large");
    if (outstanding_bytes_ + cost(bytes) > kMaxOutstandingBytes) {
      return Error(Code::Overloaded, std::to_string(outstanding_bytes_) + " bytes wait");
    }
    if (cluster_.disk_full_) return Error(Code::LogDiskFull, "the disk is full (simulated)");
    outstanding_bytes_ += cost(bytes);
    const std::uint64_t delay = cluster_.random_.below(cluster_.options_.max_delay_polls + 1);
    proposals_.push_back({epoch.value, ticket, std::move(bytes), delay});
    return {};
  }

  void poll(std::chrono::microseconds wait) override {
    if (listener_ == nullptr) return;
    if (work()) return;
    {
      std::unique_lock lock(wake_mutex_);
      wake_ready_.wait_for(lock, std::min<std::chrono::microseconds>(wait, std::chrono::hours(1)),
                           [&] { return woken_; });
      woken_ = false;
    }
    work();
  }

  void wake() override {
    {
      std::lock_guard lock(wake_mutex_);
      woken_ = true;
    }
    wake_ready_.notify_one();
  }

  Status seal(Epoch epoch) override {
    if (cluster_.failed_) return failure();
    if (epoch.value < epoch_ || sealed_) return {};
    sealed_ = true;
    wants_to_lead_ = false;
    if (cluster_.leader_ != this) return {};
    // A prefix commits now, the rest never.
    const std::uint64_t kept = leading_ ? cluster_.random_.below(proposals_.size() + 1) : 0;
    for (std::uint64_t i = 0; i < kept; ++i) commit_front();
    end_proposals(AppendOutcome::kUnknown, 0);
    step_down(epoch_);
    return {};
  }

  Result<std::unique_ptr<SnapshotWriter>> begin_snapshot(LogIndex index, Epoch epoch) override;

  Status trim(LogIndex index) override {
    std::uint64_t bound = 0;
    {
      std::lock_guard lock(cluster_.snapshots_mutex_);
      if (!cluster_.snapshots_.empty()) bound = cluster_.snapshots_.begin()->first;
    }
    bound = std::min({bound, index.value, delivered_});
    while (!cluster_.entries_.empty() && cluster_.first_index_ <= bound) {
      cluster_.entries_.pop_front();
      ++cluster_.first_index_;
    }
    return {};
  }

  [[nodiscard]] LogIndex first_index() const override { return LogIndex{cluster_.first_index_}; }
  // Only in the thread of the cluster, unlike a real one.
  [[nodiscard]] Result<std::string> read(LogIndex index) const override {
    if (index.value < cluster_.first_index_ || index.value > cluster_.last_index()) {
      return Error(Code::InvalidArgument, "record " + std::to_string(index.value) + " is not in the log");
    }
    return cluster_.entries_[index.value - cluster_.first_index_].bytes;
  }
  [[nodiscard]] LogIndex last_index() const override { return LogIndex{cluster_.last_index()}; }

  [[nodiscard]] std::uint64_t bytes_since_snapshot() const override {
    std::uint64_t newest = 0;
    {
      std::lock_guard lock(cluster_.snapshots_mutex_);
      if (!cluster_.snapshots_.empty()) newest = cluster_.snapshots_.rbegin()->first;
    }
    std::uint64_t bytes = 0;
    const std::uint64_t skip = newest < cluster_.first_index_ ? 0 : newest + 1 - cluster_.first_index_;
    for (std::uint64_t i = skip; i < cluster_.entries_.size(); ++i) bytes += cost(cluster_.entries_[i].bytes);
    return bytes;
  }

  // Ends this handle's leadership because another one has a larger epoch. Of what is in flight a prefix
  // appears later (without its tickets), the rest never; what never appears may also be known to be rejected,
  // from the end.
  void depose(bool another_handle) {
    if (another_handle) wants_to_lead_ = false;
    const std::uint64_t appear = cluster_.random_.below(proposals_.size() + 1);
    const std::uint64_t rejected = cluster_.random_.below(proposals_.size() - appear + 1);
    std::deque<FakeCluster::Proposal> late(proposals_.begin(),
                                           proposals_.begin() + static_cast<std::ptrdiff_t>(appear));
    end_proposals(AppendOutcome::kUnknown, rejected);
    ++cluster_.epoch_;
    if (leading_) step_down(cluster_.epoch_);
    for (FakeCluster::Proposal& proposal : late) cluster_.commit(proposal.epoch, std::move(proposal.bytes));
    election_polls_ = election_delay();
  }

 private:
  struct Event {
    std::optional<std::pair<Ticket, AppendOutcome>> ended;
    std::optional<std::uint64_t> stepped_down;  // the epoch to report
    std::uint64_t after = 0;                    // delivered once this record was
  };

  static std::uint64_t cost(const std::string& bytes) { return bytes.size() + 32; }
  static Error failure() { return Error(Code::LogWriteFailed, "the disk refused a write (simulated)"); }
  std::uint64_t election_delay() { return cluster_.random_.below(cluster_.options_.max_election_polls + 1); }

  void end_proposals(AppendOutcome outcome, std::uint64_t rejected_at_end) {
    for (std::size_t i = 0; i < proposals_.size(); ++i) {
      const bool rejected = i + rejected_at_end >= proposals_.size();
      events_.push_back({{{proposals_[i].ticket, rejected ? AppendOutcome::kRejected : outcome}},
                         {},
                         cluster_.last_index()});
    }
    proposals_.clear();
    outstanding_bytes_ = 0;
  }

  void step_down(std::uint64_t epoch) {
    leading_ = false;
    events_.push_back({{}, epoch, cluster_.last_index()});
  }

  void commit_front() {
    FakeCluster::Proposal& proposal = proposals_.front();
    cluster_.commit(proposal.epoch, std::move(proposal.bytes));
    tickets_[cluster_.last_index()] = proposal.ticket;
    outstanding_bytes_ -= cost(cluster_.entries_.back().bytes);
    proposals_.pop_front();
  }

  bool work() {
    if (told_failed_) return false;
    if (cluster_.failed_) return tell_failed();
    const bool in_flight = !proposals_.empty();
    misbehave();
    for (FakeCluster::Proposal& proposal : proposals_) proposal.polls_left -= proposal.polls_left > 0 ? 1 : 0;
    while (!proposals_.empty() && proposals_.front().polls_left == 0) commit_front();
    const bool any = deliver();
    return elect() || any || in_flight;
  }

  void misbehave() {
    if (!leading_) return;
    const FakeLogOptions& options = cluster_.options_;
    if (options.lose_leadership > 0 && cluster_.random_.chance(options.lose_leadership, 1000)) {
      depose(false);
    } else if (options.foreign_record > 0 && cluster_.random_.chance(options.foreign_record, 1000)) {
      cluster_.take_over({cluster_.foreign_[cluster_.random_.below(cluster_.foreign_.size())]});
    }
  }

  // Committed records in their order, and each event where it happened among them.
  bool deliver() {
    bool any = deliver_events();
    while (delivered_ < cluster_.last_index()) {
      const FakeCluster::Entry& entry = cluster_.entries_[delivered_ + 1 - cluster_.first_index_];
      epoch_ = std::max(epoch_, entry.epoch);
      ++delivered_;
      Ticket ticket;
      if (const auto found = tickets_.find(delivered_); found != tickets_.end()) {
        ticket = found->second;
        tickets_.erase(found);
      }
      const std::uint64_t entry_epoch = entry.epoch;
      const std::string bytes = entry.bytes;  // a copy: a callback may trim
      listener_->committed({LogIndex{delivered_}, Epoch{entry_epoch}, bytes, ticket});
      deliver_events();
      any = true;
    }
    return any;
  }

  bool deliver_events() {
    bool any = false;
    while (!events_.empty() && events_.front().after <= delivered_) {
      const Event event = events_.front();
      events_.pop_front();
      if (event.ended) listener_->append_ended(event.ended->first, event.ended->second);
      if (event.stepped_down) {
        epoch_ = std::max(epoch_, *event.stepped_down);
        listener_->leadership(Epoch{*event.stepped_down}, false);
      }
      any = true;
    }
    return any;
  }

  bool elect() {
    if (leading_ || !wants_to_lead_ || cluster_.leader_ != this) return false;
    if (election_polls_ > 0) {
      --election_polls_;
      return true;
    }
    epoch_ = ++cluster_.epoch_;
    leading_ = true;
    listener_->leadership(Epoch{epoch_}, true);
    return true;
  }

  bool tell_failed() {
    told_failed_ = true;
    leading_ = false;
    deliver();
    end_proposals(AppendOutcome::kUnknown, 0);
    deliver_events();
    listener_->failed(failure());
    return true;
  }

  Result<std::unique_ptr<SnapshotReader>> snapshot(bool newest);

  FakeCluster& cluster_;
  LogListener* listener_ = nullptr;
  std::uint64_t delivered_ = 0;
  std::uint64_t epoch_ = 0;
  bool leading_ = false;
  bool wants_to_lead_ = false;
  bool sealed_ = false;
  bool told_failed_ = false;
  std::uint64_t election_polls_ = 0;
  std::uint64_t outstanding_bytes_ = 0;
  std::deque<FakeCluster::Proposal> proposals_;
  std::deque<Event> events_;
  std::map<std::uint64_t, Ticket> tickets_;  // of committed records that are not delivered yet

  std::mutex wake_mutex_;
  std::condition_variable wake_ready_;
  bool woken_ = false;
};

class FakeCluster::Reader final : public SnapshotReader {
 public:
  Reader(std::uint64_t index, Snapshot snapshot) : index_(index), snapshot_(std::move(snapshot)) {}
  [[nodiscard]] LogIndex index() const override { return LogIndex{index_}; }
  [[nodiscard]] Epoch epoch() const override { return Epoch{snapshot_.epoch}; }
  Result<std::string> read(std::size_t limit) override {
    std::string out = snapshot_.bytes.substr(at_, limit);
    at_ += out.size();
    return out;
  }

 private:
  const std::uint64_t index_;
  const Snapshot snapshot_;
  std::size_t at_ = 0;
};

class FakeCluster::Writer final : public SnapshotWriter {
 public:
  Writer(FakeCluster& cluster, std::uint64_t index, std::uint64_t epoch)
      : cluster_(cluster), index_(index), snapshot_{epoch, {}} {}
  ~Writer() override {
    std::lock_guard lock(cluster_.snapshots_mutex_);
    cluster_.writing_ = false;
  }
  Status write(std::string_view bytes) override {
    snapshot_.bytes.append(bytes);
    return {};
  }
  Status commit() override {
    if (committed_) return Error(Code::InvalidArgument, "this snapshot was committed before");
    committed_ = true;
    cluster_.add_snapshot(index_, std::move(snapshot_));
    return {};
  }

 private:
  FakeCluster& cluster_;
  const std::uint64_t index_;
  Snapshot snapshot_;
  bool committed_ = false;
};

Result<std::unique_ptr<SnapshotReader>> FakeLog::snapshot(bool newest) {
  std::lock_guard lock(cluster_.snapshots_mutex_);
  const auto& all = cluster_.snapshots_;
  if (all.empty()) return std::unique_ptr<SnapshotReader>();
  const auto& [index, found] = newest ? *all.rbegin() : *all.begin();
  return std::unique_ptr<SnapshotReader>(std::make_unique<FakeCluster::Reader>(index, found));
}

Result<std::unique_ptr<SnapshotWriter>> FakeLog::begin_snapshot(LogIndex index, Epoch epoch) {
  if (index.value > delivered_) return Error(Code::InvalidArgument, "that record is not committed yet");
  std::lock_guard lock(cluster_.snapshots_mutex_);
  if (cluster_.writing_) return Error(Code::Overloaded, "another snapshot is being written");
  if (index.value == 0 ||
      (!cluster_.snapshots_.empty() && index.value <= cluster_.snapshots_.rbegin()->first)) {
    return Error(Code::InvalidArgument, "the snapshot is not newer than the newest one");
  }
  cluster_.writing_ = true;
  return std::unique_ptr<SnapshotWriter>(
      std::make_unique<FakeCluster::Writer>(cluster_, index.value, epoch.value));
}

FakeCluster::FakeCluster(std::uint64_t seed, FakeLogOptions options) : random_(seed), options_(options) {}
FakeCluster::~FakeCluster() { EZ_CHECK(leader_ == nullptr, "a FakeCluster outlives its handles"); }

std::unique_ptr<Log> FakeCluster::open() { return std::make_unique<FakeLog>(*this); }

void FakeCluster::take_over(std::vector<std::string> records) {
  if (leader_ != nullptr) {
    leader_->depose(false);
  } else {
    ++epoch_;
  }
  for (std::string& bytes : records) commit(epoch_, std::move(bytes));
}

void FakeCluster::set_foreign(std::vector<std::string> choices) {
  EZ_CHECK(!choices.empty(), "set_foreign() needs a choice");
  foreign_ = std::move(choices);
}
void FakeCluster::set_disk_full(bool full) { disk_full_ = full; }
void FakeCluster::fail() { failed_ = true; }
void FakeCluster::set_options(FakeLogOptions options) { options_ = options; }

void FakeCluster::commit(std::uint64_t epoch, std::string bytes) {
  entries_.push_back({epoch, std::move(bytes)});
}

void FakeCluster::add_snapshot(std::uint64_t index, Snapshot snapshot) {
  std::lock_guard lock(snapshots_mutex_);
  snapshots_[index] = std::move(snapshot);
  while (snapshots_.size() > 2) snapshots_.erase(snapshots_.begin());
}

}  // namespace ez::log
