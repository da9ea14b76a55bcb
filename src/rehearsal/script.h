// A test file: what the tasks of a workflow are to answer, who decides what and when, and what is expected to
// come of it. docs/guide/testing-workflows.md explains every key.
//
// Plain data. Times are simulated milliseconds; every expectation keeps its place in the file.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/expression.h"
#include "base/value.h"
#include "orchestration/parse.h"

namespace ez::rehearsal {

inline constexpr std::size_t kMaxScriptBytes = 4 * 1024 * 1024;
inline constexpr std::size_t kMaxTests = 1'000;      // of one file
inline constexpr std::size_t kMaxScripted = 10'000;  // tasks, decisions, actions or expectations of one test
inline constexpr std::int64_t kDefaultUntilMs = 366LL * 24 * 3600 * 1000;
inline constexpr std::uint32_t kDefaultAgents = 1'000;  // tasks of one agent type at the same time

struct Place {
  int line = 0;
  int column = 0;
};

// What one attempt of a task does.
struct Attempt {
  std::string output;  // JSON; empty: none
  std::string code;    // of its failure; empty: it succeeds
  std::string message;
  std::int32_t exit_code = 0;
  bool final = false;  // no retry can mend it
  bool lost = false;   // its agent falls silent
  std::int64_t takes_ms = 0;
  std::int64_t cost_microusd = 0;
  std::uint32_t changed_files = 1;  // of a task that writes; 0: nothing to merge
  std::vector<std::string> artifacts;
  std::string conflict;  // its merge conflicts, once
};

struct Decision {
  enum class What : std::uint8_t { kApprove, kReject, kRetry, kCancel };
  What what = What::kApprove;
  std::int64_t after_ms = 0;  // since the task waits
  std::string by = "tester";
  std::string comment;
  Place place;
};

// Something that a person does to the run at a given time.
struct Action {
  enum class What : std::uint8_t { kPause, kResume, kCancel, kRetry, kBudget, kRestart, kSignal };
  std::int64_t at_ms = 0;  // since the run was started
  What what = What::kCancel;
  std::string task;               // kRestart
  bool redo = true;               // kRestart
  std::int64_t add_microusd = 0;  // kBudget
  std::int64_t extend_ms = 0;     // kBudget
  std::string signal;             // kSignal: its name
  std::string payload;            // kSignal: JSON; empty: null
  Place place;
};

template <typename T>
struct Expected {
  T value{};
  Place place;
};

struct Range {
  std::int64_t at_least = 0;
  std::int64_t at_most = INT64_MAX;
};

struct ExpectedTask {
  std::string key;
  std::optional<Expected<std::string>> state;
  std::optional<Expected<std::int64_t>> attempts;
  std::optional<Expected<Value>> output;
  std::optional<Expected<std::string>> error;  // its code; empty: none
  std::optional<Expected<Range>> starts_at;
  std::optional<Expected<Range>> ends_at;
  Place place;
};

struct ExpectedRun {
  std::optional<Expected<std::string>> refused;  // the code with which the start is refused
  std::optional<Expected<std::string>> state;    // also "waiting": for a person or a signal
  std::optional<Expected<std::string>> error;
  std::optional<Expected<Range>> takes;
  std::optional<Expected<std::int64_t>> cost_microusd;
  std::optional<Expected<std::vector<std::string>>> notices;
  std::optional<Expected<Value>> outputs;
  std::vector<Expected<std::string>> order;  // of first starts
  std::vector<ExpectedTask> tasks;
  std::vector<Expected<Expression>> that;
};

struct Test {
  std::string name;
  Value inputs{Value::Map{}};
  std::optional<orchestration::Priority> priority;
  std::uint32_t agents = kDefaultAgents;
  std::int64_t until_ms = kDefaultUntilMs;
  std::map<std::string, std::vector<Attempt>> tasks;  // by "build", "convert" (all instances) or "convert.3"
  std::map<std::string, std::vector<Decision>> decisions;
  std::vector<Action> actions;
  ExpectedRun expect;
  Place place;
};

struct Script {
  std::vector<Test> tests;
  std::vector<orchestration::Diagnostic> mistakes;  // when there are any, `tests` must not be used
};

// Never throws or aborts on any bytes.
[[nodiscard]] Script read_script(std::string_view source, const orchestration::Workflow& workflow);

}  // namespace ez::rehearsal
