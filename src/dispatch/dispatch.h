// Dispatch: tasks for consumers that take them from a topic instead of asking the API
// (docs/guide/dispatch.md, docs/adr/0064-a-topic-is-an-agent.md). Each entry of `dispatch:` in queues.yaml is
// an agent of the server's own.
//
// Threads: one for each entry. start() and stop() from one thread.
#pragma once

#include <memory>
#include <vector>

#include "dispatch/topic_agent.h"

namespace ez::dispatch {

class Dispatch {
 public:
  // The ports outlive it.
  Dispatch(const std::vector<queue::DispatchConfig>& entries, const Ports& ports);
  // The engine and the queue work.
  [[nodiscard]] Status start();
  // Before the engine stops.
  void stop();

 private:
  std::vector<std::unique_ptr<TopicAgent>> agents_;
};

}  // namespace ez::dispatch
