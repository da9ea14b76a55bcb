// rollback: undoes what a finished run merged, by commits on top of the branch that has it. Not the rollback
// of a run that fails, which the server does with the workflow's compensations.
#include <filesystem>

#include "agents/undo_run.h"
#include "base/ids.h"
#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/run_picture.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

namespace fs = std::filesystem;

Result<agents::UndoRequest> undo_request(Api& api, const Arguments& arguments) {
  agents::UndoRequest request;
  request.run = arguments.text("RUN");
  if (!parse_run_id(request.run))
    return Error(Code::InvalidArgument, "'" + request.run + "' is no run", "A run is named like r12.");
  EZ_ASSIGN(const Value view, api.get(run_target(request.run)));
  if (!is_over(view.string_or("state", ""))) {
    return Error(Code::WrongState,
                 request.run + " is not over: it is " + std::string(view.string_or("state", "")),
                 "Cancel it first (`ez cancel " + request.run + "`), or wait for its end.");
  }
  request.repository = view.string_or("repository", "");
  if (arguments.has("repository")) {
    std::error_code failed;
    request.repository = fs::absolute(arguments.text("repository"), failed).lexically_normal().string();
  } else if (std::error_code failed; !request.repository.empty() && !fs::exists(request.repository, failed)) {
    return Error(Code::RepositoryInvalid,
                 "the run's repository " + request.repository + " is not on this machine",
                 "Run it where the repository is, or give a clone that has the branch: --repository PATH.");
  }
  request.branch = arguments.text("branch", view.string_or("branch", ""));
  request.into = arguments.text("into");
  request.since_s = parse_time(view.string_or("created_at", "")) / 1000;
  request.dry_run = arguments.has("dry-run");
  if (const Value* tasks = view.find("tasks"); tasks != nullptr && tasks->is_list()) {
    for (const Value& task : tasks->as_list()) {
      const std::string head(task.string_or("merged_head", ""));
      const std::string commit(task.string_or("commit", ""));
      if (!head.empty()) request.tasks.push_back({std::string(task.string_or("id", "")), commit, head});
    }
  }
  if (request.repository.empty() || request.tasks.empty())
    return Error(Code::RollbackRefused, request.run + " merged no work: there is nothing to undo",
                 "`ez show " + request.run + "` says what it did.");
  return request;
}

Value undo_value(const agents::UndoRequest& request, const agents::UndoResult& result) {
  Value::List steps;
  for (const agents::UndoStep& step : result.steps) {
    steps.push_back(Value(Value::Map{{"task", Value(step.task)},
                                     {"merge", Value(step.merge)},
                                     {"undone_by", step.commit.empty() ? Value() : Value(step.commit)},
                                     {"changed_files", Value(step.changed_files)}}));
  }
  return Value(Value::Map{{"run", Value(request.run)},
                          {"repository", Value(request.repository)},
                          {"branch", Value(request.into.empty() ? request.branch : request.into)},
                          {"before", Value(result.before)},
                          {"after", Value(result.after)},
                          {"dry_run", Value(request.dry_run)},
                          {"exact", Value(result.exact)},
                          {"merges", Value(std::move(steps))}});
}

void print_undone(Session& session, const agents::UndoRequest& request, const agents::UndoResult& result) {
  const std::string branch = printable(request.into.empty() ? request.branch : request.into);
  if (result.after == result.before) {
    session.out << "Nothing of " << request.run << " is left on " << printable(request.branch)
                << ": it was undone already.\n";
    return;
  }
  std::vector<std::vector<std::string>> rows{{"TASK", "MERGE", "UNDONE BY", "FILES"}};
  for (const agents::UndoStep& step : result.steps) {
    rows.push_back({printable(step.task), step.merge.substr(0, 12),
                    step.commit.empty() ? "already undone" : step.commit.substr(0, 12),
                    std::to_string(step.changed_files)});
  }
  session.out << table_text(rows);
  session.out << (request.dry_run ? "Would undo " : "Undid ") << request.run << " on " << branch << ": "
              << result.before.substr(0, 12) << " -> " << result.after.substr(0, 12) << ". "
              << (result.exact ? "Its tree is the one before the run.\n" : "What came later is kept.\n");
  if (request.dry_run) session.out << "Nothing was changed; without --dry-run it is done.\n";
}

Result<int> rollback(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const agents::UndoRequest request, undo_request(*api, arguments));
  EZ_ASSIGN(const agents::UndoResult result, agents::undo_run(request));
  if (arguments.has("json")) {
    session.out << to_json(undo_value(request, result)) << "\n";
  } else {
    print_undone(session, request, result);
  }
  return kExitOk;
}

}  // namespace

Command rollback_command() {
  return {"rollback",
          "Undo what a finished run merged, with one commit for each merge; history is kept",
          "  ez rollback r12 --dry-run\n  ez rollback r12\n"
          "  ez rollback r12 --branch main --into undo-r12 && git merge undo-r12\n",
          {{"--branch", "BRANCH", "the branch that has its work (the run's own)"},
           {"--into", "NAME", "put the result on a new branch instead; needed while BRANCH is checked out"},
           {"--dry-run", "", "say what would be done, move nothing"},
           {"--repository", "PATH", "a clone that has the branch, instead of the run's repository"},
           {"--json", "", "as JSON"}},
          {{"RUN", "the run, for example r12"}},
          true,
          rollback};
}

}  // namespace ez::cli
