#include "models/config/config.h"

#include <algorithm>

#include "models/config/glob.h"
#include "models/config/ready_made.h"

namespace ez::models {
namespace {

std::string shown(std::string_view text) { return "'" + std::string(text.substr(0, 128)) + "'"; }

}  // namespace

const Provider* ModelsConfig::find(std::string_view provider) const {
  for (const Provider& candidate : providers) {
    if (candidate.name == provider) return &candidate;
  }
  return nullptr;
}

Result<std::vector<Target>> ModelsConfig::resolve(std::string_view name) const {
  for (const ModelName& known : names) {
    if (known.name == name) return known.targets;
  }
  if (const std::size_t slash = name.find('/'); slash != std::string_view::npos) {
    const std::string_view model = name.substr(slash + 1);
    if (find(name.substr(0, slash)) != nullptr && !model.empty()) {
      return std::vector<Target>{{std::string(name.substr(0, slash)), std::string(model)}};
    }
  }
  for (const Provider& provider : providers) {
    if (matches_any(provider.models, name)) {
      return std::vector<Target>{{provider.name, std::string(name)}};
    }
  }
  return Error(Code::ModelNotFound, "no provider that has a key here serves the model " + shown(name));
}

Status ModelsConfig::allow(std::string_view agent_type, const std::vector<std::string>& task_models,
                           std::string_view name) const {
  auto found = agents.find(std::string(agent_type));
  if (found == agents.end()) found = agents.find("*");
  if (found != agents.end() && !matches_any(found->second, name)) {
    return Error(Code::ModelNotAllowed,
                 "agents of the type " + std::string(agent_type) + " may not use the model " + shown(name));
  }
  if (!task_models.empty() && !matches_any(task_models, name)) {
    return Error(Code::ModelNotAllowed, "this task may not use the model " + shown(name));
  }
  return {};
}

std::vector<std::string> key_variables(const std::vector<std::string>& names) {
  std::vector<std::string> out;
  for (const std::string& name : names) {
    out.push_back(name);
    out.push_back(name + "S");
    for (std::size_t i = 1; i <= kMaxKeys; ++i) out.push_back(name + "_" + std::to_string(i));
  }
  return out;
}

std::vector<std::string> ready_made_key_names() {
  std::vector<std::string> out;
  for (const ReadyMade& made : ready_made()) {
    out.insert(out.end(), made.key_names.begin(), made.key_names.end());
  }
  return out;
}

}  // namespace ez::models
