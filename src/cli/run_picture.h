// A run as a follower sees it: built from the API's view, kept up to date by its events. Pure values.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/value.h"
#include "cli/api_port.h"

namespace ez::cli {

struct TaskPicture {
  std::string id;
  std::string name;
  std::string state = "waiting";
  std::int64_t attempt = 0;
  std::int64_t max_attempts = 0;
  std::string agent;
  std::int64_t started_ms = 0;   // of the present attempt; 0: not started
  std::int64_t finished_ms = 0;  // 0: not finished
  std::string error;             // "CODE: message"
  std::string message;           // what a person is asked
  std::string group;             // of an instance: the id of its for_each task
  bool is_group = false;         // a for_each task that has instances
  std::vector<std::string> artifacts;
};

[[nodiscard]] bool is_done(std::string_view task_state);           // succeeded, failed, skipped, cancelled
[[nodiscard]] bool waits_for_person(std::string_view task_state);  // approval, conflict, paused
[[nodiscard]] bool is_over(std::string_view run_state);            // succeeded, failed, cancelled

// "CODE: message" of a view with an error; empty otherwise.
[[nodiscard]] std::string error_text(const Value& view);
// What an event `notice` of that kind says about the run.
[[nodiscard]] std::string notice_line(std::string_view kind, const Value& run);

struct RunPicture {
  std::string id;
  std::string workflow;
  std::string state = "running";
  std::int64_t created_ms = 0;
  std::int64_t finished_ms = 0;
  std::int64_t cost_microusd = 0;
  std::int64_t budget_microusd = 0;  // 0: none
  std::string repository;
  std::string branch;
  std::string head;
  std::string error;
  std::int64_t model_calls = 0;     // as take_costs() was told
  std::int64_t replayed_calls = 0;  // of them: answered from a recording
  std::vector<TaskPicture> tasks;

  [[nodiscard]] TaskPicture* find(std::string_view task);
  // Takes over a view of the run: its own fields, and its tasks when it has some. Tasks that are known are
  // replaced.
  void take_run(const Value& view);
  void take_task(const Value& view);
  // Takes over the view of what the run cost.
  void take_costs(const Value& view);
  // A `task` or `run` event. The task that changed, or nullptr.
  TaskPicture* take_event(const ApiEvent& event);

 private:
  std::map<std::string, std::size_t, std::less<>> places_;
};

}  // namespace ez::cli
