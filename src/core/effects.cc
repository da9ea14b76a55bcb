#include "core/effects.h"

namespace ez::core {

std::string_view to_text(RunNotice notice) {
  constexpr std::string_view kNames[] = {"none", "cost_warning", "deadline_warning", "budget_exceeded",
                                         "migrated"};
  return kNames[static_cast<int>(notice)];
}

void Effects::clear() {
  reply = Reply();
  events.clear();
  finished.clear();
  cancelled.clear();
  ended.clear();
  removed_agents.clear();
  scheduled_starts = 0;
  ready_grew = false;
}

}  // namespace ez::core
