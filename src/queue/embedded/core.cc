// The embedded bus: its log and the loop that works it.
#include "queue/embedded/core.h"

#include <algorithm>
#include <memory>
#include <set>

#include "base/check.h"
#include "base/thread_name.h"

namespace ez::queue {
namespace {

constexpr std::chrono::microseconds kLongestWait{1'000'000};
constexpr std::uint64_t kMoveStepBytes = 4ULL << 20;
constexpr std::uint64_t kMarkBytes = 1ULL << 20;
constexpr std::size_t kAppendsPerTurn = 4096;

std::string hex(std::uint64_t value) {
  std::string out;
  for (int shift = 44; shift >= 0; shift -= 4) out.push_back("0123456789abcdef"[value >> shift & 15]);
  return out;
}

}  // namespace

Result<std::unique_ptr<EmbeddedBus>> EmbeddedBus::open(std::unique_ptr<log::Log> log,
                                                       EmbeddedOptions options) {
  auto core = std::make_unique<Core>(std::move(log), options);
  EZ_TRY(core->start());
  return std::unique_ptr<EmbeddedBus>(std::move(core));
}

Core::Core(std::unique_ptr<log::Log> log, EmbeddedOptions options)
    : log_(std::move(log)),
      options_(options),
      clock_(options.clock != nullptr ? *options.clock : system_clock()),
      random_(options.random != nullptr ? *options.random : system_random()),
      cache_(options.cache_bytes),
      id_prefix_(hex(random_.next())),
      state_(std::make_unique<State>()),
      lines_(clock_) {}

Core::~Core() {
  {
    std::lock_guard lock(inbox_mutex_);
    stopping_ = true;
  }
  log_->wake();
  if (loop_thread_.joinable()) loop_thread_.join();
  if (snapshot_thread_.joinable()) snapshot_thread_.join();
}

std::string Core::own_id() { return id_prefix_ + "-" + std::to_string(++ids_given_); }

Status Core::start() {
  EZ_ASSIGN(auto snapshot, log_->newest_snapshot());
  LogIndex applied;
  if (snapshot != nullptr) {
    std::string bytes;
    for (;;) {
      EZ_ASSIGN(const std::string part, snapshot->read(1U << 20));
      if (part.empty()) break;
      bytes += part;
    }
    applied = snapshot->index();
    applied_epoch_ = snapshot->epoch();
    EZ_ASSIGN(state_, State::decode(bytes, applied.value));
    snapshot_size_ = bytes.size();
    state_->introduce(lines_);
  }
  EZ_TRY(log_->start(applied, *this));
  while (!leading_ && !failure_) log_->poll(std::chrono::milliseconds(100));
  if (failure_) return *failure_;
  // Broadcast consumers ended with the process before.
  RecordWriter writer(clock_.now_ms());
  bool stale = false;
  for (const auto& [subscription, present] : state_->subscriptions()) {
    if (subscription.durable) continue;
    writer.drop_group(subscription.pattern, subscription.group);
    stale = true;
  }
  if (stale) propose(writer.take(), false, [](const Result<Applied>&) {});
  loop_thread_ = std::thread([this] { loop(); });
  return {};
}

log::LocalLogOptions EmbeddedBus::log_options() {
  log::LocalLogOptions options;
  options.zero_fill = false;
  return options;
}

std::optional<Error> Core::failure() {
  std::lock_guard lock(inbox_mutex_);
  return failure_;
}

void Core::on_failure(std::function<void(const Error&)> callback) {
  std::lock_guard lock(inbox_mutex_);
  on_failure_ = std::move(callback);
}

// ---- proposals ----

void Core::propose(std::string record, bool bounded, Done done) {
  std::optional<Error> refused;
  {
    std::lock_guard lock(inbox_mutex_);
    if (failure_) {
      refused = Error(Code::ShuttingDown, "the queue's log has failed: " + failure_->message());
    } else if (stopping_) {
      refused = Error(Code::ShuttingDown, "the queue is being closed");
    } else if (bounded && waiting_bytes_ + record.size() > options_.max_pending_bytes) {
      refused = Error(Code::Overloaded, std::to_string(waiting_bytes_) + " bytes wait for the queue's log");
    } else {
      waiting_bytes_ += record.size();
      const std::size_t bytes = record.size();
      inbox_.push_back({std::move(record), std::move(done), bytes});
    }
  }
  if (refused) {
    done(*refused);
    return;
  }
  log_->wake();
}

Result<Applied> Core::propose_and_wait(std::string record, std::chrono::milliseconds wait) {
  struct Box {
    std::mutex mutex;
    std::condition_variable filled;
    std::optional<Result<Applied>> result;
  };
  auto box = std::make_shared<Box>();  // shared: the answer may come after the wait
  propose(std::move(record), false, [box](Result<Applied> result) {
    std::lock_guard lock(box->mutex);
    box->result.emplace(std::move(result));
    box->filled.notify_all();
  });
  std::unique_lock lock(box->mutex);
  if (!box->filled.wait_for(lock, wait, [&] { return box->result.has_value(); })) {
    return Error(Code::OutcomeUnknown,
                 "the queue's log did not answer within " + std::to_string(wait.count()) + " ms");
  }
  return std::move(*box->result);
}

void Core::append_inbox() {
  for (std::size_t turn = 0; turn < kAppendsPerTurn; ++turn) {
    Proposal next;
    {
      std::lock_guard lock(inbox_mutex_);
      if (inbox_.empty()) return;
      next = std::move(inbox_.front());
      inbox_.pop_front();
    }
    const log::Ticket ticket{next_ticket_++};
    const Status status = leading_ ? log_->append(epoch_, ticket, std::move(next.record))
                                   : Status(Error(Code::NotLeader, "the queue's log is not led here"));
    if (status.ok()) {
      pending_.emplace(ticket.value, Proposal{{}, std::move(next.done), next.bytes});
      continue;
    }
    answer(std::move(next), status.error());
  }
}

void Core::committed(const log::Record& record) {
  applied_epoch_ = record.epoch;
  if (marks_.empty() || log_bytes_ >= marks_.back().second + kMarkBytes) {
    marks_.emplace_back(record.index.value, log_bytes_);
  }
  log_bytes_ += record.bytes.size();
  ByteReader in(record.bytes);
  static_cast<void>(in.byte());
  static_cast<void>(in.number());
  const auto kind = static_cast<Op>(in.byte());
  if (kind == Op::kPublish || kind == Op::kMove) {
    cache_.put(record.index.value, std::make_shared<const std::string>(record.bytes));
  }
  std::optional<Result<Applied>> applied;
  {
    std::lock_guard lock(mutex_);
    applied.emplace(state_->apply(record.index.value, record.bytes, lines_));
    if (applied->ok()) {
      duplicates_ += static_cast<std::uint64_t>(
          std::count((*applied)->duplicates.begin(), (*applied)->duplicates.end(), true));
    }
  }
  if (!applied->ok()) failed(applied->error());
  if (record.ticket.value == 0) return;
  const auto found = pending_.find(record.ticket.value);
  if (found == pending_.end()) return;
  Proposal proposal = std::move(found->second);
  pending_.erase(found);
  answer(std::move(proposal), std::move(*applied));
}

void Core::answer(Proposal proposal, Result<Applied> result) {
  {
    std::lock_guard lock(inbox_mutex_);
    waiting_bytes_ -= proposal.bytes;
  }
  proposal.done(std::move(result));
}

void Core::append_ended(log::Ticket ticket, log::AppendOutcome outcome) {
  const auto found = pending_.find(ticket.value);
  if (found == pending_.end()) return;
  Proposal proposal = std::move(found->second);
  pending_.erase(found);
  if (outcome == log::AppendOutcome::kRejected) {
    answer(std::move(proposal), Error(Code::NotLeader, "the queue's log did not take it"));
  } else {
    answer(std::move(proposal), Error(Code::OutcomeUnknown, "whether the queue's log took it is not known"));
  }
}

void Core::leadership(Epoch epoch, bool leading) {
  epoch_ = epoch;
  leading_ = leading;
}

void Core::failed(const Error& error) {
  std::function<void(const Error&)> tell;
  {
    std::lock_guard lock(inbox_mutex_);
    if (failure_) return;
    failure_ = error;
    tell = on_failure_;
  }
  if (tell) tell(error);
}

void Core::answer_all(const Error& error) {
  std::deque<Proposal> waiting;
  {
    std::lock_guard lock(inbox_mutex_);
    waiting = std::exchange(inbox_, {});
  }
  for (auto& [ticket, proposal] : std::exchange(pending_, {})) {
    answer(std::move(proposal), Error(Code::OutcomeUnknown, error.message()));
  }
  for (Proposal& proposal : waiting) answer(std::move(proposal), error);
}

// ---- the loop ----

void Core::loop() {
  name_thread("ez-queue");
  bool told = false;
  for (;;) {
    bool stopping;
    bool idle;
    {
      std::lock_guard lock(inbox_mutex_);
      stopping = stopping_;
      idle = inbox_.empty();
    }
    if (stopping) break;
    append_inbox();
    log_->poll(idle && pending_.empty() ? until_next() : std::chrono::microseconds(0));
    tend();
    std::optional<Error> failure;
    {
      std::lock_guard lock(inbox_mutex_);
      failure = failure_;
    }
    if (failure && !told) {
      told = true;
      answer_all(Error(Code::ShuttingDown, "the queue's log has failed: " + failure->message()));
    }
    if (!failure) look_after_log();
  }
  append_inbox();
  log_->poll(std::chrono::microseconds(0));
  // A failed seal changes nothing here: what was answered is durable.
  if (leading_) static_cast<void>(log_->seal(epoch_).ok());
  log_->poll(std::chrono::microseconds(0));
  answer_all(Error(Code::ShuttingDown, "the queue is being closed"));
}

std::chrono::microseconds Core::until_next() {
  std::lock_guard lock(mutex_);
  std::int64_t wait_us = kLongestWait.count();
  if (!deadlines_.empty()) {
    wait_us = std::min(wait_us, deadlines_.begin()->first - clock_.monotonic_us());
  }
  if (const auto at_ms = lines_.run_timers()) {
    wait_us = std::min(wait_us, (*at_ms - clock_.now_ms()) * 1000);
  }
  return std::chrono::microseconds(std::max<std::int64_t>(wait_us, 0));
}

void Core::tend() {
  std::vector<Answer> answers;
  {
    std::lock_guard lock(mutex_);
    static_cast<void>(lines_.run_timers());
    run_deadlines(answers);
    log_expired();
    serve(answers);
    cache_.drop_before(state_->oldest_record());
  }
  for (auto& [record, done] : std::exchange(later_, {})) propose(std::move(record), false, std::move(done));
  for (Answer& answer : answers) finish(std::move(answer));
}

void Core::log_expired() {
  for (auto& [topic, sequences] : lines_.take_expired()) {
    // What a group still has out may still be done. It is looked at again: others may have given it up.
    std::set<std::uint64_t> held;
    for (const std::uint64_t out : out_of(topic)) {
      if (sequences.erase(out) > 0) held.insert(out);
    }
    lines_.expire_later(topic, held);
    if (sequences.empty()) continue;
    RecordWriter writer(clock_.now_ms());
    writer.expire(topic, std::vector<std::uint64_t>(sequences.begin(), sequences.end()));
    later_.emplace_back(writer.take(), [this, id = topic, all = sequences](const Result<Applied>& done) {
      if (done.ok()) return;
      std::lock_guard lock(mutex_);
      lines_.expire_later(id, all);
    });
  }
}

// ---- the log's size ----

void Core::look_after_log() {
  end_snapshot();
  const std::uint64_t distance = std::max(options_.snapshot_bytes, snapshot_size_ * 8);
  if (log_->bytes_since_snapshot() > distance && !snapshot_thread_.joinable()) begin_snapshot();
}

void Core::begin_snapshot() {
  std::string bytes;
  std::uint64_t index = 0;
  {
    std::lock_guard lock(mutex_);
    bytes = state_->encode();
    index = state_->applied();
  }
  auto writer = log_->begin_snapshot(LogIndex{index}, applied_epoch_);
  if (!writer.ok()) return;  // tried again when more has been written
  snapshot_size_ = bytes.size();
  snapshot_index_ = index;
  snapshot_thread_ = std::thread(
      [this, bytes = std::move(bytes), writer = std::shared_ptr<log::SnapshotWriter>(std::move(*writer))] {
        name_thread("ez-queue-snap");
        Status status = writer->write(bytes);
        if (status.ok()) status = writer->commit();
        snapshot_result_ = status.ok() ? 1 : 2;
        log_->wake();
      });
}

void Core::end_snapshot() {
  const int result = snapshot_result_.exchange(0);
  if (result == 0) return;
  if (snapshot_thread_.joinable()) snapshot_thread_.join();
  if (result != 1) return;
  std::uint64_t oldest = 0;
  {
    std::lock_guard lock(mutex_);
    oldest = state_->oldest_record();
  }
  if (Status trimmed = log_->trim(LogIndex{std::min(snapshot_index_, oldest - 1)}); !trimmed.ok()) {
    failed(trimmed.error());
  }
  move_forward();
}

// Few messages that keep much of the log are written again at its end.
void Core::move_forward() {
  if (moving_) return;
  RecordWriter writer(clock_.now_ms());
  std::uint64_t moved = 0;
  {
    std::unique_lock lock(mutex_);
    std::uint64_t oldest = state_->oldest_record();
    while (marks_.size() > 1 && marks_[1].first <= oldest) marks_.pop_front();
    const std::uint64_t kept = marks_.empty() ? 0 : log_bytes_ - marks_.front().second;
    if (kept < std::max(options_.move_bytes, state_->live_bytes() * 4)) return;
    for (; oldest <= state_->applied() && moved < kMoveStepBytes; oldest = state_->record_after(oldest)) {
      for (auto& [topic, numbers] : state_->kept_of(oldest)) {
        std::vector<std::pair<std::uint64_t, std::string>> messages;
        auto held = record(oldest);
        if (!held.ok()) {
          lock.unlock();
          failed(held.error());
          return;
        }
        for (const std::uint64_t number : numbers) {
          const Ref ref = topic != nullptr ? topic->find(number)->ref : state_->dead().at(number).ref;
          messages.emplace_back(number, (*held)->substr(ref.offset, ref.bytes));
          moved += ref.bytes;
        }
        writer.move(topic != nullptr ? topic->id : 0, messages);
      }
    }
  }
  if (moved == 0) return;
  moving_ = true;
  propose(writer.take(), false, [this](const Result<Applied>& done) {
    moving_ = false;  // in the loop's thread
    if (done.ok()) move_forward();
  });
}

Status Core::snapshot_now() {
  std::string bytes;
  std::unique_ptr<log::SnapshotWriter> writer;
  struct Box {
    std::mutex mutex;
    std::condition_variable filled;
    bool done = false;
  };
  auto box = std::make_shared<Box>();
  Status out;
  // A proposal's answer is the way into the loop's thread.
  RecordWriter nothing(clock_.now_ms());
  nothing.nothing();
  propose(nothing.take(), false, [this, box, &out](const Result<Applied>& done) {
    if (!done.ok()) out = done.error();
    if (done.ok()) {
      if (snapshot_thread_.joinable()) snapshot_thread_.join();
      end_snapshot();
      begin_snapshot();
      if (snapshot_thread_.joinable()) {
        snapshot_thread_.join();
        if (snapshot_result_ == 2) out = Error(Code::IoFailed, "the snapshot could not be written");
        end_snapshot();
      }
    }
    std::lock_guard lock(box->mutex);
    box->done = true;
    box->filled.notify_all();
  });
  std::unique_lock lock(box->mutex);
  box->filled.wait(lock, [&] { return box->done; });
  return out;
}

std::string Core::state_bytes() {
  std::lock_guard lock(mutex_);
  return state_->encode();
}

}  // namespace ez::queue
