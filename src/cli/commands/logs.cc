#include "cli/commands/commands.h"
#include "cli/log_filter.h"
#include "cli/terminal.h"

namespace ez::cli {
namespace {

Result<std::int64_t> attempt_of(Api& api, const Arguments& arguments) {
  if (arguments.has("attempt")) return arguments.number("attempt", 1, 1, 1'000'000);
  EZ_ASSIGN(const Value task, api.get(task_target(arguments.text("RUN"), arguments.text("TASK"))));
  const std::int64_t attempt = task.int_or("attempt", 0);
  if (attempt > 0) return attempt;
  return Error(Code::AttemptNotFound, "task " + arguments.text("TASK") + " of run " + arguments.text("RUN") +
                                          " has not been tried yet: it is " +
                                          std::string(task.string_or("state", "")));
}

Result<int> run_logs(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const std::int64_t attempt, attempt_of(*api, arguments));
  const std::string target = task_target(arguments.text("RUN"), arguments.text("TASK"),
                                         "/attempts/" + std::to_string(attempt) + "/logs");
  LogFilter filter(is_live_terminal());
  const auto print = [&](std::string_view bytes) {
    session.out << filter.take(bytes);
    session.out.flush();
    return session.out.good();
  };
  if (!arguments.has("follow")) {
    EZ_TRY(api->download(target + "?limit=8388608", print));
    return kExitOk;
  }
  EZ_TRY(api->stream(target, "", [&](const ApiEvent& event) {
    if (event.name == "end") return false;
    return event.name != "log" || print(event.data);
  }));
  return kExitOk;
}

}  // namespace

Command logs_command() {
  return {"logs",
          "Print what a task's command printed",
          "  ez logs r12 build\n  ez logs -f r12 build.3\n  ez logs r12 build --attempt 1\n",
          {{"-f,--follow", "", "go on until the attempt is over"},
           {"--attempt", "N", "which attempt (the newest)"}},
          {{"RUN", "the run, for example r12"}, {"TASK", "the task, for example build or build.3"}},
          true,
          run_logs};
}

}  // namespace ez::cli
