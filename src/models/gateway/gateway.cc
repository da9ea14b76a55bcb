#include "models/gateway/gateway.h"

#include <algorithm>
#include <set>

#include "models/config/glob.h"
#include "models/dialect/listing.h"
#include "models/dialect/provider_error.h"
#include "models/gateway/call.h"
#include "models/gateway/core.h"
#include "telemetry/redact.h"

namespace ez::models {
namespace {

constexpr std::size_t kMaxListed = 2'000;

}  // namespace

Gateway::Gateway(std::unique_ptr<Core> core) : core_(std::move(core)) {}
Gateway::~Gateway() { stop(); }

Result<std::unique_ptr<Gateway>> Gateway::start(GatewayOptions options, Bank& bank, Clock& clock,
                                                Random& random, telemetry::Registry& metrics,
                                                telemetry::Redactor* redactor) {
  EZ_ASSIGN(auto http, HttpClient::start(options.http));
  auto core = std::make_unique<Core>(std::move(options), bank, clock, random, metrics, redactor);
  for (const Provider& provider : core->config.providers) {
    core->pools.emplace(provider.name, std::make_unique<KeyPool>(provider));
    if (redactor == nullptr) continue;
    for (const ProviderKey& key : provider.keys) (void)redactor->add_secret(key.secret);
  }
  if (core->config.cassette_mode != CassetteMode::kOff) {
    EZ_ASSIGN(core->cassette, CassetteFile::open(core->config.cassette_file, core->config.cassette_mode));
  }
  core->http = std::move(http);
  return std::unique_ptr<Gateway>(new Gateway(std::move(core)));
}

Ledger& Gateway::ledger() { return core_->ledger; }
const ModelsConfig& Gateway::config() const { return core_->config; }

std::shared_ptr<CallHandle> Gateway::start(CallRequest request, std::shared_ptr<CallClient> client) {
  auto call = std::make_shared<Call>(*core_, std::move(request), std::move(client));
  call->begin();
  return call;
}

ProviderError Gateway::error_of(const Error& error) {
  ProviderError out = from_error(error);
  // The key of a task whose lease is over is no key any more.
  if (error.code() == Code::LeaseStale) out.kind = ErrorKind::kAuthentication;
  if (error.code() == Code::ModelNotAllowed) out.kind = ErrorKind::kPermission;
  return out;
}

void Gateway::refuse(Endpoint endpoint, const Error& error, CallClient& client) {
  RenderedError rendered = render_error(dialect_of(endpoint), error_of(error));
  client.answer(rendered.status, std::move(rendered.headers), std::move(rendered.body));
}

std::string Gateway::list_models(const Account& account) const {
  const ModelsConfig& config = core_->config;
  std::vector<ListedModel> models;
  std::set<std::string> seen;
  const auto add = [&](const std::string& id, const std::string& owner) {
    if (models.size() >= kMaxListed || id.find('*') != std::string::npos) return;
    if (!config.allow(account.info.agent_type, account.info.models, id).ok()) return;
    if (seen.insert(id).second) models.push_back({id, owner, id, 0});
  };
  for (const ModelName& name : config.names) add(name.name, name.targets.front().provider);
  for (const Price& price : config.prices->all()) {
    const Provider* provider = config.find(price.provider);
    if (provider == nullptr) continue;
    add(matches_any(provider->models, price.model) ? price.model : price.provider + "/" + price.model,
        price.provider);
  }
  for (const Provider& provider : config.providers) {
    for (const std::string& model : provider.models) add(model, provider.name);
  }
  return render_models(models);
}

std::vector<Gateway::ProviderFigures> Gateway::figures() const {
  std::vector<ProviderFigures> out;
  const std::int64_t now_ms = core_->clock.now_ms();
  for (const Provider& provider : core_->config.providers) {
    const KeyPool& pool = *core_->pools.at(provider.name);
    out.push_back({provider.name, pool.provider_open(now_ms), pool.figures(now_ms)});
  }
  return out;
}

void Gateway::stop() {
  if (core_->stopped.exchange(true)) return;
  core_->http->stop();
  (void)core_->ledger.flush(true);
}

}  // namespace ez::models
