#include "agents/exec_runner.h"

namespace ez::agents {
namespace {

class ExecBody final : public Attempt::Body {
 public:
  Status work(Attempt& attempt) override {
    const std::string& command = attempt.item().run_command;
    if (command.empty()) return {};
    return attempt.run_script(command, Code::CommandFailed, "the command failed");
  }
};

}  // namespace

TaskResult ExecRunner::run(const WorkItem& item, LogPort& log, const CancelToken& cancel) {
  if (item.kind == WorkKind::kMerge) {
    return run_merge(ports_, item, log, cancel,
                     [this](const WorkItem& of_try) -> Result<std::unique_ptr<Attempt::Body>> {
                       if (of_try.agent_type == "exec") return std::unique_ptr<Attempt::Body>(new ExecBody);
                       if (bodies_) return bodies_(of_try);
                       return Error(Code::AgentTypeUnknown,
                                    "this worker has no resolvers of the type " + of_try.agent_type);
                     });
  }
  if (item.agent_type != "exec") {
    return failure_of(
        item, Outcome::kFailed,
        Error(Code::RequestInvalid, "this agent runs work of type exec, not " + item.agent_type));
  }
  ExecBody body;
  return run_item(ports_, item, log, cancel, body);
}

}  // namespace ez::agents
