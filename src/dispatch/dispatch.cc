#include "dispatch/dispatch.h"

namespace ez::dispatch {

Dispatch::Dispatch(const std::vector<queue::DispatchConfig>& entries, const Ports& ports) {
  for (const queue::DispatchConfig& entry : entries) {
    agents_.push_back(std::make_unique<TopicAgent>(entry, ports));
  }
}

Status Dispatch::start() {
  for (const auto& agent : agents_) EZ_TRY(agent->start());
  return {};
}

void Dispatch::stop() {
  for (const auto& agent : agents_) agent->stop();
}

}  // namespace ez::dispatch
