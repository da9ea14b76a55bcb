#include "engine/engine.h"

#include <algorithm>

#include "base/thread_name.h"
#include "base/thread_turns.h"
#include "core/snapshot.h"
#include "engine/event_publisher.h"

namespace ez::engine {
namespace {
constexpr std::uint64_t kBusyCommands = 16;  // in one turn of the loop
constexpr std::chrono::microseconds kPatience{300};
}  // namespace

Engine::Engine(KernelOptions options, std::unique_ptr<log::Log> log, storage::History& history,
               storage::BlobStore* blobs, Clock& clock, Random& random)
    : log_(std::move(log)),
      history_(history),
      blobs_(blobs),
      projector_(history, blobs),
      kernel_(options, *log_, clock, random, *this) {}

Engine::~Engine() { stop(); }

Status Engine::start() {
  EZ_TRY(kernel_.recover(history_.position()));
  // What a snapshot stands for is not replayed: who follows from before it has to read the state anew.
  events_.begin_after((kernel_.state().applied.value + 1) * kEventsPerRecord - 1);
  // A live run keeps its blobs; references that a crash lost are added again before anything is collected.
  kernel_.state().each_run([&](const Cow<core::Run>& run) {
    for (std::uint32_t i = 0; i < run->tasks.size(); ++i) {
      const core::TaskDetail& detail = run->tasks[i].get();
      std::vector<std::string> hashes;
      for (const core::Artifact& artifact : detail.artifacts) hashes.push_back(artifact.sha256);
      if (!detail.output_blob.empty()) hashes.push_back(detail.output_blob);
      if (!hashes.empty()) projector_.referenced("run/" + to_text(run->id), std::move(hashes));
    }
    return true;
  });
  for (const auto& [name, versions] : kernel_.state().workflows) {
    std::vector<std::string> hashes;
    for (const auto& version : versions) {
      for (const core::ShippedFile& file : version->files) hashes.push_back(file.sha256);
    }
    if (!hashes.empty()) projector_.referenced("workflow/" + name.first, std::move(hashes));
  }
  projector_thread_ = std::thread([this] {
    name_thread("ez-history");
    projector_.run();
  });
  loop_thread_ = std::thread([this] {
    name_thread("ez-engine");
    take_short_turns();
    loop_id_ = std::this_thread::get_id();
    loop();
  });
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return started_ || failure_.has_value(); });
  if (failure_) return *failure_;
  return {};
}

void Engine::stop() {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
  }
  log_->wake();
  if (loop_thread_.joinable()) loop_thread_.join();
  if (snapshot_thread_.joinable()) snapshot_thread_.join();
  projector_.stop();
  if (projector_thread_.joinable()) projector_thread_.join();
}

void Engine::post(Task task, const std::function<void(const Error&)>& refused) {
  bool wake = false;
  {
    std::unique_lock lock(mutex_);
    std::optional<Error> error = failure_;
    if (!error && stopping_) error = Error(Code::ShuttingDown, "the server is stopping");
    if (!error && inbox_.size() >= kMaxInbox) {
      error = Error(Code::Overloaded, std::to_string(kMaxInbox) + " calls wait for the engine already");
    }
    if (error) {
      lock.unlock();
      return refused(*error);
    }
    inbox_.push_back(std::move(task));
    wake = sleeping_;
    sleeping_ = false;
  }
  if (wake) log_->wake();
}

void Engine::run_inbox() {
  std::vector<Task> tasks;
  {
    std::lock_guard lock(mutex_);
    tasks.swap(inbox_);
    sleeping_ = false;
  }
  for (Task& task : tasks) task();
}

void Engine::loop() {
  while (true) {
    run_inbox();
    std::chrono::microseconds wait = kernel_.idle_time();
    bool stopping = false;
    {
      std::lock_guard lock(mutex_);
      if (failure_) break;
      stopping = stopping_;
      if (!inbox_.empty() || stopping) {
        wait = std::chrono::microseconds(0);
      } else if (wait.count() > 0) {
        sleeping_ = true;
      }
    }
    const std::uint64_t before = kernel_.counters().commands;
    kernel_.step(wait);
    settle_calls();
    if (kernel_.snapshot_due()) begin_snapshot();
    publish_counters();
    if (const auto broken = projector_.failure()) failed(*broken);
    if (stopping && kernel_.pending() == 0) break;
    // Under load commands come faster than one record at a time is written. A moment's patience then lets
    // many share a record, a sync, a wake-up of the I/O threads and an agent's answer. An idle loop never
    // waits.
    if (kernel_.counters().commands - before >= kBusyCommands) std::this_thread::sleep_for(kPatience);
  }
  run_inbox();
  if (kernel_.leading()) {
    // What is on its way is answered as unknown or committed; then nothing more can be.
    if (const Status sealed = kernel_.seal(); !sealed.ok()) failed(sealed.error());
  }
}

void Engine::publish_counters() {
  const core::State& state = kernel_.state();
  std::size_t ready = 0;
  for (const core::AbilityClass& ability : state.classes) ready += ability.ready;
  std::lock_guard lock(mutex_);
  counters_ = {kernel_.counters(),
               state.live_runs,
               ready,
               state.leases.size(),
               state.agents.size(),
               kernel_.waiting_demands(),
               kernel_.pending(),
               state.timers.size(),
               kernel_.log().first_index().value,
               kernel_.log().last_index().value,
               kernel_.leading()};
}

EngineCounters Engine::counters() const {
  std::lock_guard lock(mutex_);
  return counters_;
}

std::optional<Error> Engine::failure() const {
  std::lock_guard lock(mutex_);
  return failure_;
}

void Engine::on_failure(std::function<void(const Error&)> callback) {
  std::lock_guard lock(mutex_);
  on_failure_ = std::move(callback);
}

void Engine::propose(core::pb::Command command, Done done) {
  if (command.has_start_run() && projector_.full()) {
    return done(Error(Code::Overloaded, "finished runs wait to be written to history"));
  }
  if (publisher_ != nullptr && command.has_start_run() && publisher_->full()) {
    return done(Error(Code::Overloaded, "events wait to be written to the queue"));
  }
  if (std::this_thread::get_id() == loop_id_.load()) {
    return kernel_.propose(std::move(command), std::move(done));  // without another turn of the loop
  }
  auto shared = std::make_shared<std::pair<core::pb::Command, Done>>(std::move(command), std::move(done));
  post([this, shared] { kernel_.propose(std::move(shared->first), std::move(shared->second)); },
       [&](const Error& error) { shared->second(error); });
}

void Engine::read(std::function<void(const core::State&)> look) {
  post([this, look = std::move(look)] { look(kernel_.state()); },
       // Reading is possible as long as the process lives; only writing is not.
       [&](const Error&) {});
}

void Engine::find_run(RunId id, std::function<void(Result<Cow<core::Run>>)> found) {
  post(
      [this, id, found] {
        if (Cow<core::Run> run = kernel_.state().share_run(id)) return found(std::move(run));
        if (Cow<core::Run> run = projector_.find(id)) return found(std::move(run));
        auto row = history_.get(id);
        if (!row.ok()) return found(row.error());
        auto run = core::decode_run(row->record, kernel_.state());
        if (!run.ok()) return found(run.error());
        found(Cow<core::Run>(std::move(run).value()));
      },
      [&](const Error& error) { found(error); });
}

// ---- work ----

struct Engine::WorkCall final : Waiting, std::enable_shared_from_this<WorkCall> {
  Engine* engine = nullptr;
  WorkRequest request;
  std::function<bool(Result<WorkAnswer>)> answer;
  WorkAnswer out;
  std::size_t unanswered = 0;  // results on their way
  DemandId demand = 0;
  bool over = false;
  bool expired = false;
  bool reported = false;  // it came with results

  void begin() {
    Kernel& kernel = engine->kernel_;
    if (!kernel.state().agents.contains(request.agent)) {
      return finish(Error(Code::AgentNotFound, "no agent " + to_text(request.agent)));
    }
    (void)kernel.heartbeat(request.agent, {});
    unanswered = request.results.size();
    reported = unanswered > 0;
    auto self = shared_from_this();
    for (core::pb::ReportResult& result : request.results) {
      const Fence fence{result.fence()};
      core::pb::Command command;
      *command.mutable_report_result() = std::move(result);
      kernel.propose(std::move(command), [self, fence](Result<core::Reply> reply) {
        if (!reply.ok()) return self->finish(reply.error());
        self->out.accepted.emplace_back(fence, reply->result);
        --self->unanswered;
        self->maybe_finish();
      });
    }
    request.results.clear();
    if (over) return;
    if (request.want > 0) {
      auto offered = kernel.offer(request.agent, request.want, [self](std::vector<core::Lease> leases) {
        self->demand = 0;
        self->deliver(std::move(leases));
      });
      if (!offered.ok()) return finish(offered.error());
      demand = *offered;
    }
    maybe_finish();
  }

  void deliver(std::vector<core::Lease> leases) {
    if (over) return engine->kernel_.undelivered(leases);
    for (core::Lease& lease : leases) {
      Cow<core::Run> run = engine->kernel_.state().share_run(lease.run);
      if (run) out.tasks.push_back({std::move(lease), std::move(run)});
    }
    maybe_finish();
  }

  void maybe_finish() {
    if (over || unanswered > 0) return;
    if (!out.tasks.empty() || request.want == 0 || expired) {
      out.cancel = engine->kernel_.cancelled_work(request.agent);
      return finish(std::move(out));
    }
    if (reported) engine->settling_.push_back(shared_from_this());
  }

  // Its results are durable, or its time is over, and work was handed out since. When none of it is for this
  // call, the agent is answered now, instead of when the next work comes. False: some is on its way, look
  // again.
  bool settle() {
    if (over || !out.tasks.empty()) return true;
    if (engine->kernel_.on_its_way(demand)) return false;
    expired = true;
    maybe_finish();
    return true;
  }

  void finish(Result<WorkAnswer> result) {
    if (over) return;
    over = true;
    if (demand != 0) engine->kernel_.withdraw(demand);
    std::vector<core::Lease> leases;
    if (result.ok()) {
      for (const WorkTask& task : result->tasks) leases.push_back(task.lease);
    }
    if (!answer(std::move(result))) engine->kernel_.undelivered(leases);
    answer = nullptr;
  }

  void expire() override {
    auto self = shared_from_this();
    engine->post(
        [self] {
          // Work that is on its way is delivered, not taken back at the last moment.
          if (!self->settle()) self->engine->settling_.push_back(self);
        },
        [](const Error&) {});
  }
  void abandon() override {
    auto self = shared_from_this();
    engine->post(
        [self] {
          if (self->over) return;
          self->over = true;
          if (self->demand != 0) self->engine->kernel_.withdraw(self->demand);
          std::vector<core::Lease> leases;
          for (const WorkTask& task : self->out.tasks) leases.push_back(task.lease);
          self->engine->kernel_.undelivered(leases);
          self->answer = nullptr;
        },
        [](const Error&) {});
  }
};

void Engine::settle_calls() {
  for (const auto& call : std::exchange(settling_, {})) {
    if (!call->settle()) settling_.push_back(call);
  }
}

std::shared_ptr<Waiting> Engine::work(WorkRequest request, std::function<bool(Result<WorkAnswer>)> answer) {
  auto call = std::make_shared<WorkCall>();
  call->engine = this;
  call->request = std::move(request);
  call->answer = std::move(answer);
  post([call] { call->begin(); },
       [&](const Error& error) {
         // Nothing was proposed; not on the loop's thread, so the kernel must not be touched.
         call->over = true;
         auto reply = std::move(call->answer);
         reply(error);
       });
  return call;
}

// ---- heartbeats ----

struct Engine::HeartbeatCall final : Waiting, std::enable_shared_from_this<HeartbeatCall> {
  Engine* engine = nullptr;
  AgentId agent;
  std::vector<Fence> fences;
  bool wait = false;
  std::function<void(HeartbeatAnswer)> answer;
  HeartbeatAnswer out;

  void begin() {
    out.unknown = engine->kernel_.heartbeat(agent, fences);
    out.cancel = engine->kernel_.cancelled_work(agent);
    if (!wait || !out.unknown.empty() || !out.cancel.empty()) return finish();
    engine->heartbeats_.emplace(agent, weak_from_this());
    keep_alive = shared_from_this();
  }
  void finish() {
    if (!answer) return;
    auto call = std::move(answer);
    answer = nullptr;
    auto [first, last] = engine->heartbeats_.equal_range(agent);
    for (auto at = first; at != last;) {
      const auto other = at->second.lock();
      at = !other || other.get() == this ? engine->heartbeats_.erase(at) : std::next(at);
    }
    call(std::move(out));
    keep_alive.reset();
  }
  void expire() override {
    auto self = shared_from_this();
    engine->post([self] { self->finish(); }, [](const Error&) {});
  }
  void abandon() override {
    auto self = shared_from_this();
    engine->post(
        [self] {
          self->answer = [](const HeartbeatAnswer&) {};
          self->finish();
        },
        [](const Error&) {});
  }
  std::shared_ptr<HeartbeatCall> keep_alive;
};

std::shared_ptr<Waiting> Engine::heartbeat(AgentId agent, std::vector<Fence> fences, bool wait,
                                           std::function<void(HeartbeatAnswer)> answer) {
  auto call = std::make_shared<HeartbeatCall>();
  call->engine = this;
  call->agent = agent;
  call->fences = std::move(fences);
  call->wait = wait;
  call->answer = std::move(answer);
  post([call] { call->begin(); },
       [&](const Error&) {
         // The agent keeps its work and asks again: a server in trouble must not make it drop anything.
         auto reply = std::move(call->answer);
         reply(HeartbeatAnswer{});
       });
  return call;
}

// ---- what the kernel tells ----

void Engine::changed(std::span<const core::RunEvent> events, std::uint64_t first_id) {
  events_.publish(events, first_id);
  if (publisher_ != nullptr) publisher_->changed(kernel_.state(), events, first_id);
}

void Engine::finished(const Cow<core::Run>& run, LogIndex index) {
  projector_.finished(run, index);
  if (publisher_ != nullptr) publisher_->finished(run);
}

void Engine::blobs_referenced(const std::string& owner, const std::vector<std::string>& sha256s) {
  projector_.referenced(owner.starts_with("workflow/") ? owner : "run/" + owner, sha256s);
}

void Engine::lease_ended(Fence fence) {
  if (on_lease_over_) on_lease_over_(fence);
}

void Engine::cancel_work(const core::Lease& lease) {
  lease_ended(lease.fence);
  const auto [first, last] = heartbeats_.equal_range(lease.agent);
  std::vector<std::shared_ptr<HeartbeatCall>> calls;
  for (auto at = first; at != last; ++at) {
    if (auto call = at->second.lock()) calls.push_back(std::move(call));
  }
  for (const auto& call : calls) {
    call->out.cancel.push_back(lease);
    call->finish();
  }
}

void Engine::leadership(Epoch, bool leading) {
  {
    std::lock_guard lock(mutex_);
    counters_.leading = leading;  // whom start() lets go on may ask at once
    started_ = started_ || leading;
  }
  if (!leading) return;
  changed_.notify_all();
}

void Engine::failed(const Error& error) {
  std::function<void(const Error&)> callback;
  {
    std::lock_guard lock(mutex_);
    if (failure_) return;
    failure_ = error;
    callback = on_failure_;
  }
  changed_.notify_all();
  if (callback) callback(error);
}

// ---- snapshots ----

void Engine::begin_snapshot() {
  if (snapshot_thread_.joinable()) snapshot_thread_.join();  // the last one has ended: snapshot_due() says so
  auto frozen = std::make_shared<core::Frozen>(core::freeze(kernel_.state()));
  const Epoch epoch = kernel_.epoch();
  kernel_.snapshot_started();
  snapshot_thread_ = std::thread([this, frozen, epoch] {
    name_thread("ez-snapshot");
    take_usual_turns();
    const auto write = [&]() -> Status {
      // History first: the log behind a snapshot may go, so what it finished must be durable elsewhere.
      EZ_TRY(projector_.flush(frozen->applied));
      if (publisher_ != nullptr) EZ_TRY(publisher_->flush());
      EZ_ASSIGN(auto writer, log_->begin_snapshot(frozen->applied, epoch));
      EZ_TRY(core::encode_snapshot(*frozen, [&](std::string_view piece) { return writer->write(piece); }));
      return writer->commit();
    };
    const Status status = write();
    const LogIndex index = frozen->applied;
    post(
        [this, index, status] {
          kernel_.snapshot_ended(index, status.ok());
          {
            std::lock_guard lock(mutex_);
            last_snapshot_ = status;
            ++snapshots_ended_;
          }
          changed_.notify_all();
        },
        [&](const Error&) {
          std::lock_guard lock(mutex_);
          last_snapshot_ = status;
          ++snapshots_ended_;
          changed_.notify_all();
        });
  });
}

Status Engine::snapshot_now() {
  std::uint64_t before = 0;
  {
    std::lock_guard lock(mutex_);
    before = snapshots_ended_;
  }
  std::optional<Error> refused;
  post(
      [this] {
        if (!kernel_.snapshot_running()) begin_snapshot();
      },
      [&](const Error& error) { refused = error; });
  if (refused) return *refused;
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return snapshots_ended_ > before || failure_ || stopping_; });
  return failure_ ? Status(*failure_) : last_snapshot_;
}

}  // namespace ez::engine
