#include "core/variables.h"

#include <set>

#include "base/clock.h"
#include "base/json.h"

namespace ez::core {
namespace {

Value output_value(const Task& task) {
  const std::string& text = task.get().output;
  if (text.empty()) return Value();
  auto parsed = parse_json(text);
  // It was checked at the door; a text that does not parse shows as null rather than stopping the run.
  return parsed.ok() ? std::move(parsed).value() : Value();
}

class Scope {
 public:
  Scope(const Run& run, const Task* task) : run_(run), task_(task) {}

  void need(const Expression& expression) {
    for (const auto& path : expression.paths()) {
      if (path.empty() || path[0] != "tasks") continue;
      if (path.size() == 1) {
        all_tasks_ = true;
      } else {
        names_.insert(path[1]);
        if (path.size() == 2 || path[2] == "outputs") with_outputs_.insert(path[1]);
      }
    }
  }
  void need(const Template& text) {
    for (const Expression& expression : text.expressions()) need(expression);
  }

  const Value* find(std::string_view name) {
    if (name == "inputs") return &run_.inputs;
    if (name == "tasks") return &tasks();
    if (name == "run") return &run_value();
    if (task_ == nullptr || task_->instance == kNoInstance) return nullptr;
    if (name == "item") {
      item_ = item_of(run_, *task_);
      return &item_;
    }
    if (name == "index") {
      index_ = Value(static_cast<std::int64_t>(task_->instance));
      return &index_;
    }
    return nullptr;
  }

 private:
  const Value& tasks() {
    if (!tasks_.is_null()) return tasks_;
    Value::Map map;
    const auto& definition = run_.definition();
    if (all_tasks_) {
      for (std::uint32_t i = 0; i < definition.tasks.size(); ++i) {
        map.emplace_back(definition.tasks[i].id, task_value(run_, i));
      }
    } else {
      for (const std::string& name : names_) {
        const auto index = definition.find_task(name);
        if (index) {
          map.emplace_back(name, task_value(run_, *index, with_outputs_.contains(name)));
        }
      }
    }
    tasks_ = Value(std::move(map));
    return tasks_;
  }
  const Value& run_value() {
    if (run_value_.is_null()) {
      run_value_ = Value(Value::Map{
          {"id", Value(to_text(run_.id))},
          {"workflow", Value(run_.definition().name)},
          {"version", Value(static_cast<std::int64_t>(run_.workflow->version))},
          {"namespace", Value(run_.workflow->namespace_name)},
          {"created_at", Value(format_time(run_.created_ms))},
          {"scheduled_at", Value(format_time(run_.schedule_ms == 0 ? run_.created_ms : run_.schedule_ms))}});
    }
    return run_value_;
  }

  const Run& run_;
  const Task* task_;
  std::set<std::string> names_;
  std::set<std::string> with_outputs_;  // of these all outputs are asked for
  bool all_tasks_ = false;
  Value tasks_;
  Value run_value_;
  Value item_;
  Value index_;
};

}  // namespace

Value item_of(const Run& run, const Task& task) {
  if (task.instance == kNoInstance) return Value();
  const Value& items = run.tasks[task.definition].get().items;
  if (!items.is_list() || task.instance >= items.as_list().size()) return Value();
  return items.as_list()[task.instance];
}

Value task_value(const Run& run, std::uint32_t index, bool outputs) {
  const Task& task = run.tasks[index];
  const TaskDetail& detail = task.get();
  Value::Map map;
  map.emplace_back("state", Value(to_text(task.state)));
  map.emplace_back("attempt", Value(static_cast<std::int64_t>(task.attempt)));
  map.emplace_back("output", output_value(task));
  map.emplace_back("commit", Value(detail.commit));
  map.emplace_back("changed_files", Value(static_cast<std::int64_t>(detail.changed_files)));
  if (!detail.output_blob.empty()) map.emplace_back("output_blob", Value(detail.output_blob));
  map.emplace_back("error", detail.error.code.empty()
                                ? Value()
                                : Value(Value::Map{{"code", Value(detail.error.code)},
                                                   {"message", Value(detail.error.message)}}));
  Value::List artifacts;
  for (const Artifact& artifact : detail.artifacts) artifacts.emplace_back(artifact.name);
  map.emplace_back("artifacts", Value(std::move(artifacts)));
  if (run.definition_of(task).for_each && task.instance == kNoInstance) {
    const bool expanded = task.state != TaskState::kWaiting;
    const std::uint32_t open = task.state == TaskState::kExpanded ? task.missing : 0;
    map.emplace_back("instances", expanded ? Value(static_cast<std::int64_t>(task.child_count)) : Value());
    map.emplace_back("finished", Value(static_cast<std::int64_t>(task.child_count - open)));
    if (outputs) {
      Value::List list;
      list.reserve(task.child_count);
      for (std::uint32_t i = 0; i < task.child_count; ++i)
        list.push_back(output_value(run.tasks[task.first_child + i]));
      map.emplace_back("outputs", Value(std::move(list)));
    }
  }
  return Value(std::move(map));
}

Result<Value> evaluate(const Run& run, const Task* task, const Expression& expression) {
  Scope scope(run, task);
  scope.need(expression);
  return expression.evaluate([&](std::string_view name) { return scope.find(name); });
}

Result<Value> evaluate(const Run& run, const Task* task, const Template& text) {
  Scope scope(run, task);
  scope.need(text);
  return text.evaluate([&](std::string_view name) { return scope.find(name); });
}

Result<std::string> render(const Run& run, const Task* task, const Template& text,
                           Template::Quoting quoting) {
  Scope scope(run, task);
  scope.need(text);
  return text.render([&](std::string_view name) { return scope.find(name); }, quoting);
}

}  // namespace ez::core
