// Which providers and models there are: ready-made providers, the user's models.yaml over them, keys from the
// environment. Data only; docs/guide/models.md explains every field. Immutable once loaded.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "models/cassette/cassette.h"
#include "models/dialect/chat.h"
#include "models/dialect/dialect.h"
#include "models/dialect/wire.h"
#include "models/prices.h"
#include "models/upstream/http_client.h"

namespace ez::models {

inline constexpr std::size_t kMaxProviders = 64;
inline constexpr std::size_t kMaxKeys = 64;  // of one provider
inline constexpr std::size_t kMaxModelNames = 256;
inline constexpr std::size_t kMaxTargets = 8;  // of one name

// A key of a provider. The secret leaves this struct only in a request to its provider.
struct ProviderKey {
  std::string label;  // "anthropic-1": in accounts and metrics
  std::string secret;
};

struct Provider {
  std::string name;
  std::string base_url;           // with its version, without a slash at the end: "https://api.openai.com/v1"
  std::vector<Dialect> dialects;  // what it speaks; the first one serves what it does not
  UpstreamTraits traits;
  std::vector<ProviderKey> keys;    // one without a secret where none is needed
  std::vector<std::string> models;  // patterns of the names that go there
  Headers headers;                  // sent with every request
  bool free = false;                // costs nothing
  std::uint32_t max_calls = 256;    // at a time, of one key
  HttpTimeouts timeouts;
};

// One place that a name may lead to.
struct Target {
  std::string provider;
  std::string model;  // as the provider names it
};

struct ModelName {
  std::string name;
  std::vector<Target> targets;  // the first is meant, the others stand in for it
};

struct ModelsConfig {
  std::vector<Provider> providers;  // those that can be used
  std::vector<ModelName> names;
  // By agent type: patterns of the models that its tasks may use; "*" is for types that are not named. A type
  // with no entry and no "*" may use all.
  std::map<std::string, std::vector<std::string>> agents;
  std::shared_ptr<const PriceTable> prices;
  std::uint32_t max_attempts = 4;              // of one call, over all keys and targets
  std::chrono::milliseconds max_wait{60'000};  // for a key that has to wait
  // A second leg for calls whose answer has not begun after so long; 0: never. At most this part of all
  // calls.
  std::chrono::milliseconds hedge_after{0};
  std::int64_t hedge_max_permille = 100;
  CassetteMode cassette_mode = CassetteMode::kOff;
  std::string cassette_file;

  [[nodiscard]] const Provider* find(std::string_view provider) const;
  // Where a name that a client uses leads: a name of the configuration, "provider/model", or a model that a
  // provider's patterns match. Errors: MODEL_NOT_FOUND.
  [[nodiscard]] Result<std::vector<Target>> resolve(std::string_view name) const;
  // Whether tasks of that agent type may use it; also by one of `task_models`, when the task names any.
  // Errors: MODEL_NOT_ALLOWED.
  [[nodiscard]] Status allow(std::string_view agent_type, const std::vector<std::string>& task_models,
                             std::string_view name) const;
};

// The value of an environment variable, or nothing.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

struct LoadOptions {
  std::string folder;         // where the files that it names are looked for
  std::string cassette_file;  // over what it says; empty: as it says
  std::string cassette_mode;  // of that file; empty: replay
};

// `yaml`: the text of models.yaml (or JSON), empty for none. Errors: MODELS_CONFIG_INVALID (the message names
// the place), PRICES_INVALID, IO_FAILED.
[[nodiscard]] Result<ModelsConfig> load_models(std::string_view yaml, const LoadOptions& options,
                                               const Environment& environment);

// The names of variables that hold keys, so that they can be taken out of the environment of what is started
// later: NAME, NAME_1 … NAME_64 and NAMES for each provider's names.
[[nodiscard]] std::vector<std::string> key_variables(const std::vector<std::string>& names);
// The names of the ready-made providers' keys: CLAUDE_API_KEY, OPENAI_API_KEY …
[[nodiscard]] std::vector<std::string> ready_made_key_names();

}  // namespace ez::models
