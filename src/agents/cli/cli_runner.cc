#include "agents/cli/cli_runner.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <set>

#include "agents/cli/cli_events.h"
#include "agents/cli/gateway_door.h"
#include "agents/cli/usage_check.h"
#include "agents/files.h"
#include "agents/llm/prompts.h"
#include "agents/llm/tool_box.h"
#include "base/json.h"
#include "base/json_schema.h"
#include "orchestration/agent_types_cli.h"

namespace ez::agents {
namespace {

using std::chrono::milliseconds;
using CliClock = std::chrono::steady_clock;

constexpr std::uint64_t kCliMiB = 1024 * 1024;
constexpr std::size_t kMaxPromptArgument = 120 * 1024;  // the kernel's own bound of one word is 128 KiB
constexpr std::size_t kMaxErrorTail = 2'000;            // of what it printed as errors
constexpr std::int64_t kOutputFactor = 16;              // events are much longer than what is shown of them
constexpr std::string_view kCliTranscript = "transcript.jsonl";
constexpr std::string_view kUsualPath = "/usr/local/bin:/usr/bin:/bin";
constexpr std::string_view kPromptFile = "/ez/prompt.md";
constexpr std::array<std::string_view, 5> kVisible{"/usr/", "/bin/", "/sbin/", "/lib/", "/lib64/"};

// Errors of ours that an agent repeats when the gateway refused it. The flag: no retry mends it.
struct Refusal {
  Code code;
  bool final;
};
constexpr std::array<Refusal, 8> kRefusals{{{Code::BudgetExceeded, false},
                                            {Code::ModelNotAllowed, true},
                                            {Code::ModelNotFound, true},
                                            {Code::PriceUnknown, true},
                                            {Code::DialectUnsupported, true},
                                            {Code::CassetteMiss, true},
                                            {Code::LeaseStale, false},
                                            {Code::Overloaded, false}}};

// Whether a path without links lies in what sandboxes see; a folder that is shown may be a link itself.
bool is_visible(const std::string& path, const std::vector<std::string>& shown) {
  const auto below = [&](std::string_view folder) {
    return path.starts_with(folder) &&
           (folder.ends_with('/') || path.size() == folder.size() || path[folder.size()] == '/');
  };
  const auto below_shown = [&](const std::string& folder) {
    char resolved[PATH_MAX];
    return ::realpath(folder.c_str(), resolved) != nullptr && below(resolved);
  };
  return std::any_of(kVisible.begin(), kVisible.end(), below) ||
         std::any_of(shown.begin(), shown.end(), below_shown);
}

// No other worker and no retry mends these.
bool is_hopeless(Code code) {
  return code == Code::VerifyMissing || code == Code::GatewayMissing || code == Code::InputInvalid;
}

std::string last_value(const SandboxSpec& spec, std::string_view name) {
  std::string value;
  for (const auto& [key, text] : spec.environment) {
    if (key == name) value = text;
  }
  return value;
}

// Why an agent that says it failed did so, by the words of the gateway in what it said.
Error error_of_report(const CliReport& report, bool& final) {
  const std::string said = shortened(report.text.empty() ? report.reason : report.text, 1'000);
  for (const Refusal& refusal : kRefusals) {
    const Error named(refusal.code, "the model gateway refused the agent: " + said);
    if (report.text.find(named.name()) == std::string::npos) continue;
    final = refusal.final;
    return named;
  }
  if (report.reason == "error_max_turns")
    return Error(Code::AgentTurnLimit, "the agent reached its limit of turns");
  return Error(Code::AgentFailed, "the agent says that it failed: " + said);
}

}  // namespace

std::string cli_search_path(const std::vector<std::string>& shown, const std::string& rest) {
  std::string path;
  for (const std::string& folder : shown)
    path += folder + ":" + folder + "/bin:" + folder + "/node_modules/.bin:";
  return path + rest;
}

Result<std::string> find_cli_program(const orchestration::AgentType& type, const Sandbox& sandbox) {
  const std::string& name = type.cli.command[0];
  const std::string path = cli_search_path(sandbox.read_only(), std::string(kUsualPath));
  const std::string found = name.find('/') == std::string::npos ? find_program(name, path) : name;
  const auto missing = [&](const std::string& why) {
    return Error(Code::AgentProgramMissing,
                 "the program " + name + " of agent type " + type.name + " " + why);
  };
  if (found.empty()) return missing("is in none of " + path);
  if (found[0] != '/') return missing("has to be a name or an absolute path");
  char resolved[PATH_MAX];
  if (::access(found.c_str(), X_OK) != 0 || ::realpath(found.c_str(), resolved) == nullptr)
    return missing("is not there");
  if (!is_visible(resolved, sandbox.read_only()))
    return missing("lies in " + std::string(resolved) + ", which tasks do not see (--show)");
  return found;
}

class CliRunner::Body final : public Attempt::Body {
 public:
  Body(WebPort& web, const orchestration::AgentTypes& types, const orchestration::AgentType& type)
      : web_(web), types_(types), type_(type) {}

  Status work(Attempt& attempt) override {
    Status done = begin(attempt);
    if (!done.ok() && is_hopeless(done.error().code())) attempt.make_final();
    if (done.ok()) done = start(attempt, prompt(attempt.item(), ""));
    return done.ok() ? take_output(attempt) : done;
  }

  Result<bool> mend(Attempt& attempt, const Error& failure, const std::string& text) override {
    if (checks_left_ == 0) return false;
    --checks_left_;
    log_->note("the check's result goes to the agent, which is started again");
    const std::string found =
        "An agent has worked on this task before you, in this working tree. The check has failed "
        "on what it left: " +
        failure.message() + ". The end of what the check printed:\n\n" + shortened(text, kMaxCheckText) +
        "\n\nMend the work, not the check.";
    transcript_->add("check_failed", Value::Map{{"message", failure.message()}, {"text", text}});
    Status done = start(attempt, prompt(attempt.item(), found));
    if (done.ok()) done = take_output(attempt);
    if (done.ok()) return true;
    const Code code = done.error().code();
    if (code == Code::TaskCancelled || code == Code::CommandTimeout || code == Code::DiskLimit ||
        code == Code::BudgetExceeded)
      return done.error();
    log_->note("the agent could not mend it: " + done.error().to_string());
    return false;  // the check's own failure stays the reason
  }

  void finish(Attempt& attempt) override {
    if (transcript_ == nullptr || !started_) return;
    Value line(Value::Map{{"starts", starts_}});
    if (usage_) line.set("usage", usage_value(*usage_));
    if (!attempt.item().model_gateway.url.empty() && !attempt.cancel().cancelled()) reconcile(attempt, line);
    transcript_->add("end", std::move(line));
    // Where the gateway metered anything, this is not counted (core/budget.h).
    if (usage_ && usage_->cost_microusd) attempt.claim_cost(*usage_->cost_microusd);
    if (Status kept = attempt.add_artifact(std::string(kCliTranscript), transcript_path_); !kept.ok())
      attempt.log().note("the transcript could not be kept: " + kept.error().to_string());
  }

 private:
  Status begin(Attempt& attempt) {
    const WorkItem& item = attempt.item();
    if (item.workspace.mode == "write" && item.verify.empty()) {
      return Error(Code::VerifyMissing, "a task of agent type " + type_.name +
                                            " changes the repository, but has no `verify` to check it");
    }
    const bool asks_models = mentions(type_.cli, "{gateway}") || mentions(type_.cli, "{key}");
    if (asks_models && item.model_gateway.url.empty())
      return Error(Code::GatewayMissing, "the work item names no model gateway");
    if (!item.output_schema.is_null()) {
      auto schema = JsonSchema::compile(item.output_schema);
      if (!schema.ok()) return Error(Code::InputInvalid, "output_schema: " + schema.error().message());
      schema_ = std::move(*schema);
    }
    EZ_ASSIGN(program_, find_cli_program(type_, attempt.ports().sandbox));
    // The home is new and empty: nobody can have put a link in the way.
    for (const auto& [path, text] : type_.cli.files) {
      const std::string whole = attempt.workspace().home() + "/" + path;
      EZ_TRY(make_folders(whole.substr(0, whole.rfind('/'))));
      EZ_TRY(write_file(whole, filled(text, item, ""), 0600));
    }
    transcript_path_ = attempt.ez_dir() + "/" + std::string(kCliTranscript);
    transcript_ = std::make_unique<Transcript>(transcript_path_);
    log_ = std::make_unique<AttemptLog>(
        attempt.log(),
        2 * kCliMiB * static_cast<std::uint64_t>(std::max<std::int64_t>(1, item.sandbox.output_mb)));
    checks_left_ = type_.limits.checks;
    return {};
  }

  [[nodiscard]] std::string prompt(const WorkItem& item, const std::string& more) const {
    std::string text = task_prompt(item, PromptReader::kProgram);
    for (const std::string& part : {type_.system_prompt, types_.cli_prompt, more}) {
      if (!part.empty()) text += "\n\n" + part;
    }
    return text;
  }

  [[nodiscard]] std::string filled(std::string_view text, const WorkItem& item,
                                   const std::string& prompt) const {
    return orchestration::fill_placeholders(text, [&](std::string_view name) -> std::string {
      if (name == "prompt") return prompt;
      if (name == "prompt_file") return std::string(kPromptFile);
      if (name == "gateway") return item.sandbox.network ? item.model_gateway.url : GatewayDoor::url();
      if (name == "key") return item.model_gateway.key;
      if (name == "max_turns")
        return std::to_string(item.max_turns > 0 ? item.max_turns : std::int64_t{type_.limits.max_turns});
      if (!item.agent_model.empty()) return item.agent_model;
      return type_.models.empty() ? "" : type_.models[0];
    });
  }

  [[nodiscard]] Result<SandboxSpec> command_spec(Attempt& attempt, const std::string& prompt) const {
    const WorkItem& item = attempt.item();
    SandboxSpec spec = attempt.sandbox_spec();
    spec.argv = {program_};
    const std::vector<std::string>& words = type_.cli.command;
    for (std::size_t i = 1; i < words.size(); ++i) {
      spec.argv.push_back(filled(words[i], item, prompt));
      if (spec.argv.back().size() > kMaxPromptArgument)
        return Error(Code::InputInvalid,
                     "the prompt has more than 120 KiB and cannot be a word of the command");
    }
    const std::string own = last_value(spec, "PATH");
    spec.environment.emplace_back("PATH", cli_search_path(attempt.ports().sandbox.read_only(), own));
    for (const auto& [name, text] : type_.cli.env)
      spec.environment.emplace_back(name, filled(text, item, ""));
    spec.files.emplace_back(std::string(kPromptFile), prompt + "\n");
    spec.limits.output_mb = std::max<std::int64_t>(1, spec.limits.output_mb) * kOutputFactor;
    return spec;
  }

  // One life of the program.
  Status start(Attempt& attempt, const std::string& prompt) {
    const WorkItem& item = attempt.item();
    EZ_ASSIGN(SandboxSpec spec, command_spec(attempt, prompt));
    std::unique_ptr<GatewayDoor> door;
    if (!item.sandbox.network && !item.model_gateway.url.empty()) {
      EZ_ASSIGN(door, GatewayDoor::to(item.model_gateway.url));
      spec.prepared = [&door](int inside) { return door->open(inside); };
    }
    Value::List words;
    for (const std::string& word : spec.argv) words.emplace_back(word);
    transcript_->add("start", Value::Map{{"run", item.run},
                                         {"task", item.task},
                                         {"attempt", static_cast<std::int64_t>(item.attempt)},
                                         {"agent_type", type_.name},
                                         {"command", std::move(words)},
                                         {"prompt", prompt}});
    log_->note("agent " + type_.name + " with " + filled("{model}", item, ""));
    started_ = true;
    ++starts_;

    const std::unique_ptr<CliEvents> events = cli_events(type_.cli.events, *log_, *transcript_);
    std::string errors;  // the end of what it printed there
    LineCutter out(item.model_gateway.key, [&](std::string_view line, bool cut) { events->line(line, cut); });
    LineCutter err(item.model_gateway.key, [&](std::string_view line, bool cut) {
      transcript_->add("stderr", Value::Map{{"text", std::string(line)}, {"cut", cut}});
      log_->end_line();
      log_->text(line);
      log_->end_line();
      errors.append(line).push_back('\n');
      if (errors.size() > 2 * kMaxErrorTail) errors.erase(0, errors.size() - kMaxErrorTail);
    });
    const std::set<std::string> before = own_names(attempt);
    CliClock::time_point last = CliClock::now();
    const auto heard = [&](LineCutter& cutter, std::string_view bytes) {
      last = CliClock::now();
      cutter.feed(bytes);
    };
    spec.errors = [&](std::string_view bytes) { heard(err, bytes); };
    bool lingered = false;
    spec.watch = [&]() -> Status {
      const auto quiet = CliClock::now() - last;
      if (events->report().ended && quiet > milliseconds(type_.cli.linger_ms)) {
        lingered = true;
        return Error(Code::AgentSilent, "it did not end after its result");
      }
      if (quiet <= milliseconds(type_.cli.silence_ms)) return {};
      return Error(Code::AgentSilent,
                   "the agent printed nothing for " + std::to_string(type_.cli.silence_ms / 1000) + " s");
    };
    auto ran = attempt.run_command(std::move(spec), milliseconds(0),
                                   [&](std::string_view bytes) { heard(out, bytes); });
    door.reset();
    remove_leaves(attempt, before);
    if (!ran.ok()) return ran.error();
    out.end();
    err.end();
    events->end();
    log_->end_line();
    const CliReport& report = events->report();
    if (report.usage) {
      if (!usage_) usage_.emplace();
      usage_->add(*report.usage);
    }
    said_ = report.text;
    transcript_->add("exit",
                     Value::Map{{"exit_code", ran->process.exit_code},
                                {"ended", report.ended},
                                {"failed", report.failed},
                                {"lingered", lingered},
                                {"unreadable_lines", static_cast<std::int64_t>(events->unreadable_lines())}});
    return judged(attempt, *events, ran->process, lingered, errors);
  }

  // Whether that life came to a good end, as far as it says so itself.
  Status judged(Attempt& attempt, const CliEvents& events, const ProcessOutcome& process, bool lingered,
                const std::string& errors) {
    const CliReport& report = events.report();
    if (process.stopped && !lingered) return *process.stopped;
    if (lingered) {
      log_->note("the agent did not end within " + std::to_string(type_.cli.linger_ms) +
                 " ms of its result and was stopped; its work counts");
    } else {
      attempt.set_exit_code(process.exit_code);
    }
    const std::string status = std::to_string(process.exit_code);
    if (report.ended && report.failed) {
      bool final = false;
      Error error = error_of_report(report, final);
      if (final) attempt.make_final();
      return error;
    }
    if (report.ended) {
      if (lingered || process.exit_code == 0) return {};
      // Where a check follows, that decides.
      if (attempt.item().verify.empty())
        return Error(Code::CommandFailed, "the agent gave a result, but ended with status " + status);
      log_->note("the agent gave a result, but ended with status " + status + "; the check decides");
      return {};
    }
    if (process.exit_code != 0) {
      const std::string& told = errors.empty() ? report.text : errors;
      const std::size_t from = told.size() - std::min(told.size(), kMaxErrorTail / 2);
      return Error(Code::CommandFailed, "the agent ended with status " + status + " and no result: " +
                                            std::string(shortened(told.substr(from), kMaxErrorTail)));
    }
    if (events.ends_by_exit()) return {};
    return Error(Code::AgentNoResult, "the agent ended without a result event; " +
                                          std::to_string(events.unreadable_lines()) +
                                          " lines of its output are no events");
  }

  // The task's output: what it wrote, fitting the schema where there is one, or its last words.
  Status take_output(Attempt& attempt) {
    const std::string folder = attempt.ez_dir() + "/out";
    if (::faccessat(AT_FDCWD, (folder + "/output.json").c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0) {
      if (schema_) return Error(Code::OutputInvalid, "the agent wrote no /ez/out/output.json");
      Value said(Value::Map{{"summary", shortened(said_, 12 * 1024)}});
      if (attempt.item().verify.empty()) said.set("verified", false);
      attempt.set_output(std::move(said));
      return {};
    }
    auto file = open_beneath(folder, "output.json");
    if (!file.ok()) return Error(Code::ArtifactInvalid, "$EZ_OUTPUT is not a regular file");
    EZ_ASSIGN(const std::string text, read_all(file->get(), kMaxOutputBytes));
    auto value = parse_json(text);
    if (!value.ok()) return Error(Code::OutputInvalid, "/ez/out/output.json: " + value.error().message());
    const std::vector<std::string> misfits = schema_ ? schema_->check(*value) : std::vector<std::string>();
    if (!misfits.empty()) return Error(Code::OutputInvalid, "/ez/out/output.json: " + misfits[0]);
    attempt.set_output(std::move(*value));
    return {};
  }

  // What stands at the top of the working tree and is the agent's own, by its type.
  [[nodiscard]] std::set<std::string> own_names(const Attempt& attempt) const {
    std::set<std::string> names;
    if (type_.cli.leaves.empty()) return names;
    std::error_code failed;
    for (const auto& entry : std::filesystem::directory_iterator(attempt.workspace().tree(), failed)) {
      const std::string name = entry.path().filename().string();
      for (const std::string& glob : type_.cli.leaves) {
        if (::fnmatch(glob.c_str(), name.c_str(), 0) == 0) names.insert(name);
      }
    }
    return names;
  }

  void remove_leaves(const Attempt& attempt, const std::set<std::string>& before) {
    for (const std::string& name : own_names(attempt)) {
      if (before.contains(name)) continue;
      const std::string path = attempt.workspace().tree() + "/" + name;
      // A link is removed, not followed; nobody else is alive in that tree.
      struct stat info {};
      if (::lstat(path.c_str(), &info) == 0 && !S_ISDIR(info.st_mode) && ::unlink(path.c_str()) == 0)
        continue;
      if (const Status gone = remove_tree(path); !gone.ok())
        log_->note(name + " of the agent stays: " + gone.error().to_string());
    }
  }

  void reconcile(Attempt& attempt, Value& line) {
    auto gateway = ask_usage(web_, attempt.item(), attempt.cancel());
    if (!gateway.ok()) {
      log_->note("usage: the gateway could not be asked: " + gateway.error().to_string());
      return;
    }
    log_->note(compared(usage_, *gateway));
    Value figures = usage_value(gateway->usage);
    figures.set("calls", gateway->calls);
    figures.set("failed_calls", gateway->failed_calls);
    line.set("gateway", std::move(figures));
    if (usage_) line.set("differs", differs(*usage_, *gateway));
  }

  WebPort& web_;
  const orchestration::AgentTypes& types_;
  const orchestration::AgentType& type_;
  std::string program_;
  std::optional<JsonSchema> schema_;
  std::string transcript_path_;
  std::unique_ptr<Transcript> transcript_;
  std::unique_ptr<AttemptLog> log_;
  std::optional<CliUsage> usage_;  // of all its lives
  std::string said_;
  std::int64_t starts_ = 0;
  bool started_ = false;
  std::uint32_t checks_left_ = 0;
};

Result<std::unique_ptr<Attempt::Body>> CliRunner::body_of(const WorkItem& item) {
  const orchestration::AgentType* type = types_.find(item.agent_type);
  if (type == nullptr || type->runner != "cli") {
    return Error(Code::AgentTypeUnknown,
                 "this worker knows no agent type " + item.agent_type + " that is a program");
  }
  return std::unique_ptr<Attempt::Body>(new Body(web_, types_, *type));
}

TaskResult CliRunner::run(const WorkItem& item, LogPort& log, const CancelToken& cancel) {
  return run_made(ports_, item, log, cancel, [this](const WorkItem& of) { return body_of(of); });
}

}  // namespace ez::agents
