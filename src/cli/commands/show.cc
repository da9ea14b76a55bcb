#include "base/clock.h"
#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/conflict_text.h"
#include "cli/frame.h"
#include "cli/terminal.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

constexpr std::size_t kMaxChildren = 20;  // that are named

// What does not merge, and what resolvers did about it.
void print_conflicts(Session& session, const Value& view) {
  const Value* tasks = view.find("tasks");
  if (tasks == nullptr || !tasks->is_list()) return;
  for (const Value& task : tasks->as_list()) {
    const std::string text = conflict_text(task, "  ");
    if (text.empty()) continue;
    const bool open = task.string_or("state", "") == "conflict";
    session.out << (open ? "conflict  " : "merge  ") << printable(task.string_or("id", ""));
    if (open) session.out << ": " << printable(task.string_or("message", ""));
    session.out << "\n" << text;
  }
}

// The run that started this one, and those that its tasks started.
void print_family(Session& session, const Value& view) {
  if (const Value* parent = view.find("parent"); parent != nullptr && parent->is_map()) {
    session.out << "parent " << parent->string_or("run", "") << "/"
                << printable(parent->string_or("task", "")) << "\n";
  }
  const Value* tasks = view.find("tasks");
  if (tasks == nullptr || !tasks->is_list()) return;
  std::size_t children = 0;
  for (const Value& task : tasks->as_list()) {
    const std::string child(task.string_or("child", ""));
    if (child.empty() || ++children > kMaxChildren) continue;
    session.out << "child  " << printable(task.string_or("id", "")) << " = " << child << "\n";
  }
  if (children > kMaxChildren) session.out << "and " << children - kMaxChildren << " more children\n";
}

Result<int> run_show(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const Value view, api->get(run_target(arguments.text("RUN"))));
  if (arguments.has("json")) {
    session.out << to_json(view) << "\n";
    return kExitOk;
  }
  RunPicture picture;
  picture.take_run(view);
  FrameLimits limits;
  limits.color = wants_color();
  limits.unicode = writes_utf8();
  limits.width = wants_color() ? terminal_size().columns : 200;
  limits.height = SIZE_MAX;
  for (const std::string& line : draw_frame(picture, system_clock().now_ms(), limits))
    session.out << line << "\n";
  if (const Value* inputs = view.find("inputs"); inputs != nullptr && inputs->is_map()) {
    for (const auto& [name, value] : inputs->as_map()) {
      session.out << "input  " << printable(name) << " = " << clipped(printable(to_json(value)), 200) << "\n";
    }
  }
  print_family(session, view);
  print_conflicts(session, view);
  if (picture.state == "queued") {
    session.out << "waits for a place under the concurrency key "
                << printable(view.string_or("concurrency_key", "")) << "\n";
  }
  if (const Value* held = view.find("held_by"); held != nullptr && held->is_map()) {
    session.out << "held   " << held->string_or("kind", "") << " " << printable(held->string_or("name", ""))
                << " was paused by " << printable(held->string_or("by", "")) << " at "
                << held->string_or("since", "");
    if (!held->string_or("comment", "").empty())
      session.out << ": " << printable(held->string_or("comment", ""));
    session.out << "\n";
  }
  if (const Value* rollback = view.find("rollback"); rollback != nullptr && rollback->is_map()) {
    const Value* tasks = rollback->find("tasks");
    session.out << "rollback  " << rollback->string_or("state", "") << ", " << rollback->int_or("begun", 0)
                << " of " << (tasks != nullptr && tasks->is_list() ? tasks->as_list().size() : 0)
                << " compensations begun\n";
  }
  if (const Value* moves = view.find("migrations"); moves != nullptr && moves->is_list()) {
    for (const Value& move : moves->as_list()) {
      session.out << "moved  from version " << move.int_or("from", 0) << " to " << move.int_or("to", 0)
                  << " by " << printable(move.string_or("by", "")) << ", " << move.string_or("at", "")
                  << "\n";
    }
  }
  EZ_ASSIGN(const Value costs, api->get(run_target(arguments.text("RUN"), "/costs")));
  picture.take_costs(costs);
  session.out << (is_over(picture.state) ? summary_text(picture, limits) : replayed_line(picture));
  return kExitOk;
}

}  // namespace

Command show_command() {
  return {"show",
          "Show a run with its tasks",
          "  ez show r12\n  ez show r12 --json\n",
          {{"--json", "", "the API's view as JSON"}},
          {{"RUN", "the run, for example r12"}},
          true,
          run_show};
}

}  // namespace ez::cli
