#include "agents/cli/usage_check.h"

#include <poll.h>

#include "base/json.h"

namespace ez::agents {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kUsagePause{50};  // doubles
constexpr int kUsageTries = 7;           // some three seconds

Result<GatewayUsage> usage_once(WebPort& web, const WorkItem& item, const CancelToken& cancel) {
  WebRequest request;
  request.method = "GET";
  request.url = item.model_gateway.url + "/v1/usage";
  request.headers = {{"Authorization", "Bearer " + item.model_gateway.key}};
  request.timeout = milliseconds(10'000);
  request.cancel = &cancel;
  EZ_ASSIGN(const WebAnswer answer, web.send(request));
  if (answer.status != 200)
    return Error(Code::ModelKeyRefused, "the gateway's answer has status " + std::to_string(answer.status));
  auto body = parse_json(answer.body);
  if (!body.ok() || !body->is_map())
    return Error(Code::ModelReplyInvalid, "the gateway's figures cannot be read");
  GatewayUsage usage;
  usage.calls = count_of(&*body, "calls");
  usage.failed_calls = count_of(&*body, "failed_calls");
  usage.under_way = count_of(&*body, "under_way");
  usage.usage.input_tokens = count_of(&*body, "input_tokens");
  usage.usage.cache_read_tokens = count_of(&*body, "cache_read_tokens");
  usage.usage.cache_write_tokens = count_of(&*body, "cache_write_tokens");
  usage.usage.output_tokens = count_of(&*body, "output_tokens");
  usage.usage.cost_microusd = count_of(&*body, "cost_microusd");
  return usage;
}

std::string usage_words(const CliUsage& usage) {
  std::string text =
      std::to_string(usage.all_input()) + " tokens in, " + std::to_string(usage.output_tokens) + " out";
  if (usage.cost_microusd) {
    std::string micros = std::to_string(*usage.cost_microusd % 1'000'000);
    micros.insert(0, 6 - micros.size(), '0');
    text += ", $" + std::to_string(*usage.cost_microusd / 1'000'000) + "." + micros;
  }
  return text;
}

}  // namespace

Result<GatewayUsage> ask_usage(WebPort& web, const WorkItem& item, const CancelToken& cancel) {
  milliseconds pause = kUsagePause;
  for (int attempt = 1;; ++attempt) {
    EZ_ASSIGN(GatewayUsage usage, usage_once(web, item, cancel));
    if (usage.under_way == 0 || attempt == kUsageTries) return usage;
    pollfd cancelled{cancel.fd(), POLLIN, 0};
    if (::poll(&cancelled, 1, static_cast<int>(pause.count())) > 0) return usage;
    pause *= 2;
  }
}

bool differs(const CliUsage& agent, const GatewayUsage& gateway) {
  return agent.all_input() != gateway.usage.all_input() || agent.output_tokens != gateway.usage.output_tokens;
}

std::string compared(const std::optional<CliUsage>& agent, const GatewayUsage& gateway) {
  std::string text = "usage: the gateway counted " + usage_words(gateway.usage) + " in " +
                     std::to_string(gateway.calls) + " calls";
  if (!agent) return text + "; the agent named none";
  text += "; the agent counted " + usage_words(*agent);
  if (!differs(*agent, gateway)) return text + ": the same";
  return text + ": they differ, the gateway's figures count";
}

Value usage_value(const CliUsage& usage) {
  Value out(Value::Map{{"input_tokens", usage.input_tokens},
                       {"cache_read_tokens", usage.cache_read_tokens},
                       {"cache_write_tokens", usage.cache_write_tokens},
                       {"output_tokens", usage.output_tokens}});
  if (usage.cost_microusd) out.set("cost_microusd", *usage.cost_microusd);
  return out;
}

}  // namespace ez::agents
