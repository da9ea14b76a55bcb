// new: a workflow file from a description, by a model that plans. Shows it, says what it may cost, and asks
// before it runs.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "base/json.h"
#include "cli/agent_types_file.h"
#include "cli/commands/commands.h"
#include "cli/commands/run_file.h"
#include "cli/terminal.h"
#include "cli/text.h"
#include "cli/workflow_file.h"
#include "orchestration/graph.h"
#include "planning/estimate.h"
#include "planning/texts.h"

namespace ez::cli {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxSameNames = 1'000;

Result<std::string> description_of(const Arguments& arguments) {
  std::string text = arguments.text("DESCRIPTION");
  if (!text.empty() && text.front() == '@') {
    EZ_ASSIGN(text, read_file(text.substr(1), planning::kMaxDescriptionBytes, Code::PayloadTooLarge));
  }
  if (text.find_first_not_of(" \t\r\n") == std::string::npos)
    return Error(Code::InvalidArgument, "the description is empty", "Say in a few sentences what is wanted.");
  if (text.size() > planning::kMaxDescriptionBytes)
    return Error(Code::PayloadTooLarge,
                 "the description has more than " + size_text(planning::kMaxDescriptionBytes));
  return text;
}

Result<std::string> guidance_of(const Arguments& arguments) {
  if (!arguments.has("template")) return std::string();
  const planning::Template* found = planning::find_template(arguments.text("template"));
  if (found != nullptr) return std::string(found->text);
  std::string names;
  for (const planning::Template& one : planning::templates())
    names += (names.empty() ? "" : ", ") + std::string(one.name);
  return Error(Code::InvalidArgument, "there is no template '" + arguments.text("template") + "'",
               "There are: " + names + ".");
}

// Before any money is spent.
Status check_new(const Arguments& arguments) {
  std::error_code failed;
  if (arguments.has("output") && fs::exists(arguments.text("output"), failed)) {
    return Error(Code::InvalidArgument, arguments.text("output") + " is there already; it was not touched",
                 "Give another --output, or remove the file.");
  }
  if (arguments.has("run") && arguments.has("json"))
    return Error(Code::InvalidArgument, "--json does not go with --run",
                 "Run the file with `ez run FILE --json`.");
  const bool can_ask = ::isatty(STDIN_FILENO) == 1;
  if (arguments.has("run") && !arguments.has("yes") && !can_ask)
    return Error(Code::InvalidArgument, "--run asks first, and there is nobody to ask", "Say --yes as well.");
  return {};
}

Result<std::int64_t> limit_of(const Arguments& arguments) {
  if (!arguments.has("max-cost")) return PlannerOptions{}.limit_microusd;
  char* end = nullptr;
  const std::string text = arguments.text("max-cost");
  const double usd = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !(usd > 0) || usd > 1'000)
    return Error(Code::InvalidArgument, "--max-cost: '" + text + "' is not an amount of dollars up to 1000");
  return static_cast<std::int64_t>(usd * 1e6 + 0.5);
}

Result<std::unique_ptr<planning::PlannerModel>> open_planner(Session& session, const Arguments& arguments) {
  PlannerOptions options;
  EZ_ASSIGN(options.data, Session::data_dir(arguments));
  EZ_ASSIGN(options.limit_microusd, limit_of(arguments));
  const auto absolute = [](const std::string& path) {
    return path.empty() ? path : fs::absolute(path).string();
  };
  options.models_file = absolute(arguments.text("models"));
  options.cassette_file = absolute(arguments.text("cassette"));
  options.cassette_mode = arguments.text("cassette-mode");
  options.version = session.ports.version;
  return session.ports.planner(options);
}

// Written beside and renamed only where nothing is: an existing file is never touched.
Status write_new_file(const std::string& path, const std::string& text) {
  const std::string aside = path + ".part-" + std::to_string(::getpid());
  std::ofstream out(aside, std::ios::binary | std::ios::trunc);
  out << text << (text.empty() || text.back() != '\n' ? "\n" : "");
  out.close();
  const bool there = out.good() && ::link(aside.c_str(), path.c_str()) != 0;
  const int why = errno;
  ::unlink(aside.c_str());
  if (!out.good()) return Error(Code::IoFailed, "write " + aside + " failed");
  if (there && why == EEXIST)
    return Error(Code::InvalidArgument, path + " is there already; it was not touched");
  if (there) return system_error(Code::IoFailed, Code::DiskFull, "create " + path, why);
  return {};
}

// --output, or the workflow's name; with a number behind it when there is such a file.
Result<std::string> write_plan(const Arguments& arguments, const planning::Plan& plan) {
  if (arguments.has("output")) {
    EZ_TRY(write_new_file(arguments.text("output"), plan.source));
    return arguments.text("output");
  }
  for (int i = 1; i <= kMaxSameNames; ++i) {
    std::string path = plan.workflow->name + (i == 1 ? "" : "-" + std::to_string(i)) + ".yaml";
    const Status written = write_new_file(path, plan.source);
    if (written.ok()) return path;
    if (written.error().code() != Code::InvalidArgument) return written.error();
  }
  return Error(Code::InvalidArgument, "there are too many files named like " + plan.workflow->name + ".yaml",
               "Give another name with --output.");
}

std::string minutes_text(std::int64_t minutes) { return duration_text(minutes * 60'000); }

void print_estimate(std::ostream& out, const planning::Estimate& estimate, const planning::Plan& plan) {
  std::vector<std::vector<std::string>> rows{{"TASK", "AGENT", "SIZE", "TOKENS", "COST", "TIME"}};
  for (const planning::TaskEstimate& task : estimate.tasks) {
    rows.push_back({task.task + (task.instances > 1 ? " x" + std::to_string(task.instances) : ""), task.agent,
                    task.size.empty() ? "-" : task.size,
                    task.tokens == 0 ? "-" : std::to_string(task.tokens / 1000) + "k",
                    task.tokens == 0 ? "-"
                    : task.priced    ? money_text(task.cost_microusd)
                                     : "?",
                    task.minutes == 0 ? "-" : minutes_text(task.minutes)});
  }
  out << "\n" << table_text(rows) << "\n";
  out << "About " << money_text(estimate.cost_microusd) << " (" << money_text(estimate.cost_low_microusd)
      << " to " << money_text(estimate.cost_high_microusd) << "), about " << minutes_text(estimate.minutes)
      << " with enough agents, " << minutes_text(estimate.minutes_alone) << " with one.\n";
  out << "A guess from the usual size of such tasks and prices of " << estimate.prices_dated;
  if (plan.workflow->budget_microusd > 0)
    out << "; the run may spend at most " << money_text(plan.workflow->budget_microusd);
  out << ".\n";
  if (estimate.people > 0)
    out << "Time that people take to decide (" << estimate.people << " approvals) is not in it.\n";
  if (estimate.guessed_lists > 0) out << "Lists of for_each tasks are counted as three items each.\n";
  for (const std::string& model : estimate.unpriced)
    out << "No price is known for " << printable(model) << ": what it costs is not in the sum.\n";
}

void print_plan(Session& session, const planning::Plan& plan, const planning::Estimate& estimate) {
  orchestration::DrawingLimits limits;
  limits.unicode = writes_utf8();
  if (is_live_terminal()) limits.width = std::max<std::size_t>(20, terminal_size().columns);
  session.out << "\n"
              << plan.workflow->name << ": " << printable(plan.workflow->description) << "\n\n"
              << orchestration::draw_layers(
                     *plan.workflow,
                     [](const orchestration::Task& task) {
                       return task.needs_agent() ? task.agent.type : std::string();
                     },
                     limits);
  if (!plan.summary.empty()) {
    session.out << "\n";
    std::istringstream lines(plan.summary);
    for (std::string line; std::getline(lines, line);) session.out << printable(line) << "\n";
  }
  print_estimate(session.out, estimate, plan);
}

Value new_value(const std::string& path, const planning::Plan& plan, const planning::Estimate& estimate,
                const planning::PlannerChoice& choice, std::int64_t spent_microusd) {
  Value::List tasks;
  for (const planning::TaskEstimate& task : estimate.tasks) {
    tasks.push_back(Value(Value::Map{{"task", Value(task.task)},
                                     {"agent", Value(task.agent)},
                                     {"size", task.size.empty() ? Value() : Value(task.size)},
                                     {"tokens", Value(task.tokens)},
                                     {"cost_microusd", task.priced ? Value(task.cost_microusd) : Value()},
                                     {"minutes", Value(task.minutes)}}));
  }
  return Value(
      Value::Map{{"file", Value(path)},
                 {"name", Value(plan.workflow->name)},
                 {"summary", Value(plan.summary)},
                 {"planner", Value(choice.model)},
                 {"answers", Value(static_cast<std::int64_t>(plan.answers))},
                 {"planning_cost_microusd", Value(spent_microusd)},
                 {"estimate", Value(Value::Map{{"cost_microusd", Value(estimate.cost_microusd)},
                                               {"cost_low_microusd", Value(estimate.cost_low_microusd)},
                                               {"cost_high_microusd", Value(estimate.cost_high_microusd)},
                                               {"minutes", Value(estimate.minutes)},
                                               {"minutes_alone", Value(estimate.minutes_alone)},
                                               {"tasks", Value(std::move(tasks))}})}});
}

bool ask_to_run(Session& session, const std::string& path) {
  session.out << "\nRun " << path << " now? [y/N] " << std::flush;
  std::string line;
  if (!std::getline(std::cin, line)) session.out << "\n";
  return line == "y" || line == "Y" || line == "yes";
}

Result<int> finish_new(Session& session, const Arguments& arguments, const std::string& path) {
  const bool can_ask = ::isatty(STDIN_FILENO) == 1 && is_live_terminal();
  const bool wanted = arguments.has("run") || (can_ask && !arguments.has("yes"));
  if (wanted && (arguments.has("yes") || ask_to_run(session, path))) {
    session.out.flush();
    Arguments run = arguments.only({"server", "token-file", "data", "namespace", "input"});
    run.add("FILE", path);
    run.add("follow", "");
    return run_file(session, run);
  }
  session.out << "\nWritten to " << path << ". Change it as you like, then:\n  ez run " << path
              << " --input repo=PATH --follow\n";
  return kExitOk;
}

Result<int> new_workflow(Session& session, const Arguments& arguments) {
  EZ_TRY(check_new(arguments));
  planning::PlanRequest request;
  EZ_ASSIGN(request.description, description_of(arguments));
  EZ_ASSIGN(request.guidance, guidance_of(arguments));
  EZ_ASSIGN(const std::int64_t tries, arguments.number("tries", 4, 1, planning::kMaxPlanTries));
  request.tries = static_cast<std::uint32_t>(tries);
  EZ_ASSIGN(const std::string data, Session::data_dir(arguments));
  std::error_code failed;
  const std::string usual = data + "/agents.yaml";
  EZ_ASSIGN(const orchestration::AgentTypes types,
            load_agent_types(arguments.text("agents-file", fs::exists(usual, failed) ? usual : "")));
  EZ_ASSIGN(const auto model, open_planner(session, arguments));
  EZ_ASSIGN(const planning::PlannerChoice choice,
            planning::choose_planner(*model, types, arguments.text("agent"), arguments.list("types")));
  request.model = arguments.text("model", choice.model);
  request.types = choice.types;
  const bool json = arguments.has("json");
  EZ_ASSIGN(const planning::Plan plan, planning::make_plan(*model, request, [&](const std::string& text) {
              if (!json)
                session.err << "ez new: " << text << (text.back() == '\n' ? "" : " …\n") << std::flush;
            }));
  const planning::Estimate estimate = planning::estimate_plan(plan, choice.types, model->prices());
  EZ_ASSIGN(const std::string path, write_plan(arguments, plan));
  const std::int64_t spent = model->spent_microusd();
  if (json) {
    session.out << to_json(new_value(path, plan, estimate, {choice.type, request.model, {}}, spent)) << "\n";
    return kExitOk;
  }
  print_plan(session, plan, estimate);
  session.out << "Planning cost " << money_text(spent) << " (" << printable(request.model) << ", "
              << plan.answers << (plan.answers == 1 ? " answer).\n" : " answers).\n");
  return finish_new(session, arguments, path);
}

}  // namespace

Command new_command() {
  return {
      "new",
      "Plan a workflow from a description, show what it may cost, and ask before it runs",
      "  ez new 'a todo list as a web service, in Node.js without packages'\n"
      "  ez new @idea.md --template saas --output board.yaml\n"
      "  ez new 'add full-text search' --agent gpt --types gpt,deepseek --run --input repo=.\n",
      {{"--template", "NAME", "guidance for a kind of product: saas"},
       {"--agent", "TYPE", "the agent type whose model plans (the first of claude, gpt, … that has a key)"},
       {"--model", "NAME", "the model that plans, instead of that type's"},
       {"--types", "A,B", "agent types that its tasks may have (all that have a key)", true},
       {"--agents-file", "FILE", "agent types over the built-in ones (<data>/agents.yaml)"},
       {"-o,--output", "FILE", "where the workflow is written (its name.yaml); never over a file"},
       {"--run", "", "run it when it is planned; asks first"},
       {"-y,--yes", "", "do not ask: with --run run it, otherwise only write it"},
       {"-i,--input", "NAME=VALUE", "an input of the run", true},
       {"--tries", "N", "answers of the model until its file has no mistakes (4)"},
       {"--max-cost", "USD", "what planning may cost (2)"},
       {"--models", "FILE", "providers and models (<data>/models.yaml when it is there)"},
       {"--cassette", "FILE", "record calls of models there, or answer them from it"},
       {"--cassette-mode", "MODE", "record, replay or strict (replay)"},
       {"--json", "", "as JSON; asks and runs nothing"}},
      {{"DESCRIPTION", "what is wanted; @FILE reads it from a file"}},
      true,
      new_workflow};
}

}  // namespace ez::cli
