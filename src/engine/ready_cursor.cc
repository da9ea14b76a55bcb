#include "engine/ready_cursor.h"

#include <algorithm>

#include "orchestration/fair_share.h"

namespace ez::engine {

void Outlook::add(RunId run, std::uint32_t task, core::AgentTypeId type, core::NamespaceId name_space) {
  tasks.insert({run, task});
  ++of_type[{type, name_space}];
  ++of_namespace[name_space];
}

void Outlook::remove(RunId run, std::uint32_t task, core::AgentTypeId type, core::NamespaceId name_space) {
  if (tasks.erase({run, task}) == 0) return;
  if (const auto found = of_type.find({type, name_space}); --found->second == 0) of_type.erase(found);
  if (const auto found = of_namespace.find(name_space); --found->second == 0) of_namespace.erase(found);
}

void Outlook::clear() {
  tasks.clear();
  of_type.clear();
  of_namespace.clear();
}

std::uint64_t Outlook::count(core::AgentTypeId type, core::NamespaceId name_space) const {
  const auto found = of_type.find({type, name_space});
  return found == of_type.end() ? 0 : found->second;
}

bool Outlook::is_full(const core::Namespace& owner, core::NamespaceId id) const {
  if (owner.max_running == 0) return false;
  const auto found = of_namespace.find(id);
  return owner.running + (found == of_namespace.end() ? 0 : found->second) >= owner.max_running;
}

ReadyCursor::ReadyCursor(const core::State& state, core::ClassId ability, const Outlook& outlook)
    : state_(&state), ability_(&state.classes[ability]), outlook_(&outlook), next_(ability_->turns.begin()) {
  if (state.agent_types[ability_->agents].paused) next_ = ability_->turns.end();
}

std::uint64_t ReadyCursor::tag_of(core::NamespaceId name_space) const {
  const core::AgentType& type = state_->agent_types[ability_->agents];
  if (type.shares.size() < 2) return 0;
  return orchestration::start_tag(type.shares.at(name_space).tag, type.clock,
                                  state_->namespaces[name_space].weight,
                                  outlook_->count(ability_->agents, name_space));
}

bool ReadyCursor::is_proposed(const core::ReadyKey& key) const {
  return outlook_->tasks.contains({key.run, key.task});
}

void ReadyCursor::skip_proposed(Queue& queue) const {
  while (queue.at != queue.end && is_proposed(*queue.at)) ++queue.at;
}

bool ReadyCursor::settle(Lane& lane) const {
  const auto later = [](const Queue& a, const Queue& b) { return *b.at < *a.at; };
  // A queue's head is the least that it may give: it must be open before anything later is served.
  while (lane.next != lane.lane->heads.end() &&
         (lane.open.empty() || lane.next->first < *lane.open.front().at)) {
    const std::set<core::ReadyKey>& tasks = lane.lane->queues.at(lane.next->second);
    Queue queue{tasks.begin(), tasks.end()};
    ++lane.next;
    skip_proposed(queue);
    if (queue.at == queue.end) continue;
    lane.open.push_back(queue);
    std::push_heap(lane.open.begin(), lane.open.end(), later);
  }
  return !lane.open.empty();
}

std::optional<ReadyCursor::Head> ReadyCursor::peek() {
  const auto later = [](const Lane& a, const Lane& b) {
    return std::pair(b.tag, b.name_space) < std::pair(a.tag, a.name_space);
  };
  while (true) {
    while (next_ != ability_->turns.end() && (open_.empty() || next_->first <= open_.front().tag)) {
      const core::NamespaceId id = next_->second;
      ++next_;
      if (outlook_->is_full(state_->namespaces[id], id)) continue;
      const core::Lane& from = ability_->lanes.at(id);
      Lane lane{tag_of(id), id, &from, from.heads.begin(), {}};
      if (!settle(lane)) continue;
      open_.push_back(std::move(lane));
      std::push_heap(open_.begin(), open_.end(), later);
    }
    if (open_.empty()) return std::nullopt;
    // Another class may have taken tasks of the same namespace since the lane was opened.
    Lane& front = open_.front();
    const std::uint64_t tag = tag_of(front.name_space);
    const bool full = outlook_->is_full(state_->namespaces[front.name_space], front.name_space);
    if (!full && tag == front.tag) return Head{tag, *front.open.front().at, front.name_space};
    std::pop_heap(open_.begin(), open_.end(), later);
    if (full) {
      open_.pop_back();
    } else {
      open_.back().tag = tag;
      std::push_heap(open_.begin(), open_.end(), later);
    }
  }
}

void ReadyCursor::take() {
  const auto later_queue = [](const Queue& a, const Queue& b) { return *b.at < *a.at; };
  const auto later_lane = [](const Lane& a, const Lane& b) {
    return std::pair(b.tag, b.name_space) < std::pair(a.tag, a.name_space);
  };
  Lane& lane = open_.front();
  std::pop_heap(lane.open.begin(), lane.open.end(), later_queue);
  Queue& queue = lane.open.back();
  ++queue.at;
  skip_proposed(queue);
  if (queue.at == queue.end) {
    lane.open.pop_back();
  } else {
    std::push_heap(lane.open.begin(), lane.open.end(), later_queue);
  }
  const bool more = settle(lane);
  std::pop_heap(open_.begin(), open_.end(), later_lane);
  if (!more) {
    open_.pop_back();
  } else {
    open_.back().tag = tag_of(open_.back().name_space);
    std::push_heap(open_.begin(), open_.end(), later_lane);
  }
}

}  // namespace ez::engine
