#include "agents/resolver.h"

#include <algorithm>
#include <array>

#include "agents/files.h"
#include "base/json.h"

namespace ez::agents {
namespace {

using std::chrono::milliseconds;

// Another try would meet the same.
bool is_hopeless(const Error& error) {
  constexpr std::array<Code, 4> kHopeless{Code::BudgetExceeded, Code::SandboxUnavailable,
                                          Code::GatewayMissing, Code::AgentTypeUnknown};
  return std::find(kHopeless.begin(), kHopeless.end(), error.code()) != kHopeless.end();
}

std::string paths_of(const MergeProblem& problem) {
  std::string out;
  for (const MergeFile& file : problem.files) out += (out.empty() ? "" : ", ") + file.path;
  return out;
}

Value merge_json(const MergeProblem& problem, const ResolverNeed& need,
                 const std::vector<ResolverTry>& tries) {
  Value::List files;
  for (const MergeFile& file : problem.files) {
    Value entry(Value::Map{{"path", file.path}});
    for (std::size_t i = 0; i < file.sides.size(); ++i)
      entry.set(kMergeSides[i], !file.sides[i].mode.empty());
    files.push_back(std::move(entry));
  }
  Value::List earlier;
  for (std::size_t i = 0; i + 1 < tries.size(); ++i) {
    earlier.push_back(Value::Map{{"code", tries[i].error_code}, {"message", tries[i].error_message}});
  }
  return Value::Map{{"try", static_cast<std::int64_t>(tries.size())},
                    {"tries", need.tries},
                    {"check_failed", problem.check_failed},
                    {"files", std::move(files)},
                    {"allowed", Value::List(problem.allowed.begin(), problem.allowed.end())},
                    {"earlier", std::move(earlier)}};
}

}  // namespace

Resolver::Resolver(Attempt& attempt, const Attempt::MakeBody& bodies)
    : attempt_(attempt), bodies_(bodies), need_(*attempt.item().merge.resolver) {}

bool Resolver::may_try() const { return !gave_up_ && tries_.size() < static_cast<std::size_t>(need_.tries); }

void Resolver::refused(const Error& why) {
  tries_.back() = {std::string(why.name()), why.message().substr(0, 1000)};
  attempt_.log().note("the resolver's result is not taken: " + why.message());
}

void Resolver::check_failed(const Error& why, const std::string& printed) {
  check_ = why.message();
  printed_ = printed;
}

Status Resolver::show_merge(const Workspace& place, const MergeProblem& problem) const {
  const std::string base = place.root() + "/ez/merge";
  EZ_TRY(remove_tree(base));
  EZ_TRY(make_folders(base));
  for (const MergeFile& file : problem.files) {
    for (std::size_t i = 0; i < file.sides.size(); ++i) {
      if (file.sides[i].mode.empty()) continue;
      const std::string path = base + "/" + std::string(kMergeSides[i]) + "/" + file.path;
      EZ_TRY(make_folders(path.substr(0, path.rfind('/'))));
      GitCall blob;
      blob.arguments = {"cat-file", "blob", file.sides[i].blob};
      EZ_ASSIGN(const ProcessOutcome outcome, place.git()->run(blob));
      if (outcome.exit_code != 0) return Error(Code::GitFailed, "git cat-file blob: " + outcome.err);
      EZ_TRY(write_file(path, outcome.out, file.sides[i].mode == "100755" ? 0755 : 0644));
    }
  }
  if (!problem.files.empty()) EZ_TRY(write_file(base + "/conflict.txt", problem.text));
  if (problem.check_failed) EZ_TRY(write_file(base + "/check.txt", printed_));
  return write_file(base + "/merge.json", to_json(merge_json(problem, need_, tries_)) + "\n");
}

WorkItem Resolver::item_of_try(const Workspace& place, const MergeProblem& problem) const {
  WorkItem item = attempt_.item();
  item.kind = WorkKind::kExecute;
  item.agent_type = need_.agent_type;
  item.agent_model = need_.agent_model;
  item.max_turns = need_.max_turns;
  item.max_tokens = need_.max_tokens;
  item.run_command = need_.run_command;
  item.prompt.clear();
  if (need_.agent_type != "exec") {
    const std::vector<ResolverTry> earlier(tries_.begin(), tries_.end() - 1);
    item.prompt = resolver_prompt(attempt_.item(), place, problem, earlier, check_, printed_);
  }
  item.verify = item.merge.verify;
  item.workspace.mode = "write";
  item.output_schema = {};
  item.mcp = {};
  item.artifacts.clear();
  item.start_to_close_ms = need_.timeout_ms;
  if (const auto left = attempt_.time_left()) {
    item.start_to_close_ms =
        std::max<std::int64_t>(1, std::min<std::int64_t>(item.start_to_close_ms, left->count()));
  }
  return item;
}

Result<bool> Resolver::settle(Workspace& place, const MergeProblem& problem) {
  tries_.emplace_back();
  const std::string number = std::to_string(tries_.size());
  attempt_.log().note("resolver " + need_.agent_type + ", try " + number + " of " +
                      std::to_string(need_.tries) + ": " +
                      (problem.check_failed ? "the check fails on the merged tree"
                                            : "the merge conflicts in " + paths_of(problem)));
  EZ_TRY(show_merge(place, problem));
  const WorkItem item = item_of_try(place, problem);
  Attempt::Guest guest;
  auto body = bodies_ ? bodies_(item)
                      : Result<std::unique_ptr<Attempt::Body>>(
                            Error(Code::AgentTypeUnknown, "this worker has no resolvers"));
  if (body.ok()) {
    Attempt inner(attempt_.ports(), item, attempt_.log(), attempt_.cancel(),
                  std::chrono::steady_clock::now());
    inner.show({place.root() + "/ez/merge", "/ez/merge", false});
    inner.set_variable("EZ_MERGE", "/ez/merge");
    guest = inner.work_in(place, **body);
  } else {
    guest.status = body.error();
    guest.final = true;
  }
  for (ArtifactRef& artifact : guest.artifacts) {
    artifact.name = "resolver/" + number + "/" + artifact.name;
    artifacts_.push_back(std::move(artifact));
  }
  if (guest.status.ok()) return true;
  const Error& error = guest.status.error();
  if (attempt_.cancel().cancelled())
    return Error(Code::TaskCancelled, "cancelled while the resolver was at work");
  if (const auto left = attempt_.time_left(); left && left->count() <= 0) return attempt_.timed_out();
  gave_up_ = guest.final || is_hopeless(error);
  tries_.back() = {std::string(error.name()), error.message().substr(0, 1000)};
  attempt_.log().note("the resolver settled nothing: " + error.to_string());
  return false;
}

void Resolver::report(bool merged, TaskResult& result) {
  if (tries_.empty()) return;
  // One that was cut off in the middle says so.
  if (!merged && tries_.back().error_code.empty())
    tries_.back() = {"TASK_CANCELLED", "the merge ended before"};
  result.resolver_type = need_.agent_type;
  result.resolver_tries = tries_;
  result.artifacts.insert(result.artifacts.end(), artifacts_.begin(), artifacts_.end());
}

}  // namespace ez::agents
