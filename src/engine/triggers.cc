#include "engine/triggers.h"

#include <algorithm>

#include "base/json.h"
#include "base/thread_name.h"
#include "queue/topic.h"
#include "queue/wait_for.h"

namespace ez::engine {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMaxTriggers = 200;
constexpr std::size_t kUnderWay = 256;
constexpr std::size_t kAtOnce = 64;
constexpr std::size_t kBytesAtOnce = 4 * 1024 * 1024;
constexpr milliseconds kWait{30'000};
constexpr milliseconds kLogWait{10'000};
constexpr std::int64_t kLeaseMs = 300'000;
constexpr milliseconds kBusy{500};          // the server is: try again soon
constexpr milliseconds kNotPossible{5000};  // somebody has to do something first

std::string key_of(const std::string& name_space, const std::string& name) {
  return "trigger/" + name_space + "/" + name;
}

std::string pattern_of(const TriggerSpec& spec) {
  return spec.name_space == "default" ? spec.topic : spec.name_space + "/" + spec.topic;
}

std::string group_of(const TriggerSpec& spec) { return "trigger-" + spec.name; }

std::string encode(const TriggerSpec& spec) {
  Value::Map inputs;
  for (const auto& [name, text] : spec.inputs) inputs.emplace_back(name, Value(text));
  return to_json(Value(Value::Map{{"namespace", Value(spec.name_space)},
                                  {"name", Value(spec.name)},
                                  {"topic", Value(spec.topic)},
                                  {"workflow", Value(spec.workflow)},
                                  {"version", Value(static_cast<std::int64_t>(spec.version))},
                                  {"inputs", Value(std::move(inputs))},
                                  {"when", Value(spec.when)},
                                  {"paused", Value(spec.paused)},
                                  {"principal", Value(spec.principal)}}));
}

Result<TriggerSpec> decode(const std::string& text) {
  EZ_ASSIGN(const Value value, parse_json(text));
  TriggerSpec spec;
  spec.name_space = value.string_or("namespace", "default");
  spec.name = value.string_or("name", "");
  spec.topic = value.string_or("topic", "");
  spec.workflow = value.string_or("workflow", "");
  spec.version = static_cast<std::uint32_t>(value.int_or("version", 0));
  spec.when = value.string_or("when", "");
  spec.paused = value.bool_or("paused", false);
  spec.principal = value.string_or("principal", "");
  if (const Value* inputs = value.find("inputs"); inputs != nullptr && inputs->is_map()) {
    for (const auto& [name, input] : inputs->as_map()) {
      if (input.is_string()) spec.inputs.emplace_back(name, input.as_string());
    }
  }
  return spec;
}

struct Compiled {
  std::vector<std::pair<std::string, Template>> inputs;
  std::vector<Expression> when;  // none or one
};

Result<Compiled> compile(const TriggerSpec& spec) {
  Compiled out;
  for (const auto& [name, text] : spec.inputs) {
    auto parsed = Template::parse(text);
    if (!parsed.ok()) return parsed.error().in("inputs." + name);
    for (const Expression& expression : parsed->expressions()) {
      for (const std::string& variable : expression.variables()) {
        if (variable != "message") {
          return Error(Code::ExpressionInvalid,
                       "inputs." + name + ": there is no '" + variable + "' here, only message");
        }
      }
    }
    out.inputs.emplace_back(name, std::move(*parsed));
  }
  if (!spec.when.empty()) {
    auto parsed = Expression::parse(spec.when);
    if (!parsed.ok()) return parsed.error().in("when");
    for (const std::string& variable : parsed->variables()) {
      if (variable != "message") {
        return Error(Code::ExpressionInvalid, "when: there is no '" + variable + "' here, only message");
      }
    }
    out.when.push_back(std::move(*parsed));
  }
  return out;
}

Error unknown(const std::string& name) { return Error(Code::TriggerNotFound, "there is no trigger " + name); }

}  // namespace

struct Triggers::Running {
  TriggerSpec spec;
  Compiled compiled;
  std::unique_ptr<queue::EmbeddedConsumer> consumer;  // guarded by mutex, as the rest
  std::mutex mutex;
  std::size_t under_way = 0;
  bool taking = false;
  bool ended = false;
  std::atomic<std::uint64_t> started{0}, repeated{0}, skipped{0}, failed{0};
  std::string last_error;
};

Status check_trigger(const TriggerSpec& spec) {
  bool good = !spec.name.empty() && spec.name.size() <= 40;
  for (const char c : spec.name)
    good = good && ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-');
  if (!good) {
    return Error(Code::InvalidArgument, "name: a trigger has 1 to 40 small letters, digits and dashes");
  }
  if (spec.workflow.empty()) return Error(Code::InvalidArgument, "workflow: is missing");
  if (const Status topic = queue::check_pattern(pattern_of(spec)); !topic.ok())
    return topic.error().in("topic");
  return compile(spec).ok() ? Status() : Status(compile(spec).error());
}

Value trigger_message(const queue::Delivery& delivery) {
  const queue::Message& message = delivery.message;
  Value::Map headers;
  for (const auto& [name, value] : message.headers) headers.emplace_back(name, Value(value));
  const auto slash = message.topic.find('/');
  auto parsed = parse_json(message.payload);
  return Value(Value::Map{
      {"id", Value(message.id)},
      {"topic", Value(slash == std::string::npos ? message.topic : message.topic.substr(slash + 1))},
      {"key", Value(message.key)},
      {"priority", Value(queue::to_text(message.priority))},
      {"headers", Value(std::move(headers))},
      {"attempt", Value(static_cast<std::int64_t>(delivery.attempt))},
      {"published_at", Value(format_time(delivery.published_ms))},
      {"text", Value(message.payload)},
      {"payload", parsed.ok() ? std::move(*parsed) : Value(message.payload)}});
}

Triggers::Triggers(Engine& engine, queue::EmbeddedBus& bus) : engine_(engine), bus_(bus) {}

Triggers::~Triggers() { stop(); }

Status Triggers::start() {
  thread_ = std::thread([this] { work(); });
  for (const auto& [key, text] : bus_.settings("trigger/")) {
    EZ_ASSIGN(const TriggerSpec spec, decode(text));
    EZ_TRY(begin(spec));
  }
  return {};
}

void Triggers::stop() {
  std::map<std::pair<std::string, std::string>, RunningPtr> all;
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
    all = std::exchange(triggers_, {});
    jobs_.clear();
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return proposals_ == 0; });
  }
  for (const auto& [name, trigger] : all) end(trigger);
}

Status Triggers::begin(const TriggerSpec& spec) {
  auto running = std::make_shared<Running>();
  running->spec = spec;
  EZ_ASSIGN(running->compiled, compile(spec));
  // The group exists also while the trigger is paused: its messages wait.
  EZ_ASSIGN(running->consumer,
            bus_.subscribe_embedded({pattern_of(spec), group_of(spec), kUnderWay, kLeaseMs}, kLogWait));
  {
    std::lock_guard lock(mutex_);
    triggers_[{spec.name_space, spec.name}] = running;
  }
  take(running);
  return {};
}

// Waits for what the bus still has to say; messages that are not settled go back. A start of a run that is
// under way finds the trigger ended.
void Triggers::end(const RunningPtr& trigger) {
  std::unique_ptr<queue::EmbeddedConsumer> consumer;
  {
    std::lock_guard lock(trigger->mutex);
    trigger->ended = true;
    consumer = std::move(trigger->consumer);
  }
  consumer.reset();
}

Status Triggers::set(const TriggerSpec& spec) {
  EZ_TRY(check_trigger(spec));
  RunningPtr old;
  {
    std::lock_guard lock(mutex_);
    const auto found = triggers_.find({spec.name_space, spec.name});
    if (found != triggers_.end()) old = found->second;
    if (old == nullptr && triggers_.size() >= kMaxTriggers) {
      return Error(Code::Overloaded, "there are 200 triggers already");
    }
  }
  EZ_TRY(queue::wait_for<bool>(
      [&](auto done) { bus_.set(key_of(spec.name_space, spec.name), encode(spec), done); }));
  if (old != nullptr) {
    end(old);
    // On another topic it is another group.
    if (pattern_of(old->spec) != pattern_of(spec)) {
      EZ_TRY(queue::wait_for<bool>(
          [&](auto done) { bus_.drop_group(pattern_of(old->spec), group_of(old->spec), done); }));
    }
  }
  return begin(spec);
}

Status Triggers::remove(const std::string& name_space, const std::string& name) {
  RunningPtr old;
  {
    std::lock_guard lock(mutex_);
    const auto found = triggers_.find({name_space, name});
    if (found == triggers_.end()) return unknown(name);
    old = found->second;
    triggers_.erase(found);
  }
  end(old);
  EZ_TRY(queue::wait_for<bool>([&](auto done) { bus_.set(key_of(name_space, name), "", done); }));
  EZ_TRY(queue::wait_for<bool>(
      [&](auto done) { bus_.drop_group(pattern_of(old->spec), group_of(old->spec), done); }));
  return {};
}

std::vector<TriggerState> Triggers::list(const std::string& name_space) {
  std::vector<RunningPtr> all;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [name, trigger] : triggers_) {
      if (name.first == name_space) all.push_back(trigger);
    }
  }
  std::vector<TriggerState> out;
  for (const RunningPtr& trigger : all) {
    std::lock_guard lock(trigger->mutex);
    out.push_back({trigger->spec, trigger->started, trigger->repeated, trigger->skipped, trigger->failed,
                   trigger->last_error});
  }
  return out;
}

Result<TriggerState> Triggers::find(const std::string& name_space, const std::string& name) {
  for (TriggerState& state : list(name_space)) {
    if (state.spec.name == name) return std::move(state);
  }
  return unknown(name);
}

// ---- messages ----

void Triggers::take(const RunningPtr& trigger) {
  std::lock_guard lock(trigger->mutex);
  if (trigger->ended || trigger->spec.paused || trigger->taking || trigger->under_way + kAtOnce > kUnderWay)
    return;
  trigger->taking = true;
  // The answer may come inside the call, so the work is done by our own thread.
  trigger->consumer->take(kAtOnce, kBytesAtOnce, kWait,
                          [this, trigger](Result<std::vector<queue::Delivery>> got) {
                            const std::size_t count = got.ok() ? got->size() : 0;
                            std::lock_guard own(mutex_);
                            for (std::size_t i = 0; i < count; ++i)
                              jobs_.push_back({trigger, std::move((*got)[i])});
                            turns_.push_back({trigger, count, true, got.ok()});
                            changed_.notify_all();
                          });
}

// Callbacks of the bus may come inside a call of ours, under the trigger's lock: our thread goes on.
void Triggers::later(const RunningPtr& trigger, std::size_t begun, bool took, bool again) {
  std::lock_guard lock(mutex_);
  turns_.push_back({trigger, begun, took, again});
  changed_.notify_all();
}

void Triggers::work() {
  name_thread("ez-triggers");
  for (;;) {
    std::deque<Job> jobs;
    std::deque<Turn> turns;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stopping_ || !jobs_.empty() || !turns_.empty(); });
      if (stopping_) return;
      jobs = std::exchange(jobs_, {});
      turns = std::exchange(turns_, {});
    }
    for (const Turn& turn : turns) {
      {
        std::lock_guard lock(turn.trigger->mutex);
        if (turn.took) turn.trigger->taking = false;
        turn.trigger->under_way += turn.begun;
        if (!turn.took) --turn.trigger->under_way;
      }
      if (turn.again) take(turn.trigger);
    }
    for (Job& job : jobs) handle(std::move(job));
  }
}

void Triggers::handle(Job job) {
  const Running& trigger = *job.trigger;
  const Value message = trigger_message(job.delivery);
  const Variables variables = [&](std::string_view name) { return name == "message" ? &message : nullptr; };
  if (!trigger.compiled.when.empty()) {
    const auto wanted = trigger.compiled.when[0].evaluate(variables);
    if (!wanted.ok()) return bury(job, "when: " + wanted.error().to_string());
    if (!wanted->is_bool()) return bury(job, "when: gives no true or false");
    if (!wanted->as_bool()) {
      ++job.trigger->skipped;
      return acknowledge(job);
    }
  }
  Value inputs(Value::Map{});
  for (const auto& [name, text] : trigger.compiled.inputs) {
    auto value = text.evaluate(variables);
    if (!value.ok()) return bury(job, "inputs." + name + ": " + value.error().to_string());
    inputs.set(name, std::move(*value));
  }
  core::pb::Command command;
  core::pb::StartRun& start = *command.mutable_start_run();
  start.set_namespace_(trigger.spec.name_space);
  start.set_workflow(trigger.spec.workflow);
  start.set_version(trigger.spec.version);
  start.set_inputs(to_json(inputs));
  start.set_idempotency_key("trigger/" + trigger.spec.name + "/" + job.delivery.message.id);
  start.set_principal(trigger.spec.principal);
  const auto shared = std::make_shared<const Job>(std::move(job));
  {
    std::lock_guard lock(mutex_);
    ++proposals_;
  }
  engine_.propose(std::move(command), [this, shared](const Result<core::Reply>& reply) {
    started(*shared, reply);
    std::lock_guard lock(mutex_);
    if (--proposals_ == 0) changed_.notify_all();
  });
}

void Triggers::started(const Job& job, const Result<core::Reply>& reply) {
  const Error* error = nullptr;
  if (!reply.ok()) error = &reply.error();
  if (reply.ok() && reply->error) error = &*reply->error;
  if (error == nullptr) {
    ++(reply->created ? job.trigger->started : job.trigger->repeated);
    return acknowledge(job);
  }
  switch (error->code()) {
    case Code::IdempotencyConflict:
      // This message has started its run, by an earlier form of the trigger.
      ++job.trigger->repeated;
      return acknowledge(job);
    case Code::WorkflowNotFound:
    case Code::ConcurrencyFull:
      return give_back(job, kNotPossible, error->to_string());
    default:
      if (error->retry()) return give_back(job, kBusy, error->to_string());
      return bury(job, error->to_string());
  }
}

void Triggers::acknowledge(const Job& job) {
  std::lock_guard lock(job.trigger->mutex);
  if (job.trigger->consumer == nullptr) return;
  job.trigger->consumer->ack({job.delivery.tag}, [this, trigger = job.trigger](const std::vector<Status>&) {
    later(trigger, 0, false, true);
  });
}

void Triggers::give_back(const Job& job, std::chrono::milliseconds delay, std::string reason) {
  std::lock_guard lock(job.trigger->mutex);
  job.trigger->last_error = reason;
  if (job.trigger->consumer == nullptr) return;
  job.trigger->consumer->nack_because(
      {job.delivery.tag}, delay, std::move(reason),
      [this, trigger = job.trigger](const std::vector<Status>&) { later(trigger, 0, false, true); });
}

void Triggers::bury(const Job& job, std::string reason) {
  std::lock_guard lock(job.trigger->mutex);
  job.trigger->last_error = reason;
  ++job.trigger->failed;
  if (job.trigger->consumer == nullptr) return;
  job.trigger->consumer->bury(
      {job.delivery.tag}, std::move(reason),
      [this, trigger = job.trigger](const std::vector<Status>&) { later(trigger, 0, false, true); });
}

}  // namespace ez::engine
