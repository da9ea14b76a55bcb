// Pauses of a workflow, an agent type or a namespace: what runs is left to finish, nothing new starts. The
// ready tasks stay where they stand (ready_index.h); a task that has its place under a concurrency key keeps
// it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace ez::core {

class State;
struct Run;
struct Task;

inline constexpr std::size_t kMaxPauses = 10'000;

// Numbers are logged: append only.
enum class PauseKind : std::uint8_t { kNone = 0, kWorkflow = 1, kAgentType = 2, kNamespace = 3 };

struct Pause {
  PauseKind kind = PauseKind::kNone;
  std::string name_space;  // of a workflow
  std::string name;
  bool active = true;
  std::string principal;  // who paused it
  std::string comment;
  std::int64_t since_ms = 0;
  // When it was resumed: timeouts of tasks that waited meanwhile start again then.
  std::int64_t resumed_ms = 0;
};

// Those that are active, in order of their keys; shared with readers on other threads. Never null.
using PauseBoard = std::shared_ptr<const std::vector<Pause>>;

[[nodiscard]] std::string pause_key(PauseKind kind, const std::string& name_space, const std::string& name);
[[nodiscard]] std::string_view to_text(PauseKind kind);

// Puts the record into the state and takes its effect on what is ready.
void put_pause(State& state, Pause pause);

// The pause that holds a ready task now; null when none does.
[[nodiscard]] const Pause* holding_pause(const State& state, const Run& run, const Task& task);
// When the last pause ended that held it since it became ready; 0 when there was none.
[[nodiscard]] std::int64_t last_resumed_ms(const State& state, const Run& run, const Task& task);

}  // namespace ez::core
