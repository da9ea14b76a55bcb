// The gateway to models of one server: its configuration, its keys, its money in the log.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "cli/ports.h"
#include "engine/engine.h"
#include "http/gateway/engine_bank.h"
#include "models/gateway/gateway.h"
#include "security/lease_keys.h"
#include "telemetry/metrics.h"

namespace ez::app {

class ModelGateway {
 public:
  // Reads --models FILE, or <data>/models.yaml when it is there, and takes the providers' keys out of the
  // environment of this process, so that nothing that it starts later inherits one. Before engine.start();
  // the engine and the registry outlive this. Errors: MODELS_CONFIG_INVALID, PRICES_INVALID, IO_FAILED,
  // TOKEN_FILE_UNSAFE (<data>/gateway.secret), those of the cassette.
  [[nodiscard]] static Result<std::unique_ptr<ModelGateway>> start(const cli::ServeOptions& options,
                                                                   engine::Engine& engine,
                                                                   telemetry::Registry& metrics);

  [[nodiscard]] models::Gateway& gateway() { return *gateway_; }
  [[nodiscard]] const std::shared_ptr<const security::LeaseKeys>& keys() const { return keys_; }
  // Before the engine stops.
  void stop() { gateway_->stop(); }

 private:
  explicit ModelGateway(engine::Engine& engine) : bank_(engine) {}
  void collect(telemetry::Registry& metrics);

  http::EngineBank bank_;
  std::shared_ptr<const security::LeaseKeys> keys_;
  std::unique_ptr<models::Gateway> gateway_;
  std::vector<telemetry::CollectHandle> collected_;
};

}  // namespace ez::app
