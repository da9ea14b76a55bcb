#include "core/state.h"

#include <algorithm>

#include "core/ready.h"
#include "orchestration/rank.h"

namespace ez::core {

const Run* State::find_run(RunId id) const {
  const auto page = pages.find(id.value / RunPage::kRuns);
  if (page == pages.end()) return nullptr;
  const Cow<Run>& slot = page->second->runs[id.value % RunPage::kRuns];
  return slot ? &slot.read() : nullptr;
}

Cow<Run> State::share_run(RunId id) const {
  const auto page = pages.find(id.value / RunPage::kRuns);
  return page == pages.end() ? Cow<Run>() : page->second->runs[id.value % RunPage::kRuns];
}

Run* State::write_run(RunId id) {
  const auto page = pages.find(id.value / RunPage::kRuns);
  if (page == pages.end() || !page->second->runs[id.value % RunPage::kRuns]) return nullptr;
  return &page->second.write().runs[id.value % RunPage::kRuns].write();
}

void State::add_run(Cow<Run> run) {
  const std::uint64_t id = run->id.value;
  Cow<RunPage>& page = pages[id / RunPage::kRuns];
  if (!page) page = Cow<RunPage>(RunPage{});
  RunPage& writable = page.write();
  EZ_CHECK(!writable.runs[id % RunPage::kRuns], "a run number was given twice");
  writable.runs[id % RunPage::kRuns] = std::move(run);
  ++writable.used;
  ++live_runs;
  ++namespaces[writable.runs[id % RunPage::kRuns]->workflow->name_space].live_runs;
}

Cow<Run> State::remove_run(RunId id) {
  const auto page = pages.find(id.value / RunPage::kRuns);
  EZ_CHECK(page != pages.end(), "removal of a run that is not live");
  RunPage& writable = page->second.write();
  Cow<Run> run = std::move(writable.runs[id.value % RunPage::kRuns]);
  EZ_CHECK(static_cast<bool>(run), "removal of a run that is not live");
  if (--writable.used == 0) pages.erase(page);
  --live_runs;
  --namespaces[run->workflow->name_space].live_runs;
  return run;
}

void State::each_run(const std::function<bool(const Cow<Run>&)>& visit) const {
  for (const auto& [number, page] : pages) {
    for (const Cow<Run>& run : page->runs) {
      if (run && !visit(run)) return;
    }
  }
}

NamespaceId State::namespace_of(const std::string& name) {
  const auto [slot, added] = namespace_ids.try_emplace(name, static_cast<NamespaceId>(namespaces.size()));
  if (added) {
    namespaces.emplace_back();
    namespaces.back().name = name;
  }
  return slot->second;
}

AgentTypeId State::agent_type_of(const std::string& name) {
  const auto [slot, added] = agent_type_ids.try_emplace(name, static_cast<AgentTypeId>(agent_types.size()));
  if (added) {
    agent_types.emplace_back();
    agent_types.back().name = name;
  }
  return slot->second;
}

ClassId State::class_of(const std::string& type, const std::vector<std::string>& capabilities) {
  std::string key = type;
  for (const std::string& capability : capabilities) {
    key += '\n';
    key += capability;
  }
  const auto [slot, added] = class_ids.try_emplace(key, static_cast<ClassId>(classes.size()));
  if (added) {
    AbilityClass ability;
    ability.type = type;
    ability.capabilities = capabilities;
    ability.agents = agent_type_of(serving_type(type));
    classes.push_back(std::move(ability));
    for (auto& [id, agent] : agents) {
      if (can_serve(classes.back(), agent.type, agent.capabilities)) agent.serves.push_back(slot->second);
    }
  }
  return slot->second;
}

std::shared_ptr<const WorkflowVersion> State::find_workflow(const std::string& namespace_name,
                                                            const std::string& name,
                                                            std::uint32_t version) const {
  const auto found = workflows.find({namespace_name, name});
  if (found == workflows.end() || version > found->second.size()) return nullptr;
  return version == 0 ? found->second.back() : found->second[version - 1];
}

void State::add_workflow(std::shared_ptr<WorkflowVersion> version) {
  version->classes.clear();
  for (const orchestration::Task& task : version->definition->tasks) {
    version->classes.push_back(class_of(task.agent.type, task.agent.capabilities));
  }
  auto& versions = workflows[{version->namespace_name, version->definition->name}];
  version->name_space = namespace_of(version->namespace_name);
  if (versions.empty()) {
    version->queue = static_cast<QueueId>(queues.size());
    queues.push_back({version->name_space, version->definition->name, false, {}});
  } else {
    version->queue = versions.back()->queue;
  }
  EZ_CHECK(version->version == versions.size() + 1, "workflow versions must follow one another");
  versions.push_back(std::move(version));
}

void State::add_agent(Agent agent) {
  agent.serves.clear();
  for (ClassId id = 0; id < classes.size(); ++id) {
    if (can_serve(classes[id], agent.type, agent.capabilities)) agent.serves.push_back(id);
  }
  agent_names[agent.name] = agent.id;
  agents[agent.id] = std::move(agent);
}

void State::remove_agent(AgentId id) {
  const auto found = agents.find(id);
  if (found == agents.end()) return;
  const auto name = agent_names.find(found->second.name);
  if (name != agent_names.end() && name->second == id) agent_names.erase(name);
  agents.erase(found);
}

void State::add_lease(Lease lease) {
  if (const auto agent = agents.find(lease.agent); agent != agents.end()) ++agent->second.running;
  if (lease.cancelled) cancelled_leases.insert({lease.agent, lease.fence});
  if (lease.open_microusd > 0) open_allowances.insert({lease.run, lease.fence});
  leases.emplace(lease.fence, std::move(lease));
}

void State::cancel_lease(Lease& lease) {
  lease.cancelled = true;
  cancelled_leases.insert({lease.agent, lease.fence});
}

void State::remove_lease(Fence fence) {
  const auto found = leases.find(fence);
  if (found == leases.end()) return;
  if (const auto agent = agents.find(found->second.agent); agent != agents.end()) --agent->second.running;
  if (found->second.cancelled) cancelled_leases.erase({found->second.agent, fence});
  if (found->second.open_microusd > 0) open_allowances.erase({found->second.run, fence});
  leases.erase(found);
}

void State::set_timer(RunId run, std::uint32_t task, std::int64_t& slot, std::int64_t due_ms) {
  if (slot == due_ms) return;
  if (slot != 0) timers.erase({slot, run, task});
  slot = due_ms;
  if (due_ms != 0) timers.insert({due_ms, run, task});
}

void State::derive_run(const Run& run) {
  if (run.deadline_ms != 0) timers.insert({run.deadline_ms, run.id, kRunTimer});
  if (run.warn_ms != 0) timers.insert({run.warn_ms, run.id, kRunWarnTimer});
  derive_run_place(*this, run);
  for (std::uint32_t i = 0; i < run.tasks.size(); ++i) {
    const Task& task = run.tasks[i];
    if (task.due_ms != 0) timers.insert({task.due_ms, run.id, i});
    if (holds_agent(task.state)) ++namespaces[run.workflow->name_space].running;
    derive_places(*this, run, i);
  }
}

std::int64_t priority_handicap_ms(orchestration::Priority priority) {
  return orchestration::priority_handicap_ms(priority);
}

const std::string& serving_type(const std::string& class_type) {
  // Merging needs git and the sandbox, which every agent that runs commands has.
  static const std::string exec = "exec";
  return class_type == "merge" ? exec : class_type;
}

bool can_serve(const AbilityClass& ability, const std::string& type,
               const std::vector<std::string>& capabilities) {
  return type == serving_type(ability.type) &&
         std::includes(capabilities.begin(), capabilities.end(), ability.capabilities.begin(),
                       ability.capabilities.end());
}

}  // namespace ez::core
