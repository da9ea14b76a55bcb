// From a description to a workflow file, by a model: `ez new`.
//
// The model is asked for a structured answer (answer.json) by a tool that it has to call. What it gives is
// checked like any workflow file, and by the planner's own rules; the mistakes go back to it, at most
// PlanRequest::tries times in all, and nothing that does not pass ever leaves this room.
//
// Threads: one at a time for each model; blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/value.h"
#include "models/prices.h"
#include "orchestration/agent_types.h"
#include "orchestration/parse.h"

namespace ez::planning {

inline constexpr std::size_t kMaxDescriptionBytes = 256 * 1024;
inline constexpr std::size_t kMaxPlannedTasks = 200;
inline constexpr std::uint32_t kMaxPlanTries = 10;
inline constexpr std::int64_t kPlanOutputTokens = 16'000;  // of one answer

// A model that plans: the gateway of this process (app/planner_model.h), or a script in tests.
class PlannerModel {
 public:
  virtual ~PlannerModel() = default;
  // Whether that name leads to a provider with a key, or to a recording.
  [[nodiscard]] virtual bool serves(const std::string& model) const = 0;
  // A request and its whole answer, in the Messages dialect. Errors: MODEL_… and those of the gateway.
  [[nodiscard]] virtual Result<Value> ask(const Value& request) = 0;
  [[nodiscard]] virtual std::int64_t spent_microusd() const = 0;
  [[nodiscard]] virtual const models::PriceTable& prices() const = 0;
};

enum class Size : std::uint8_t { kSmall, kMedium, kLarge };
[[nodiscard]] std::string_view to_text(Size size);

struct PlanRequest {
  std::string description;
  std::string guidance;                         // of a template; empty: none
  std::string model;                            // that plans
  std::vector<orchestration::AgentType> types;  // that tasks may have, besides exec
  std::uint32_t tries = 4;                      // answers of the model, the first one included
};

struct Plan {
  std::string source;  // the workflow file, as the model wrote it
  std::shared_ptr<const orchestration::Workflow> workflow;
  std::string summary;
  std::map<std::string, Size, std::less<>> sizes;  // by task id
  std::uint32_t answers = 0;                       // that it took
};

// What it is about to do or found out, for people: "asking claude-opus-5-5", "the file has 2 mistakes: …".
using Progress = std::function<void(const std::string&)>;

// Errors: PLAN_INVALID (the message has the last mistakes), MODEL_DECLINED, MODEL_REPLY_INVALID, and those of
// the model.
[[nodiscard]] Result<Plan> make_plan(PlannerModel& model, const PlanRequest& request,
                                     const Progress& progress);

// Which agent type plans, and which tasks may have: those that a model serves. `planner` empty: the first of
// a usual order that can. `wanted` empty: all. Errors: MODEL_NOT_FOUND (it names the variables that keys are
// looked for in), AGENT_TYPE_UNKNOWN.
struct PlannerChoice {
  std::string type;   // that plans
  std::string model;  // the first of its models that is served
  std::vector<orchestration::AgentType> types;
};
[[nodiscard]] Result<PlannerChoice> choose_planner(const PlannerModel& model,
                                                   const orchestration::AgentTypes& types,
                                                   const std::string& planner,
                                                   const std::vector<std::string>& wanted);

}  // namespace ez::planning
