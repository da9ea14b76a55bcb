#include "cli/run_picture.h"

#include "base/json.h"
#include "cli/text.h"

namespace ez::cli {

std::string error_text(const Value& view) {
  const Value* error = view.find("error");
  if (error == nullptr || !error->is_map()) return "";
  return std::string(error->string_or("code", "")) + ": " + std::string(error->string_or("message", ""));
}

std::string notice_line(std::string_view kind, const Value& run) {
  const std::string id(run.string_or("id", ""));
  const std::string spent = money_text(run.int_or("cost_microusd", 0));
  const std::string budget = money_text(run.int_or("budget_microusd", 0));
  if (kind == "cost_warning") return "warning: run " + id + " has spent " + spent + " of " + budget;
  if (kind == "deadline_warning")
    return "warning: run " + id + " must be over at " + std::string(run.string_or("deadline_at", ""));
  if (kind == "migrated")
    return "It has version " + std::to_string(run.int_or("version", 0)) + " of its workflow now.";
  if (kind == "budget_exceeded") {
    return "run " + id + " has no money left for what comes next (" + spent + " of " + budget +
           ")\n  ez budget " + id + " --add USD   or   ez cancel " + id;
  }
  return "run " + id + ": " + std::string(kind);
}

bool is_done(std::string_view state) {
  return state == "succeeded" || state == "failed" || state == "skipped" || state == "cancelled";
}

bool waits_for_person(std::string_view state) {
  return state == "approval" || state == "conflict" || state == "paused";
}

bool is_over(std::string_view state) {
  return state == "succeeded" || state == "failed" || state == "cancelled";
}

TaskPicture* RunPicture::find(std::string_view task) {
  const auto found = places_.find(task);
  return found == places_.end() ? nullptr : &tasks[found->second];
}

void RunPicture::take_run(const Value& view) {
  id = view.string_or("id", id);
  workflow = view.string_or("workflow", workflow);
  state = view.string_or("state", state);
  created_ms = parse_time(view.string_or("created_at", ""));
  finished_ms = parse_time(view.string_or("finished_at", ""));
  cost_microusd = view.int_or("cost_microusd", cost_microusd);
  budget_microusd = view.int_or("budget_microusd", 0);
  repository = view.string_or("repository", "");
  branch = view.string_or("branch", "");
  head = view.string_or("head", "");
  error = error_text(view);
  if (const Value* list = view.find("tasks"); list != nullptr && list->is_list()) {
    for (const Value& task : list->as_list()) take_task(task);
  }
}

void RunPicture::take_costs(const Value& view) {
  model_calls = replayed_calls = 0;
  const Value* items = view.find("items");
  if (items == nullptr || !items->is_list()) return;
  for (const Value& line : items->as_list()) {
    const std::int64_t calls = line.int_or("calls", 0);
    model_calls += calls;
    if (line.bool_or("replayed", false)) replayed_calls += calls;
  }
}

void RunPicture::take_task(const Value& view) {
  const std::string key(view.string_or("id", ""));
  if (key.empty()) return;
  TaskPicture* task = find(key);
  if (task == nullptr) {
    places_[key] = tasks.size();
    tasks.emplace_back();
    task = &tasks.back();
  }
  task->id = key;
  task->name = view.string_or("name", key);
  task->state = view.string_or("state", task->state);
  task->attempt = view.int_or("attempt", 0);
  task->max_attempts = view.int_or("max_attempts", 0);
  task->agent = view.string_or("agent", "");
  task->started_ms = parse_time(view.string_or("started_at", ""));
  task->finished_ms = parse_time(view.string_or("finished_at", ""));
  task->error = error_text(view);
  task->message = view.string_or("message", "");
  task->group = view.string_or("group", "");
  task->is_group = view.int_or("instances", 0) > 0;
  task->artifacts.clear();
  if (const Value* list = view.find("artifacts"); list != nullptr && list->is_list()) {
    for (const Value& artifact : list->as_list())
      task->artifacts.emplace_back(artifact.string_or("name", ""));
  }
}

TaskPicture* RunPicture::take_event(const ApiEvent& event) {
  const auto data = parse_json(event.data);
  if (!data.ok()) return nullptr;
  const std::int64_t at_ms = parse_time(data->string_or("at", ""));
  if (event.name == "run") {
    state = data->string_or("state", state);
    if (is_over(state)) finished_ms = at_ms;
    return nullptr;
  }
  if (event.name != "task") return nullptr;
  const std::string key(data->string_or("task", ""));
  if (key.empty()) return nullptr;
  TaskPicture* task = find(key);
  if (task == nullptr) {  // an instance of a for_each that was expanded since
    const std::size_t dot = key.rfind('.');
    const std::string group = dot == std::string::npos ? "" : key.substr(0, dot);
    if (TaskPicture* of = find(group)) of->is_group = true;
    places_[key] = tasks.size();
    tasks.emplace_back();
    task = &tasks.back();
    task->id = task->name = key;
    task->group = group;
  }
  task->state = data->string_or("state", task->state);
  const std::int64_t attempt = data->int_or("attempt", task->attempt);
  if (task->state == "running" && (attempt != task->attempt || task->started_ms == 0)) {
    task->started_ms = at_ms;
    task->agent.clear();
  }
  task->attempt = attempt;
  task->finished_ms = is_done(task->state) ? at_ms : 0;
  return task;
}

}  // namespace ez::cli
