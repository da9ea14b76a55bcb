// Structured logs: one line an event, as JSON for machines or as text for people.
//
//   {"time":"2026-11-22T16:48:00.000Z","level":"info","component":"engine","message":"run
//   finished","run":"r1",…}
//
// Use. EZ_LOG(kInfo, "engine", "run finished", {"run", to_text(run)}, {"tasks", 5}): a message is a constant
// text, what varies goes into fields (also run, task, attempt, agent, trace_id, span_id). The fields are
// evaluated only when the level is on; when it is off the cost is one atomic load.
//
// Bounds. A text value is cut at max_value_bytes (8 KiB), a line at max_line_bytes; up to max_pending_bytes
// wait for the writer thread, what comes then is dropped and counted in a later line ("log lines dropped").
// So a blocked terminal never blocks the server. The same message of the same component is written
// max_repeats times in repeat_window_ms; how many were held back is said once the window is over.
//
// Secrets. Values of fields with a telling name and registered secret values are redacted
// (telemetry/redact.h).
//
// Threads. Everything is thread-safe. Errors of the sink never reach the caller; they count as dropped lines.
#pragma once

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

#include "base/clock.h"
#include "base/result.h"
#include "telemetry/redact.h"

namespace ez::telemetry {

enum class Level : std::uint8_t { kDebug, kInfo, kWarning, kError, kOff };

[[nodiscard]] std::string_view level_name(Level level);  // "debug", "info", "warning", "error", "off"
// False: not the name of a level.
[[nodiscard]] bool parse_level(std::string_view name, Level& level);

// A field of one event. Views: key and text must live until the call ends, as temporaries of the call do.
struct Field {
  using Scalar = std::variant<std::string_view, std::int64_t, std::uint64_t, double, bool>;
  std::string_view key;
  Scalar value;

  Field(std::string_view k, std::string_view v) : key(k), value(v) {}
  Field(std::string_view k, const char* v) : key(k), value(std::string_view(v)) {}
  Field(std::string_view k, const std::string& v) : key(k), value(std::string_view(v)) {}
  Field(std::string_view k, bool v) : key(k), value(v) {}
  Field(std::string_view k, double v) : key(k), value(v) {}
  template <typename T, std::enable_if_t<std::is_integral_v<T> && !std::is_same_v<T, bool>, int> = 0>
  Field(std::string_view k, T v) : key(k), value(widen(v)) {}

 private:
  template <typename T>
  static Scalar widen(T v) {
    if constexpr (std::is_signed_v<T>)
      return static_cast<std::int64_t>(v);
    else
      return static_cast<std::uint64_t>(v);
  }
};

enum class LogFormat { kJson, kText, kColor };  // kColor: text with colours, for a terminal

struct LogOptions {
  Level level = Level::kInfo;
  LogFormat format = LogFormat::kJson;
  std::string file;                                 // empty: standard error
  std::uint64_t max_file_bytes = 64 * 1024 * 1024;  // then the file is renamed to <file>.1, .1 to .2 …
  int max_files = 4;                                // old ones that are kept
  std::size_t max_value_bytes = 8 * 1024;
  std::size_t max_line_bytes = 64 * 1024;
  std::size_t max_pending_bytes = 4 * 1024 * 1024;
  std::uint64_t max_repeats = 200;  // 0: no limit
  std::int64_t repeat_window_ms = 10'000;
};

class Logger {
 public:
  // IO_FAILED when the file cannot be opened for appending. The clock outlives the logger.
  [[nodiscard]] static Result<std::unique_ptr<Logger>> open(const LogOptions& options, Clock& clock);
  // Writes what waits.
  ~Logger();
  Logger(const Logger&) = delete;
  Logger& operator=(const Logger&) = delete;

  [[nodiscard]] bool enabled(Level level) const { return level >= level_.load(std::memory_order_relaxed); }
  void set_level(Level level) { level_.store(level, std::memory_order_relaxed); }

  // Call it through EZ_LOG. Invalid UTF-8 becomes U+FFFD.
  void write(Level level, std::string_view component, std::string_view message,
             std::initializer_list<Field> fields = {});

  // Returns when everything that was written before the call is with the operating system or dropped.
  void flush();

  [[nodiscard]] Redactor& redactor();
  [[nodiscard]] std::uint64_t dropped_lines() const;     // queue full or sink failed
  [[nodiscard]] std::uint64_t suppressed_lines() const;  // repeated too often

 private:
  struct State;
  Logger(std::unique_ptr<State> state, Level level);
  std::atomic<Level> level_;
  std::unique_ptr<State> state_;
};

// The logger of the process. Before the first set it writes warnings and errors as text to standard error.
[[nodiscard]] Logger& process_logger();
// The logger must live until another one is set (nullptr: the first one again) and no thread uses it any
// more.
void set_process_logger(Logger* logger);

}  // namespace ez::telemetry

#define EZ_LOG(level, component, message, ...)                                           \
  do {                                                                                   \
    ::ez::telemetry::Logger& ez_logger = ::ez::telemetry::process_logger();              \
    if (ez_logger.enabled(::ez::telemetry::Level::level)) {                              \
      ez_logger.write(::ez::telemetry::Level::level, component, message, {__VA_ARGS__}); \
    }                                                                                    \
  } while (false)
