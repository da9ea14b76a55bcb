// What a command-line agent prints, read as it comes: what is for people goes to the log, what is for the
// record to the transcript, and what it says of itself becomes a CliReport. One reader for each form of
// output, chosen by the agent type's `events`:
//   text         any program: what it prints is its answer, its exit status says whether it succeeded
//   claude-code  claude -p --output-format stream-json --verbose
//   codex        codex exec --json
//   gemini-cli   gemini -o stream-json
// Unknown events are kept in the transcript and otherwise ignored; lines that are no events are shown as they
// are. Nothing that an agent prints can fail a reader.
//
// Threads: one at a time. Bounds: kMaxEventBytes a line, the rest of a longer one is dropped; texts of a
// report kMaxReportText.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "agents/llm/attempt_log.h"
#include "agents/llm/transcript.h"
#include "base/value.h"

namespace ez::agents {

inline constexpr std::size_t kMaxEventBytes = 4 * 1024 * 1024;
inline constexpr std::size_t kMaxReportText = 64 * 1024;

// What it says that it used.
struct CliUsage {
  std::int64_t input_tokens = 0;  // without those of the cache
  std::int64_t cache_read_tokens = 0;
  std::int64_t cache_write_tokens = 0;
  std::int64_t output_tokens = 0;
  std::optional<std::int64_t> cost_microusd;
  void add(const CliUsage& other);
  [[nodiscard]] std::int64_t all_input() const {
    return input_tokens + cache_read_tokens + cache_write_tokens;
  }
};

struct CliReport {
  bool ended = false;   // it said that its work is over
  bool failed = false;  // and that it did not succeed; why is in `text`
  std::string reason;   // the form's own word for that, such as error_max_turns
  std::string text;     // its last words
  std::optional<CliUsage> usage;
};

class CliEvents {
 public:
  CliEvents(AttemptLog& log, Transcript& transcript) : log_(log), transcript_(transcript) {}
  virtual ~CliEvents() = default;
  CliEvents(const CliEvents&) = delete;
  CliEvents& operator=(const CliEvents&) = delete;

  // One line of standard output, without its newline; `cut`: it was longer.
  virtual void line(std::string_view text, bool cut) = 0;
  // No more comes.
  virtual void end() {}
  // Whether an exit status of 0 without a result counts as an end.
  [[nodiscard]] virtual bool ends_by_exit() const { return false; }

  [[nodiscard]] const CliReport& report() const { return report_; }
  [[nodiscard]] std::uint64_t unreadable_lines() const { return unreadable_; }

 protected:
  void show(std::string_view text);  // as a text of its own
  void show_call(std::string_view name, const Value* input);
  void say(std::string_view text);  // its last words so far

  AttemptLog& log_;
  Transcript& transcript_;
  CliReport report_;
  std::uint64_t unreadable_ = 0;
};

// `events` is one of orchestration::kCliEvents.
[[nodiscard]] std::unique_ptr<CliEvents> cli_events(std::string_view events, AttemptLog& log,
                                                    Transcript& transcript);

// A form of one JSON object a line.
class JsonCliEvents : public CliEvents {
 public:
  using CliEvents::CliEvents;
  void line(std::string_view text, bool cut) final;

 protected:
  virtual void event(std::string_view type, const Value& event) = 0;
};
[[nodiscard]] std::unique_ptr<CliEvents> claude_events(AttemptLog& log, Transcript& transcript);
[[nodiscard]] std::unique_ptr<CliEvents> codex_events(AttemptLog& log, Transcript& transcript);
[[nodiscard]] std::unique_ptr<CliEvents> gemini_events(AttemptLog& log, Transcript& transcript);

// A count of an event: not negative, whatever stands there.
[[nodiscard]] std::int64_t count_of(const Value* map, std::string_view key);
// A member that is a map, or null.
[[nodiscard]] const Value* map_of(const Value* map, std::string_view key);
[[nodiscard]] const Value* list_of(const Value* map, std::string_view key);

// Cuts a stream of bytes into lines, each given once, with `secret` replaced. Lines are given without
// newline and carriage return, the last one also without its end.
class LineCutter {
 public:
  using OnLine = std::function<void(std::string_view line, bool cut)>;
  LineCutter(std::string secret, OnLine on_line) : secret_(std::move(secret)), on_line_(std::move(on_line)) {}
  void feed(std::string_view bytes);
  void end();

 private:
  void give();

  const std::string secret_;
  const OnLine on_line_;
  std::string line_;
  bool cut_ = false;
};

}  // namespace ez::agents
