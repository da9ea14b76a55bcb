#include "core/effects.h"

namespace ez::core {

void Effects::clear() {
  reply = Reply();
  events.clear();
  finished.clear();
  cancelled.clear();
  ended.clear();
  removed_agents.clear();
  ready_grew = false;
}

}  // namespace ez::core
