#include "cli/run_checks.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <optional>
#include <set>
#include <thread>

#include "agents/attempt.h"
#include "agents/run_merges.h"
#include "base/json.h"
#include "cli/api_artifacts.h"
#include "cli/frame.h"
#include "cli/log_filter.h"
#include "cli/run_picture.h"
#include "cli/signals.h"
#include "cli/terminal.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr std::size_t kMaxChecks = 20'000;
constexpr std::size_t kKeptOutput = 16 * 1024;  // of what one check printed: its end
constexpr std::size_t kShownLines = 20;         // of it, under a failed check
constexpr milliseconds kLookForSignals{1'000};

// Keeps the end of what a check prints, and hands all of it on when somebody wants to watch.
class CheckLog final : public agents::LogPort {
 public:
  explicit CheckLog(std::ostream* watch) : watch_(watch), filter_(watch != nullptr && wants_color()) {}

  Result<std::uint64_t> size() override { return size_; }
  Status append(std::uint64_t offset, std::string_view bytes) override {
    if (offset < size_) bytes.remove_prefix(std::min<std::uint64_t>(size_ - offset, bytes.size()));
    size_ += bytes.size();
    end_.append(bytes);
    if (end_.size() > 2 * kKeptOutput) end_.erase(0, end_.size() - kKeptOutput);
    if (watch_ != nullptr) *watch_ << filter_.take(bytes) << std::flush;
    return {};
  }
  [[nodiscard]] std::string end() const {
    return end_.size() > kKeptOutput ? end_.substr(end_.size() - kKeptOutput) : end_;
  }

 private:
  std::ostream* const watch_;
  LogFilter filter_;
  std::uint64_t size_ = 0;
  std::string end_;
};

struct Check {
  std::string task;
  std::string commit;  // the work
  std::string head;    // of the branch after the merge, as recorded
  agents::WorkItem work;
  std::string at;       // the commit whose tree is checked; empty: there is none
  std::string verdict;  // passed, failed, unchecked, missing
  std::string why;      // of failed and missing: "CODE: message"
  std::string code;
  std::optional<std::int64_t> exit_code;
  std::int64_t duration_ms = 0;
  std::string output;
};

struct Place {
  std::string repository;
  std::string branch;
  std::string head;  // of what is tested; of the run's branch when tasks are validated, empty: it is gone
};

// Codes that are a verdict about the work; any other keeps this machine from checking at all.
bool is_verdict(std::string_view code) {
  constexpr std::string_view kVerdicts[] = {"VERIFY_FAILED", "COMMAND_TIMEOUT", "OUTPUT_LIMIT",
                                            "MEMORY_LIMIT",  "PROCESS_LIMIT",   "DISK_LIMIT",
                                            "CPU_LIMIT"};
  return std::find(std::begin(kVerdicts), std::end(kVerdicts), code) != std::end(kVerdicts);
}

Result<std::vector<Check>> read_checks(Api& api, const std::string& run,
                                       const std::vector<std::string>& tasks) {
  EZ_ASSIGN(const Value::List items, list_all(api, run_target(run, "/checks"), kMaxChecks));
  std::vector<Check> checks;
  std::set<std::string> found;
  for (const Value& item : items) {
    Check check;
    check.task = item.string_or("task", "");
    check.commit = item.string_or("commit", "");
    check.head = item.string_or("merged_head", "");
    if (!tasks.empty()) {
      // A for_each is meant with all of its instances.
      const auto wanted = std::find_if(tasks.begin(), tasks.end(), [&](const std::string& task) {
        return check.task == task || check.task.substr(0, check.task.rfind('.')) == task;
      });
      if (wanted == tasks.end()) continue;
      found.insert(*wanted);
    }
    const Value* work = item.find("work");
    if (work == nullptr) return Error(Code::Internal, "the server lists a check without its work");
    // Nobody holds a lease for it, and an item without one is none.
    Value leased = *work;
    Value lease = work->find("lease") == nullptr ? Value() : *work->find("lease");
    lease.set("heartbeat_ms", Value(1));
    leased.set("lease", std::move(lease));
    leased.set("fence", Value(1));
    EZ_ASSIGN(check.work, agents::parse_work_item(leased));
    checks.push_back(std::move(check));
  }
  for (const std::string& task : tasks) {
    if (!found.contains(task))
      return Error(Code::TaskNotFound, "run " + run + " merged no work of a task " + task);
  }
  return checks;
}

Result<Place> place_of(const Arguments& arguments, const Value& view, const std::vector<Check>& checks) {
  Place place;
  place.branch = view.string_or("branch", "");
  place.repository = checks.front().work.workspace.repository;
  if (arguments.has("repository")) {
    std::error_code failed;
    place.repository = fs::absolute(arguments.text("repository"), failed).lexically_normal().string();
  } else if (std::error_code failed; !fs::exists(place.repository, failed)) {
    return Error(
        Code::RepositoryInvalid, "the run's repository " + place.repository + " is not on this machine",
        "Run it where the repository is, or give a clone that has the run's branch: --repository PATH.");
  }
  return place;
}

// Where each task's own merge is, and whether it is part of the branch.
Status find_own_merges(const agents::Git& git, const std::string& run, const Value& view, const Place& place,
                       std::vector<Check>& checks) {
  std::vector<agents::MergedTask> tasks;
  for (const Check& check : checks) tasks.push_back({check.task, check.commit, check.head});
  EZ_ASSIGN(const agents::RunMerges merges,
            agents::find_run_merges(git, run, tasks, parse_time(view.string_or("created_at", "")) / 1000));
  for (Check& check : checks) {
    // The newest, when the task was merged more than once.
    const auto found =
        std::find_if(merges.merges.begin(), merges.merges.end(), [&](const agents::RunMerge& merge) {
          return check.commit.empty() ? merge.task == check.task : merge.work == check.commit;
        });
    if (found == merges.merges.end()) {
      check.verdict = "missing";
      check.why = "the repository does not have its merge";
      continue;
    }
    check.at = found->commit;
    if (place.head.empty()) continue;
    EZ_ASSIGN(const bool part, git.is_ancestor(check.at, place.head));
    if (part) continue;
    check.verdict = "missing";
    check.why = "its merge " + check.at.substr(0, 12) + " is not part of " + place.branch + " any more";
  }
  return {};
}

Status choose_commits(const agents::Git& git, const Arguments& arguments, const std::string& run,
                      RunCheck what, const Value& view, Place& place, std::vector<Check>& checks) {
  if (what == RunCheck::kValidate) {
    EZ_ASSIGN(place.head, git.commit_of("refs/heads/" + place.branch));
    return find_own_merges(git, run, view, place, checks);
  }
  const std::string at = arguments.text("at", "refs/heads/" + place.branch);
  EZ_ASSIGN(place.head, git.commit_of(at));
  if (place.head.empty()) {
    return Error(
        Code::GitFailed,
        place.repository + " has no " + (arguments.has("at") ? "commit " + at : "branch " + place.branch),
        "Give the commit or the branch that is to be tested: --at main.");
  }
  for (Check& check : checks) check.at = place.head;
  return {};
}

Value check_value(const Check& check) {
  return Value(
      Value::Map{{"task", Value(check.task)},
                 {"verdict", Value(check.verdict)},
                 {"commit", check.at.empty() ? Value() : Value(check.at)},
                 {"verify", check.work.merge.verify.empty() ? Value() : Value(check.work.merge.verify)},
                 {"exit_code", check.exit_code ? Value(*check.exit_code) : Value()},
                 {"duration_ms", Value(check.duration_ms)},
                 {"error", check.why.empty()
                               ? Value()
                               : Value(Value::Map{{"code", check.code.empty() ? Value() : Value(check.code)},
                                                  {"message", Value(check.why)}})},
                 {"output", check.verdict == "failed" ? Value(check.output) : Value()}});
}

std::string last_lines(const std::string& text) {
  std::size_t at = text.size();
  std::size_t lines = 0;
  while (at > 0 && !(text[at - 1] == '\n' && at != text.size() && ++lines == kShownLines)) --at;
  return text.substr(at);
}

class Checker {
 public:
  Checker(Session& session, Api& api, const Arguments& arguments, RunCheck what)
      : session_(session), api_(api), arguments_(arguments), what_(what), artifacts_(api) {
    limits_.color = wants_color();
    limits_.unicode = writes_utf8();
  }

  Result<int> check(const std::string& run) {
    EZ_ASSIGN(const Value view, api_.get(run_target(run, "?tasks=false")));
    if (!is_over(view.string_or("state", ""))) {
      return Error(Code::WrongState, run + " is not over: it is " + std::string(view.string_or("state", "")),
                   "`ez follow " + run + "` waits for its end.");
    }
    EZ_ASSIGN(checks_, read_checks(api_, run, arguments_.list("task")));
    if (checks_.empty()) return nothing(run + " merged no work");
    const bool any = std::any_of(checks_.begin(), checks_.end(),
                                 [](const Check& check) { return !check.work.merge.verify.empty(); });
    if (!any) return nothing("no merged task of " + run + " has a check");
    EZ_ASSIGN(place_, place_of(arguments_, view, checks_));
    EZ_ASSIGN(const agents::Git git, agents::Git::open(place_.repository));
    EZ_TRY(choose_commits(git, arguments_, run, what_, view, place_, checks_));
    EZ_TRY(run_checks());
    if (signal_ != 0) return kExitInterrupted;
    return report(run);
  }

 private:
  static Error nothing(const std::string& what) { return Error(Code::NothingToCheck, what); }
  [[nodiscard]] bool json() const { return arguments_.has("json"); }

  Status run_checks() {
    EZ_ASSIGN(const std::string data, Session::data_dir(arguments_));
    agents::WorkspaceManager::Options places;
    places.root = data + "/workspaces";
    std::error_code failed;
    fs::create_directories(places.root, failed);
    if (failed) return Error(Code::IoFailed, "create " + places.root + ": " + failed.message());
    agents::WorkspaceManager workspaces(std::move(places));
    const agents::Sandbox sandbox(agents::Sandbox::Options{"", arguments_.list("show")});
    EZ_TRY(sandbox.probe());
    std::size_t width = 8;
    for (const Check& check : checks_) width = std::max(width, check.task.size());
    for (Check& check : checks_) {
      if (check.work.merge.verify.empty() && check.verdict.empty()) check.verdict = "unchecked";
      if (check.verdict.empty()) {
        EZ_TRY(run_one({sandbox, workspaces, artifacts_}, check));
        if (signal_ != 0) return {};
      }
      if (!json()) print(check, std::min<std::size_t>(width, 40));
    }
    return {};
  }

  Status run_one(const agents::AttemptPorts& ports, Check& check) {
    agents::WorkItem item = check.work;
    item.workspace.repository = place_.repository;
    CheckLog log(arguments_.has("verbose") && !json() ? &session_.out : nullptr);
    agents::CancelToken cancel;
    agents::TaskResult result;
    std::atomic<bool> done{false};
    std::thread worker([&] {
      result = agents::recheck_item(ports, item, check.at, log, cancel);
      done.store(true);
      signals_.wake();
    });
    while (!done.load()) {
      const int signal = signals_.wait_for(kLookForSignals);
      if (signal == 0 || signal_ != 0) continue;
      signal_ = signal;
      cancel.cancel();
    }
    worker.join();
    if (signal_ != 0) return {};
    check.duration_ms = result.duration_ms;
    check.exit_code = result.exit_code;
    check.output = log.end();
    if (result.outcome == agents::Outcome::kSucceeded) {
      check.verdict = "passed";
      return {};
    }
    if (!is_verdict(result.error_code)) {
      const CodeInfo* code = find_code(result.error_code);
      return Error(code == nullptr ? Code::Internal : code->code, result.error_message)
          .in("the check of " + check.task);
    }
    check.verdict = "failed";
    check.code = result.error_code;
    check.why = result.error_message;
    return {};
  }

  void print(const Check& check, std::size_t width) {
    const std::string state = check.verdict == "passed"      ? "succeeded"
                              : check.verdict == "unchecked" ? "skipped"
                                                             : "failed";
    session_.out << state_mark(state, limits_) << " " << padded(check.task, width) << "  "
                 << padded(check.verdict, 9);
    if (check.verdict == "passed" || check.verdict == "failed") {
      session_.out << "  " << padded(duration_text(check.duration_ms), 6) << "  on "
                   << check.at.substr(0, 12);
    }
    if (check.verdict == "unchecked") session_.out << "  it has no verify";
    if (!check.why.empty()) session_.out << "  " << printable(check.why);
    session_.out << "\n";
    if (check.verdict == "failed" && !arguments_.has("verbose")) {
      LogFilter filter(limits_.color);
      const std::string text = filter.take(last_lines(check.output));
      for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        session_.out << "    " << text.substr(at, end - at) << "\n";
        at = end + 1;
      }
    }
    session_.out.flush();
  }

  [[nodiscard]] std::size_t count(std::string_view verdict) const {
    return static_cast<std::size_t>(
        std::count_if(checks_.begin(), checks_.end(), [&](const Check& c) { return c.verdict == verdict; }));
  }

  int report(const std::string& run) {
    const std::size_t bad = count("failed") + count("missing");
    const bool validate = what_ == RunCheck::kValidate;
    if (json()) {
      Value::List list;
      for (const Check& check : checks_) list.push_back(check_value(check));
      session_.out << to_json(Value(
                          Value::Map{{"run", Value(run)},
                                     {"verb", Value(validate ? "validate" : "test")},
                                     {"repository", Value(place_.repository)},
                                     {"branch", Value(place_.branch)},
                                     {"head", place_.head.empty() ? Value() : Value(place_.head)},
                                     {"passed", Value(static_cast<std::int64_t>(count("passed")))},
                                     {"failed", Value(static_cast<std::int64_t>(count("failed")))},
                                     {"missing", Value(static_cast<std::int64_t>(count("missing")))},
                                     {"unchecked", Value(static_cast<std::int64_t>(count("unchecked")))},
                                     {"checks", Value(std::move(list))}}))
                   << "\n";
    } else {
      session_.out << run << ": " << count("passed") << " passed, " << count("failed") << " failed";
      if (count("missing") > 0) session_.out << ", " << count("missing") << " missing";
      if (count("unchecked") > 0) session_.out << ", " << count("unchecked") << " without a check";
      session_.out << (validate ? ", each on the tree of its own merge\n"
                                : ", all on " + place_.head.substr(0, 12) + "\n");
      if (validate && place_.head.empty())
        session_.out << "  The branch " << printable(place_.branch)
                     << " is gone; its merges are still there.\n";
    }
    return bad == 0 ? kExitOk : kExitNegative;
  }

  StopSignals signals_;
  Session& session_;
  Api& api_;
  const Arguments& arguments_;
  const RunCheck what_;
  ApiArtifacts artifacts_;
  FrameLimits limits_;
  Place place_;
  std::vector<Check> checks_;
  int signal_ = 0;
};

}  // namespace

std::vector<OptionSpec> run_check_options() {
  return {{"--task", "TASK", "only this task of the run; of a for_each all instances", true},
          {"--repository", "PATH", "a clone that has the run's commits, instead of the run's repository"},
          {"--show", "A,B", "more folders that checks see, read-only (tool chains)", true},
          {"--verbose", "", "show what the checks print"}};
}

Result<int> check_run(Session& session, const Arguments& arguments, const std::string& run, RunCheck what) {
  EZ_ASSIGN(const auto api, session.connect(arguments));
  return Checker(session, *api, arguments, what).check(run);
}

}  // namespace ez::cli
