#include "planning/planner.h"

#include <algorithm>
#include <set>

#include "base/check.h"
#include "base/json.h"
#include "base/json_schema.h"
#include "models/config/config.h"
#include "planning/texts.h"

namespace ez::planning {
namespace {

using orchestration::AgentType;

constexpr std::string_view kTool = "propose_workflow";
constexpr std::size_t kMaxComplaints = 30;
constexpr std::size_t kMaxComplaintBytes = 12 * 1024;
// Who plans best, when nobody says; other types follow by name.
constexpr std::string_view kPlanners[] = {"claude", "gpt", "gemini", "mistral", "deepseek"};

Value text_block(std::string_view text) {
  return Value(Value::Map{{"type", Value("text")}, {"text", Value(text)}});
}

Value turn(std::string_view role, Value::List content) {
  return Value(Value::Map{{"role", Value(role)}, {"content", Value(std::move(content))}});
}

const JsonSchema& answer_schema() {
  static const JsonSchema schema = [] {
    auto value = parse_json(answer_schema_text());
    EZ_CHECK(value.ok(), "answer.json is no JSON");
    auto compiled = JsonSchema::compile(*value);
    EZ_CHECK(compiled.ok(), "answer.json is no schema");
    return *compiled;
  }();
  return schema;
}

std::string first_turn(const PlanRequest& request) {
  std::string text = "# Description\n\n" + request.description +
                     "\n\n# Agent types\n\n- exec: runs the shell script of `run`\n";
  for (const AgentType& type : request.types) text += "- " + type.name + ": " + type.speciality + "\n";
  if (!request.guidance.empty()) text += "\n# Template\n\n" + request.guidance;
  return text;
}

Value request_of(const PlanRequest& request, const Value::List& turns) {
  const Value tool(
      Value::Map{{"name", Value(kTool)},
                 {"description", Value("Hands the workflow file to the checker and to the person.")},
                 {"input_schema", answer_schema().source()}});
  return Value(Value::Map{{"model", Value(request.model)},
                          {"max_tokens", Value(kPlanOutputTokens)},
                          {"system", Value(planner_prompt_text())},
                          {"tools", Value(Value::List{tool})},
                          {"tool_choice", Value(Value::Map{{"type", Value("tool")}, {"name", Value(kTool)}})},
                          {"messages", Value(turns)}});
}

// The call of the tool in an answer; null: there is none.
const Value* proposal_of(const Value& answer) {
  const Value* content = answer.find("content");
  if (content == nullptr || !content->is_list()) return nullptr;
  for (const Value& block : content->as_list()) {
    if (block.string_or("type", "") == "tool_use" && block.string_or("name", "") == kTool) return &block;
  }
  return nullptr;
}

std::string words_of(const Value& answer) {
  std::string text;
  if (const Value* content = answer.find("content"); content != nullptr && content->is_list()) {
    for (const Value& block : content->as_list()) text += block.string_or("text", "");
  }
  return text.substr(0, 500);
}

// What the checker of files does not ask for, but a plan needs.
void judge(const orchestration::Workflow& workflow, const PlanRequest& request,
           std::vector<std::string>& out) {
  if (workflow.tasks.size() > kMaxPlannedTasks)
    out.push_back("the file has more than " + std::to_string(kMaxPlannedTasks) + " tasks");
  if (!workflow.repository)
    out.emplace_back("the file has no `repository`: the agents have no place to work in");
  for (const orchestration::Task& task : workflow.tasks) {
    const std::string at = "task " + task.id + ": ";
    if (task.workflow) out.push_back(at + "a plan starts no other workflows");
    if (!task.mcp.is_null()) out.push_back(at + "a plan uses no MCP servers");
    if (!task.needs_agent()) continue;
    const bool known = task.agent.type == "exec" ||
                       std::any_of(request.types.begin(), request.types.end(),
                                   [&](const AgentType& type) { return type.name == task.agent.type; });
    if (!known)
      out.push_back(at + "the agent type " + task.agent.type + " is not among those that are listed");
    if (task.workspace == orchestration::WorkspaceMode::kWrite && !task.verify)
      out.push_back(at + "it changes files and has no `verify`");
  }
}

// Everything that is wrong with an answer; empty: it is a plan.
std::vector<std::string> complaints_of(const Value& input, const PlanRequest& request, Plan& plan) {
  std::vector<std::string> out = answer_schema().check(input);
  if (!out.empty()) return out;
  plan.source = input.string_or("file", "");
  plan.summary = input.string_or("summary", "");
  plan.sizes.clear();
  for (const Value& entry : input.find("sizes")->as_list()) {
    const std::string_view size = entry.string_or("size", "");
    plan.sizes[std::string(entry.string_or("task", ""))] = size == "small"   ? Size::kSmall
                                                           : size == "large" ? Size::kLarge
                                                                             : Size::kMedium;
  }
  const orchestration::ParsedWorkflow parsed = orchestration::parse_workflow(plan.source);
  for (const orchestration::Diagnostic& mistake : parsed.diagnostics) {
    out.push_back(mistake.to_string() + (mistake.hint.empty() ? "" : " (" + mistake.hint + ")"));
  }
  if (parsed.ok()) judge(*parsed.workflow, request, out);
  plan.workflow = parsed.workflow;
  return out;
}

std::string listed(const std::vector<std::string>& complaints) {
  std::string text;
  for (std::size_t i = 0; i < complaints.size() && i < kMaxComplaints && text.size() < kMaxComplaintBytes;
       ++i)
    text += "- " + complaints[i] + "\n";
  if (complaints.size() > kMaxComplaints)
    text += "- and " + std::to_string(complaints.size() - kMaxComplaints) + " more\n";
  return text;
}

// The turn that gives the mistakes back. Without a call of the tool there is nothing to answer to.
Value repair_turn(const Value* proposal, const std::string& text) {
  if (proposal == nullptr) return turn("user", {text_block(text)});
  return turn("user", {Value(Value::Map{{"type", Value("tool_result")},
                                        {"tool_use_id", Value(proposal->string_or("id", ""))},
                                        {"is_error", Value(true)},
                                        {"content", Value(text)}})});
}

Status check_end(const Value& answer) {
  const std::string_view why = answer.string_or("stop_reason", "");
  if (why == "refusal")
    return Error(Code::ModelDeclined, "the model would not plan this: " + words_of(answer));
  const Value* content = answer.find("content");
  if (content == nullptr || !content->is_list() || content->as_list().empty())
    return Error(Code::ModelReplyInvalid, "the model's answer is empty");
  return {};
}

}  // namespace

std::string_view to_text(Size size) {
  return size == Size::kSmall ? "small" : size == Size::kMedium ? "medium" : "large";
}

Result<Plan> make_plan(PlannerModel& model, const PlanRequest& request, const Progress& progress) {
  Plan plan;
  Value::List turns{turn("user", {text_block(first_turn(request))})};
  const std::uint32_t tries = std::clamp<std::uint32_t>(request.tries, 1, kMaxPlanTries);
  std::vector<std::string> complaints;
  while (plan.answers < tries) {
    progress("asking " + request.model + (plan.answers == 0 ? "" : " again, with the mistakes"));
    EZ_ASSIGN(const Value answer, model.ask(request_of(request, turns)));
    ++plan.answers;
    EZ_TRY(check_end(answer));
    const Value* proposal = proposal_of(answer);
    const Value* input = proposal == nullptr ? nullptr : proposal->find("input");
    if (input == nullptr || !input->is_map()) {
      complaints = {"call the tool propose_workflow with the whole file"};
      if (answer.string_or("stop_reason", "") == "max_tokens")
        complaints = {"the answer was cut off: make the file shorter"};
    } else {
      complaints = complaints_of(*input, request, plan);
    }
    if (complaints.empty()) return plan;
    progress("its file has " + std::to_string(complaints.size()) +
             (complaints.size() == 1 ? " mistake:\n" : " mistakes:\n") + listed(complaints));
    turns.push_back(turn("assistant", answer.find("content")->as_list()));
    turns.push_back(repair_turn(proposal, "The file was not taken:\n" + listed(complaints) +
                                              "Correct it, and call propose_workflow with the whole file."));
  }
  return Error(Code::PlanInvalid, request.model + " gave no workflow that can be used in " +
                                      std::to_string(tries) + (tries == 1 ? " answer" : " answers") +
                                      "; the last one:\n" + listed(complaints));
}

Result<PlannerChoice> choose_planner(const PlannerModel& model, const orchestration::AgentTypes& types,
                                     const std::string& planner, const std::vector<std::string>& wanted) {
  PlannerChoice choice;
  std::vector<const AgentType*> order;
  for (const std::string_view name : kPlanners) {
    if (const AgentType* type = types.find(name)) order.push_back(type);
  }
  for (const AgentType& type : types.types) {
    if (std::find(order.begin(), order.end(), &type) == order.end()) order.push_back(&type);
  }
  const auto served = [&](const AgentType& type) -> std::string {
    const auto found = std::find_if(type.models.begin(), type.models.end(),
                                    [&](const std::string& name) { return model.serves(name); });
    return found == type.models.end() ? "" : *found;
  };
  for (const std::string& name : wanted) {
    if (name != "exec" && types.find(name) == nullptr)
      return Error(Code::AgentTypeUnknown, "no agent type is named " + name,
                   "`ez agent --list-types` shows them.");
  }
  if (!planner.empty() && types.find(planner) == nullptr)
    return Error(Code::AgentTypeUnknown, "no agent type is named " + planner,
                 "`ez agent --list-types` shows them.");
  for (const AgentType* type : order) {
    const std::string first = served(*type);
    if (first.empty()) continue;
    // Command-line agents have to be installed: only who names them gets them.
    const bool named = std::find(wanted.begin(), wanted.end(), type->name) != wanted.end();
    const bool listed_type = wanted.empty() ? type->runner == "llm" : named;
    if (listed_type) choice.types.push_back(*type);
    if (choice.type.empty() && (planner.empty() ? type->runner == "llm" : planner == type->name)) {
      choice.type = type->name;
      choice.model = first;
    }
  }
  if (!choice.type.empty()) return choice;
  std::string names;
  for (const std::string& name : models::ready_made_key_names()) names += (names.empty() ? "" : ", ") + name;
  return Error(Code::ModelNotFound,
               planner.empty()
                   ? "no provider of models has a key here, so nothing can plan"
                   : "no provider that has a model of the agent type " + planner + " has a key here",
               "Keys are looked for in the environment: " + names +
                   " (each also as NAME_2 … and as a list in NAMES), or as models.yaml says (--models).");
}

}  // namespace ez::planning
