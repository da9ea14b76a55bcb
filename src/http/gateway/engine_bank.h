// EngineBank: the money of leases as the log keeps it (models::Bank over engine::Engine).
//
// Threads: everything from any thread; callbacks run on the engine's loop, or at once for refusals. When the
// engine stops, callbacks of questions that it no longer answers are dropped.
#pragma once

#include "engine/engine.h"
#include "models/ledger/bank.h"

namespace ez::http {

class EngineBank final : public models::Bank {
 public:
  explicit EngineBank(engine::Engine& engine) : engine_(engine) {}
  void find(Fence fence, std::function<void(Result<models::LeaseInfo>)> found) override;
  void draw(Fence fence, std::int64_t need, std::int64_t want, bool fresh,
            std::function<void(Result<std::int64_t>)> drawn) override;
  void record(models::UsageBatch batch, std::function<void(const Status&)> done) override;

 private:
  engine::Engine& engine_;
};

}  // namespace ez::http
