// top: runs, agents, queues and cost of a server on the whole terminal; elsewhere one plain snapshot.
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "base/clock.h"
#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/full_screen.h"
#include "cli/keys.h"
#include "cli/signals.h"
#include "cli/text.h"
#include "cli/top_view.h"
#include "orchestration/parse.h"

namespace ez::cli {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kTopTick{1'000};  // the clock goes on although nothing happens
constexpr milliseconds kEscapeTime{50};  // after Escape alone, so long the rest of a sequence may take
constexpr std::size_t kMaxOrders = 16;   // keys faster than the server: more are dropped

// What a look at the server wants to see.
struct TopLook {
  bool finished = false;
  std::string open_run;
  bool operator==(const TopLook&) const = default;
};

Value::List top_list(Api& api, const std::string& target, Status& failed) {
  auto list = list_all(api, target, kTopRows);
  if (list.ok()) return std::move(list).value();
  if (failed.ok()) failed = list.error();
  return {};
}

Value top_value(Api& api, const std::string& target, Status& failed) {
  auto value = api.get(target);
  if (value.ok()) return std::move(value).value();
  if (failed.ok()) failed = value.error();
  return {};
}

// The workflow of a run, for its graph; null when it cannot be had.
std::shared_ptr<const orchestration::Workflow> workflow_of(Api& api, const Value& run) {
  const auto found = api.get("/v1/workflows/" + encode(run.string_or("workflow", "")) +
                             "?version=" + std::to_string(run.int_or("version", 0)) +
                             "&namespace=" + encode(run.string_or("namespace", "default")));
  if (!found.ok()) return nullptr;
  return orchestration::parse_workflow(found->string_or("source", "")).workflow;
}

// One look. What could not be had is empty; the first reason is in `failure`. `before` keeps what never
// changes.
TopData look_at(Api& api, const std::string& server, const TopLook& look, const TopData& before) {
  TopData data;
  Status failed;
  data.server = server;
  data.status = top_value(api, "/v1/status", failed);
  if (!failed.ok() && failed.error().code() == Code::ServerUnreachable) {
    data = before;  // what was seen last, with its time
    data.failure = failed.error().to_string();
    return data;
  }
  data.runs = top_list(api, look.finished ? "/v1/runs" : "/v1/runs?state=live", failed);
  data.agents = top_list(api, "/v1/agents", failed);
  data.namespaces = top_list(api, "/v1/namespaces", failed);
  data.topics = top_list(api, "/v1/queues?pattern=%23", failed);
  data.costs = top_value(api, "/v1/costs", failed);
  data.open_run = look.open_run;
  if (!look.open_run.empty()) {
    data.open_view = top_value(api, run_target(look.open_run), failed);
    const bool same = before.open_run == look.open_run && before.open_workflow != nullptr &&
                      before.open_view.int_or("version", 0) == data.open_view.int_or("version", 0);
    data.open_workflow =
        same || data.open_view.is_null() ? before.open_workflow : workflow_of(api, data.open_view);
  }
  data.at_ms = system_clock().now_ms();
  if (!failed.ok()) data.failure = failed.error().to_string();
  return data;
}

// Looks at the server again and again on a thread of its own, and does what the person orders, so that keys
// never wait.
class TopFeed {
 public:
  TopFeed(Api& api, std::string server, milliseconds interval, StopSignals& signals)
      : api_(api), server_(std::move(server)), interval_(interval), signals_(signals), thread_([this] {
          work();
        }) {}
  ~TopFeed() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    api_.cancel();
    changed_.notify_all();
    thread_.join();
  }
  TopFeed(const TopFeed&) = delete;
  TopFeed& operator=(const TopFeed&) = delete;

  void want(const TopLook& look, bool now) {
    std::lock_guard lock(mutex_);
    if (look == look_ && !now) return;
    look_ = look;
    asked_ = true;
    changed_.notify_all();
  }
  void order(const TopWish& wish) {
    std::lock_guard lock(mutex_);
    if (orders_.size() < kMaxOrders) orders_.push_back(wish);
    changed_.notify_all();
  }
  // What was seen last, and what became of an order since the last call (empty: nothing).
  std::shared_ptr<const TopData> seen(std::string& message) {
    std::lock_guard lock(mutex_);
    if (!message_.empty()) message = std::exchange(message_, "");
    return data_;
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      const TopLook look = look_;
      const std::shared_ptr<const TopData> before = data_;
      std::deque<TopWish> orders = std::exchange(orders_, {});
      asked_ = false;
      lock.unlock();
      std::string message;
      for (const TopWish& wish : orders) message = carry_out(wish);
      auto data = std::make_shared<const TopData>(look_at(api_, server_, look, *before));
      lock.lock();
      data_ = std::move(data);
      if (!message.empty()) message_ = message;
      signals_.wake();
      changed_.wait_for(lock, interval_, [this] { return stopping_ || asked_ || !orders_.empty(); });
    }
  }

  std::string carry_out(const TopWish& wish) {
    const auto answer =
        api_.post(run_target(wish.run, "/" + wish.verb), Value(Value::Map{{"comment", Value("by ez top")}}));
    if (!answer.ok()) return answer.error().to_string();
    return wish.run + " is now " + std::string(answer->string_or("state", "unknown")) + ".";
  }

  Api& api_;
  const std::string server_;
  const milliseconds interval_;
  StopSignals& signals_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<const TopData> data_ = std::make_shared<const TopData>();
  TopLook look_;
  std::deque<TopWish> orders_;
  std::string message_;
  bool asked_ = false;
  bool stopping_ = false;
  std::thread thread_;  // last: it uses all of the above
};

FrameLimits top_limits() {
  FrameLimits limits;
  limits.color = wants_color();
  limits.unicode = writes_utf8();
  const TerminalSize size = terminal_size();
  limits.width = size.columns;
  limits.height = size.rows;
  return limits;
}

// The keys that were pressed. False: the terminal is gone.
bool take_keys(FullScreen& screen, StopSignals& signals, KeyReader& reader, std::vector<KeyPress>& keys,
               int& signal) {
  std::string bytes;
  if (!screen.read_keys(bytes)) return false;
  keys = reader.take(bytes);
  while (reader.pending()) {
    signal = signals.wait_for(kEscapeTime, {STDIN_FILENO});
    bytes.clear();
    if (signal != 0 || !screen.read_keys(bytes) || bytes.empty()) {
      for (const KeyPress& key : reader.flush()) keys.push_back(key);
      break;
    }
    for (const KeyPress& key : reader.take(bytes)) keys.push_back(key);
  }
  return true;
}

Result<int> watch(Api& api, const std::string& server, milliseconds interval) {
  StopSignals signals;
  TopState state;
  TopFeed feed(api, server, interval, signals);
  KeyReader reader;
  EZ_ASSIGN(const std::unique_ptr<FullScreen> screen, FullScreen::enter());
  while (true) {
    const std::shared_ptr<const TopData> data = feed.seen(state.message);
    const FrameLimits limits = top_limits();
    screen->draw(draw_top(state, *data, system_clock().now_ms(), limits));
    int signal = signals.wait_for(kTopTick, {STDIN_FILENO, screen->event_fd()});
    if (signal != 0) return kExitInterrupted;
    std::vector<KeyPress> keys;
    if (!take_keys(*screen, signals, reader, keys, signal) || signal != 0) return kExitInterrupted;
    bool now = false;
    for (const KeyPress& key : keys) {
      const TopWish wish = press_key(state, *data, key, top_page(limits));
      if (wish.kind == TopWish::Kind::kQuit) return kExitOk;
      if (wish.kind == TopWish::Kind::kControl) {
        feed.order(wish);
        state.message = wish.verb + " " + wish.run + " …";
      }
      now = now || wish.kind == TopWish::Kind::kLook;
    }
    feed.want({state.finished, state.open_run}, now);
  }
}

Value snapshot_value(const TopData& data) {
  return Value(Value::Map{{"server", Value(data.server)},
                          {"status", data.status},
                          {"runs", Value(data.runs)},
                          {"agents", Value(data.agents)},
                          {"namespaces", Value(data.namespaces)},
                          {"topics", Value(data.topics)},
                          {"costs", data.costs}});
}

Result<int> top(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const std::int64_t interval_ms, arguments.number("interval-ms", 1'000, 100, 3'600'000));
  EZ_ASSIGN(const Endpoint endpoint, Session::endpoint(arguments));
  EZ_ASSIGN(const auto api, session.connect(endpoint));
  const bool json = arguments.has("json");
  const bool live = is_live_terminal() && ::isatty(STDIN_FILENO) == 1;
  if (live && !json && !arguments.has("once")) return watch(*api, endpoint.url, milliseconds(interval_ms));
  EZ_TRY(api->get("/v1/status"));  // a snapshot of a server that does not answer is an error
  const TopData data = look_at(*api, endpoint.url, {arguments.has("all"), ""}, {});
  if (json) {
    session.out << to_json(snapshot_value(data)) << "\n";
  } else {
    session.out << top_snapshot(data, system_clock().now_ms());
  }
  return kExitOk;
}

}  // namespace

Command top_command() {
  return {"top",
          "Watch runs, agents, queues and cost on the whole terminal; press ? for its keys",
          "  ez top\n  ez top --namespace '*' --interval-ms 5000\n  ez top --once\n  ez top --json\n",
          {{"--interval-ms", "N", "how often the server is asked, in milliseconds (1000)"},
           {"--once", "", "print one plain snapshot; also where output is no terminal"},
           {"-a,--all", "", "in a snapshot: finished runs too"},
           {"--json", "", "the snapshot as JSON"}},
          {},
          true,
          top};
}

}  // namespace ez::cli
