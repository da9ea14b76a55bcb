#include "telemetry/log.h"

#include <signal.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/thread_name.h"
#include "telemetry/log_line.h"
#include "telemetry/log_sink.h"

namespace ez::telemetry {
namespace {

constexpr std::size_t kMaxRepeatKeys = 1024;
constexpr auto kStopWait = std::chrono::seconds(2);  // how long a blocked reader may hold up the end

}  // namespace

std::string_view level_name(Level level) {
  switch (level) {
    case Level::kDebug:
      return "debug";
    case Level::kInfo:
      return "info";
    case Level::kWarning:
      return "warning";
    case Level::kError:
      return "error";
    case Level::kOff:
      return "off";
  }
  return "off";
}

bool parse_level(std::string_view name, Level& level) {
  for (const Level at : {Level::kDebug, Level::kInfo, Level::kWarning, Level::kError, Level::kOff}) {
    if (level_name(at) == name) {
      level = at;
      return true;
    }
  }
  return false;
}

struct Logger::State {
  State(const LogOptions& o, Clock& c)
      : options(o),
        clock(c),
        sink(o.file, o.max_file_bytes, o.max_files),
        // A byte may become six (\u00xx): so the message alone never fills a line.
        limits{std::min(o.max_value_bytes, o.max_line_bytes / 8),
               std::max<std::size_t>(o.max_line_bytes, 1024)} {}

  const LogOptions options;
  Clock& clock;
  LogSink sink;  // used by the writer thread
  const LineLimits limits;
  Redactor redactor;

  struct Repeat {
    Level level;
    std::string component;
    std::string message;
    std::int64_t since_ms;
    std::uint64_t written;
    std::uint64_t held_back;
  };
  std::mutex repeat_mutex;
  std::unordered_map<std::string, Repeat> repeats;
  std::int64_t next_sweep_ms = 0;
  std::atomic<std::uint64_t> suppressed{0};

  std::mutex mutex;
  std::condition_variable work;
  std::condition_variable idle;
  std::string pending;
  std::uint64_t taken_lines = 0;    // put into pending, ever
  std::uint64_t handled_lines = 0;  // written or lost, ever
  std::uint64_t pending_lines = 0;
  std::uint64_t unreported_drops = 0;
  std::uint64_t dropped = 0;
  bool stopping = false;
  bool ended = false;
  std::atomic<bool> give_up{false};
  std::thread writer;  // started with the first line

  std::string line(Level level, std::string_view component, std::string_view message,
                   std::span<const Field> fields) {
    return format_line(options.format, limits, redactor, clock.now_ms(), level, component, message, fields);
  }

  // Adds what was held back of the messages whose window is over (of all, at the end) to `out`. With
  // repeat_mutex.
  void sweep(std::int64_t now_ms, bool all, std::vector<Repeat>& out) {
    for (auto at = repeats.begin(); at != repeats.end();) {
      if (!all && now_ms - at->second.since_ms < options.repeat_window_ms) {
        ++at;
        continue;
      }
      if (at->second.held_back > 0) out.push_back(std::move(at->second));
      at = repeats.erase(at);
    }
  }

  // Whether this message may be written now; `over` gets what has to be said about ended windows.
  bool admit(Level level, std::string_view component, std::string_view message, std::vector<Repeat>& over) {
    if (options.max_repeats == 0) return true;
    const std::int64_t now_ms = clock.monotonic_us() / 1000;
    std::string key;
    key.reserve(component.size() + message.size() + 2);
    key += static_cast<char>(level);
    key += component;
    key += '\0';
    key += message.substr(0, 256);
    std::lock_guard lock(repeat_mutex);
    if (now_ms >= next_sweep_ms || repeats.size() >= kMaxRepeatKeys) {
      sweep(now_ms, false, over);
      next_sweep_ms = now_ms + std::max<std::int64_t>(1, options.repeat_window_ms / 10);
    }
    auto found = repeats.find(key);
    if (found == repeats.end()) {
      // Too many different messages at once: those that do not fit are not counted; the queue bounds them.
      if (repeats.size() >= kMaxRepeatKeys) return true;
      Repeat fresh{level, std::string(component), std::string(message.substr(0, 256)), now_ms, 0, 0};
      found = repeats.emplace(std::move(key), std::move(fresh)).first;
    }
    if (found->second.written < options.max_repeats) {
      ++found->second.written;
      return true;
    }
    ++found->second.held_back;
    suppressed.fetch_add(1, std::memory_order_relaxed);
    return false;
  }

  std::string held_back_line(const Repeat& repeat) {
    const Field fields[] = {{"held_back", repeat.held_back}, {"window_ms", options.repeat_window_ms}};
    return line(repeat.level, repeat.component, repeat.message, fields);
  }

  void put(std::string_view text) {
    std::string report;
    {
      std::lock_guard lock(mutex);
      if (stopping || pending.size() + text.size() > options.max_pending_bytes) {
        ++dropped;
        ++unreported_drops;
        return;
      }
      if (unreported_drops > 0) {
        const Field fields[] = {{"count", unreported_drops}};
        report = line(Level::kWarning, "telemetry", "log lines dropped", fields);
        unreported_drops = 0;
        pending += report;
        ++pending_lines;
        ++taken_lines;
      }
      pending += text;
      ++pending_lines;
      ++taken_lines;
      if (!writer.joinable()) writer = std::thread([this] { run(); });
    }
    work.notify_one();
  }

  void run() {
    name_thread("ez-log-lines");
    // Signals belong to the other threads; a reader of a pipe that went away is an error of write(), not a
    // SIGPIPE.
    sigset_t every;
    sigfillset(&every);
    pthread_sigmask(SIG_BLOCK, &every, nullptr);
    std::unique_lock lock(mutex);
    for (;;) {
      work.wait(lock, [&] { return stopping || !pending.empty(); });
      if (pending.empty()) break;
      std::string lines;
      lines.swap(pending);
      const std::uint64_t count = std::exchange(pending_lines, 0);
      lock.unlock();
      const std::uint64_t lost = sink.write(lines, give_up);
      lock.lock();
      handled_lines += count;
      dropped += lost;
      unreported_drops += lost;
      idle.notify_all();
    }
    ended = true;
    idle.notify_all();
  }
};

Result<std::unique_ptr<Logger>> Logger::open(const LogOptions& options, Clock& clock) {
  auto state = std::make_unique<State>(options, clock);
  EZ_TRY(state->sink.open());
  return std::unique_ptr<Logger>(new Logger(std::move(state), options.level));
}

Logger::Logger(std::unique_ptr<State> state, Level level) : level_(level), state_(std::move(state)) {}

Logger::~Logger() {
  State& s = *state_;
  std::vector<State::Repeat> over;
  {
    std::lock_guard lock(s.repeat_mutex);
    s.sweep(0, true, over);
  }
  for (const State::Repeat& repeat : over) s.put(s.held_back_line(repeat));
  {
    std::unique_lock lock(s.mutex);
    s.stopping = true;
    s.work.notify_all();
    if (s.writer.joinable()) s.idle.wait_for(lock, kStopWait, [&] { return s.ended; });
  }
  s.give_up = true;
  if (s.writer.joinable()) s.writer.join();
}

void Logger::write(Level level, std::string_view component, std::string_view message,
                   std::initializer_list<Field> fields) {
  State& s = *state_;
  std::vector<State::Repeat> over;
  const bool admitted = s.admit(level, component, message, over);
  for (const State::Repeat& repeat : over) s.put(s.held_back_line(repeat));
  if (admitted) s.put(s.line(level, component, message, std::span(fields.begin(), fields.size())));
}

void Logger::flush() {
  State& s = *state_;
  std::unique_lock lock(s.mutex);
  const std::uint64_t until = s.taken_lines;
  s.idle.wait(lock, [&] { return s.handled_lines >= until || s.ended; });
}

Redactor& Logger::redactor() { return state_->redactor; }
std::uint64_t Logger::dropped_lines() const {
  std::lock_guard lock(state_->mutex);
  return state_->dropped;
}
std::uint64_t Logger::suppressed_lines() const { return state_->suppressed.load(); }

namespace {

std::atomic<Logger*> chosen_logger{nullptr};

Logger& first_logger() {
  // Never destroyed: other threads and destructors of statics may still log while the process ends.
  static Logger* logger = [] {
    LogOptions options;
    options.level = Level::kWarning;
    options.format = LogFormat::kText;
    auto opened = Logger::open(options, system_clock());
    EZ_CHECK(opened.ok(), "standard error is always there to be opened");
    Logger* made = opened->release();
    std::atexit([] { first_logger().flush(); });
    return made;
  }();
  return *logger;
}

}  // namespace

Logger& process_logger() {
  Logger* logger = chosen_logger.load(std::memory_order_acquire);
  return logger != nullptr ? *logger : first_logger();
}

void set_process_logger(Logger* logger) { chosen_logger.store(logger, std::memory_order_release); }

}  // namespace ez::telemetry
