#include "app/model_gateway.h"

#include <cstdlib>
#include <set>

#include "app/models_source.h"
#include "base/clock.h"
#include "base/random.h"
#include "security/token_file.h"
#include "telemetry/log.h"

namespace ez::app {
Result<std::unique_ptr<ModelGateway>> ModelGateway::start(const cli::ServeOptions& options,
                                                          engine::Engine& engine,
                                                          telemetry::Registry& metrics) {
  EZ_ASSIGN(const ModelsSource source, read_models_source(options.models_file, options.data));
  std::set<std::string> taken;  // variables that hold keys
  for (std::string& name : models::key_variables(models::ready_made_key_names()))
    taken.insert(std::move(name));
  const auto environment = [&taken](const std::string& name) -> std::optional<std::string> {
    taken.insert(name);
    const char* value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
  models::GatewayOptions settings;
  models::LoadOptions load;
  load.folder = source.folder;
  load.cassette_file = options.cassette_file;
  load.cassette_mode = options.cassette_mode;
  EZ_ASSIGN(settings.config, models::load_models(source.text, load, environment));
  for (const std::string& name : taken) ::unsetenv(name.c_str());
  settings.http.user_agent = "ez/" + options.version;
  EZ_ASSIGN(std::string secret, security::load_or_create_token(options.data + "/gateway.secret"));

  std::unique_ptr<ModelGateway> made(new ModelGateway(engine));
  made->keys_ = std::make_shared<const security::LeaseKeys>(std::move(secret));
  std::string providers;
  for (const models::Provider& provider : settings.config.providers) {
    if (!providers.empty()) providers += ", ";
    providers += provider.name + " (" + std::to_string(provider.keys.size()) +
                 (provider.keys.size() == 1 ? " key)" : " keys)");
  }
  EZ_ASSIGN(made->gateway_,
            models::Gateway::start(std::move(settings), made->bank_, system_clock(), system_random(), metrics,
                                   &telemetry::process_logger().redactor()));
  EZ_LOG(kInfo, "models", "gateway ready", {"providers", providers.empty() ? "none" : providers});
  models::Ledger* ledger = &made->gateway_->ledger();
  engine.on_lease_over([ledger](Fence fence) { ledger->close(fence); });
  made->collect(metrics);
  return made;
}

void ModelGateway::collect(telemetry::Registry& metrics) {
  using telemetry::CollectKind;
  collected_.push_back(metrics.collect("ez_model_key_calls", "Calls under way by key.", CollectKind::kGauge,
                                       {"provider", "key"}, [this](telemetry::Samples& out) {
                                         for (const auto& provider : gateway_->figures()) {
                                           for (const auto& key : provider.keys)
                                             out.add({provider.name, key.label}, key.calls);
                                         }
                                       }));
  collected_.push_back(metrics.collect(
      "ez_model_key_available", "Whether a key may be used now: not resting and its breaker closed.",
      CollectKind::kGauge, {"provider", "key"}, [this](telemetry::Samples& out) {
        for (const auto& provider : gateway_->figures()) {
          for (const auto& key : provider.keys) {
            out.add({provider.name, key.label}, !provider.open && !key.open && !key.resting ? 1 : 0);
          }
        }
      }));
}

}  // namespace ez::app
