// Calls of models by agents (docs/guide/models.md): POST /v1/messages, /v1/messages/count_tokens,
// /v1/chat/completions, /v1/responses, /v1/embeddings, /v1beta/models/MODEL:generateContent, GET /v1/models
// and GET /v1/usage. The gateway does the work; here is its client: an answer or a stream of this server, and
// who is asking.
#include <mutex>

#include "base/json.h"
#include "http/api/context.h"
#include "models/dialect/provider_error.h"
#include "models/gateway/gateway.h"

namespace ez::http::api {
namespace {

using ModelEndpoint = models::Endpoint;
using security::Permission;

constexpr std::size_t kReadHereBytes = 32 * 1024;  // larger requests are read on a thread of their own
// Of agents: the folder of the attempt, which is another one each time. For recordings.
constexpr std::string_view kWorkspaceHeader = "ez-workspace";
constexpr std::size_t kStreamBytes = 256 * 1024;

// Ties a call to its client's connection, whichever goes first.
class Link {
 public:
  void gone() {
    const auto call = take(true);
    if (call) call->cancel();
  }
  void drained() {
    const auto call = take(false);
    if (call) call->drained();
  }
  void set(const std::shared_ptr<models::CallHandle>& call) {
    {
      std::lock_guard lock(mutex_);
      call_ = call;
      if (!gone_) return;
    }
    call->cancel();
  }

 private:
  std::shared_ptr<models::CallHandle> take(bool gone) {
    std::lock_guard lock(mutex_);
    gone_ = gone_ || gone;
    return call_.lock();
  }
  std::mutex mutex_;
  std::weak_ptr<models::CallHandle> call_;
  bool gone_ = false;
};

class ModelClient final : public models::CallClient {
 public:
  explicit ModelClient(Responder responder) : responder_(std::move(responder)) {
    responder_.on_disconnect([link = link_] { link->gone(); });
  }
  [[nodiscard]] Link& link() { return *link_; }

  void answer(int status, models::Headers headers, std::string body) override {
    const std::string type = take_headers(headers);
    responder_.bytes(status, type, std::move(body));
  }
  void begin_stream(models::Headers headers) override {
    const std::string type = take_headers(headers);
    StreamOptions options;
    options.buffer_bytes = kStreamBytes;
    stream_ = responder_.begin_stream(type, options);
    stream_.on_closed([link = link_] { link->gone(); });
    stream_.on_drained([link = link_] { link->drained(); });
  }
  [[nodiscard]] bool send(std::string_view bytes) override {
    // To a client that has gone everything can be sent: its call is about to be told.
    return stream_.send(bytes) || !stream_.open();
  }
  void end_stream() override { stream_.close(); }

 private:
  // The content type; the others become headers of the answer.
  std::string take_headers(const models::Headers& headers) {
    std::string type = "application/json";
    for (const auto& [name, value] : headers) {
      if (models::same_header_name(name, "content-type")) {
        type = value;
      } else {
        responder_.header(name, value);
      }
    }
    return type;
  }
  const std::shared_ptr<Link> link_ = std::make_shared<Link>();
  Responder responder_;
  Stream stream_;
};

void start_call(Context& context, models::CallRequest request, const std::shared_ptr<ModelClient>& client) {
  client->link().set(context.services.gateway->start(std::move(request), client));
}

// On the thread for large requests; `request` is shared because a task is copyable.
void start_later(Context& context, const std::shared_ptr<models::CallRequest>& request,
                 const std::shared_ptr<ModelClient>& client) {
  const bool taken = context.model_calls.post(
      [&context, request, client] { start_call(context, std::move(*request), client); });
  if (!taken) {
    models::Gateway::refuse(request->endpoint, overloaded("too many calls of models wait to be read"),
                            *client);
  }
}

void call_model(Context& context, ModelEndpoint endpoint, Request& request, Responder responder) {
  models::CallRequest call;
  call.endpoint = endpoint;
  call.id = request.id;
  call.body = std::move(request.body);
  for (std::size_t i = 0; i < request.headers.size(); ++i) {
    const auto [name, value] = request.headers.at(i);
    if (models::forwarded_header(name)) call.headers.emplace_back(name, value);
    if (models::same_header_name(name, kWorkspaceHeader) && !value.empty()) {
      call.substitutions = {{std::string(value), "{{workspace}}"}};
    }
  }
  auto client = std::make_shared<ModelClient>(std::move(responder));
  models::Ledger& ledger = context.services.gateway->ledger();
  const security::Principal& principal = *request.principal;
  call.account = principal.lease.valid() ? ledger.known(principal.lease)
                                         : ledger.open_free(principal.id, std::string(request.name_space()));
  if (call.account && call.body.size() <= kReadHereBytes) return start_call(context, std::move(call), client);
  auto held = std::make_shared<models::CallRequest>(std::move(call));
  if (held->account) return start_later(context, held, client);
  ledger.open(principal.lease, [&context, held, client](Result<models::AccountPtr> opened) {
    if (!opened.ok()) return models::Gateway::refuse(held->endpoint, opened.error(), *client);
    held->account = std::move(opened).value();
    start_later(context, held, client);
  });
}

void list_models(Context& context, const Request& request, Responder responder) {
  models::Ledger& ledger = context.services.gateway->ledger();
  const security::Principal& principal = *request.principal;
  auto client = std::make_shared<ModelClient>(std::move(responder));
  const auto answer = [&context, client](const models::AccountPtr& account) {
    client->answer(200, {}, context.services.gateway->list_models(*account));
  };
  if (!principal.lease.valid())
    return answer(ledger.open_free(principal.id, std::string(request.name_space())));
  ledger.open(principal.lease, [client, answer](Result<models::AccountPtr> opened) {
    if (!opened.ok()) return models::Gateway::refuse(ModelEndpoint::kChat, opened.error(), *client);
    answer(*opened);
  });
}

// What the caller's calls came to: of a lease since it began, of anybody else since the server started.
std::string usage_text(const models::Ledger::Total& total) {
  const auto number = [](std::uint64_t value) { return Value(static_cast<std::int64_t>(value)); };
  return to_json(Value(Value::Map{{"calls", number(total.sum.calls)},
                                  {"failed_calls", number(total.sum.failed)},
                                  {"under_way", number(total.under_way)},
                                  {"input_tokens", number(total.sum.input_tokens)},
                                  {"cache_read_tokens", number(total.sum.cache_read_tokens)},
                                  {"cache_write_tokens", number(total.sum.cache_write_tokens)},
                                  {"output_tokens", number(total.sum.output_tokens)},
                                  {"cost_microusd", Value(total.sum.microusd)}}));
}

void show_usage(Context& context, const Request& request, Responder responder) {
  models::Ledger& ledger = context.services.gateway->ledger();
  const security::Principal& principal = *request.principal;
  auto client = std::make_shared<ModelClient>(std::move(responder));
  const auto answer = [&ledger, client](const models::AccountPtr& account) {
    client->answer(200, {}, usage_text(ledger.total(account)));
  };
  if (!principal.lease.valid())
    return answer(ledger.open_free(principal.id, std::string(request.name_space())));
  ledger.open(principal.lease, [client, answer](Result<models::AccountPtr> opened) {
    if (!opened.ok()) return models::Gateway::refuse(ModelEndpoint::kChat, opened.error(), *client);
    answer(*opened);
  });
}

template <ModelEndpoint endpoint>
RefusalAnswer refusal(const Error& error) {
  models::RenderedError rendered =
      models::render_error(models::dialect_of(endpoint), models::Gateway::error_of(error));
  RefusalAnswer out;
  out.status = rendered.status;
  out.content_type = "application/json";
  for (const auto& [name, value] : rendered.headers) {
    if (models::same_header_name(name, "content-type")) {
      out.content_type = value;
    } else {
      append_header(out.headers, name, value);
    }
  }
  out.body = std::move(rendered.body);
  return out;
}

void refuse_without_gateway(ModelEndpoint endpoint, Responder responder) {
  ModelClient client(std::move(responder));
  models::Gateway::refuse(endpoint, Error(Code::ModelNotFound, "this server has no gateway to models"),
                          client);
}

template <ModelEndpoint endpoint>
void add(Router& router, Context& context, std::string_view summary) {
  Route route;
  route.method = Method::kPost;
  route.pattern = models::path_of(endpoint);
  route.permission = Permission::kModelCall;
  route.summary = summary;
  route.body_limit = models::kBodyLimits.max_bytes;
  route.refusal_form = &refusal<endpoint>;
  route.handler = [&context](Request& request, Responder responder) {
    if (context.services.gateway == nullptr) return refuse_without_gateway(endpoint, std::move(responder));
    call_model(context, endpoint, request, std::move(responder));
  };
  router.add(std::move(route));
}

// Gemini's clients name the model and whether they want a stream in the address; the gateway finds both in
// the body, like those of other dialects.
Status complete_gemini_call(Request& request) {
  constexpr std::string_view kWhole = ":generateContent";
  constexpr std::string_view kStream = ":streamGenerateContent";
  std::string_view call = request.parameter("call");
  const bool stream = call.ends_with(kStream);
  if (!stream && !call.ends_with(kWhole))
    return Error(Code::ModelNotFound,
                 "of a model's methods there are generateContent and streamGenerateContent");
  const std::string* form = request.query.find("alt");
  if (stream && (form == nullptr || *form != "sse"))
    return Error(Code::RequestInvalid, "a stream is given as server-sent events only: alt=sse");
  call.remove_suffix(stream ? kStream.size() : kWhole.size());
  const std::size_t open = request.body.find_first_not_of(" \t\r\n");
  if (open == std::string::npos || request.body[open] != '{')
    return Error(Code::RequestInvalid, "the body is no JSON object");
  std::string members = "\"model\":";
  append_json_string(members, call);
  members += stream ? ",\"stream\":true" : ",\"stream\":false";
  const std::size_t first = request.body.find_first_not_of(" \t\r\n", open + 1);
  if (first != std::string::npos && request.body[first] != '}') members.push_back(',');
  request.body.insert(open + 1, members);
  return {};
}

void add_gemini(Router& router, Context& context) {
  constexpr ModelEndpoint kEndpoint = ModelEndpoint::kGemini;
  Route route;
  route.method = Method::kPost;
  route.pattern = models::path_of(kEndpoint);
  route.permission = Permission::kModelCall;
  route.summary = "Call a model in the way of Google's Gemini";
  route.body_limit = models::kBodyLimits.max_bytes;
  route.refusal_form = &refusal<kEndpoint>;
  route.handler = [&context](Request& request, Responder responder) {
    if (context.services.gateway == nullptr) return refuse_without_gateway(kEndpoint, std::move(responder));
    if (const Status complete = complete_gemini_call(request); !complete.ok()) {
      ModelClient client(std::move(responder));
      return models::Gateway::refuse(kEndpoint, complete.error(), client);
    }
    call_model(context, kEndpoint, request, std::move(responder));
  };
  router.add(std::move(route));
}

}  // namespace

void add_model_routes(Router& router, Context& context) {
  add<ModelEndpoint::kMessages>(router, context, "Call a model in Anthropic's way");
  add<ModelEndpoint::kCountTokens>(router, context, "Count the tokens of such a call");
  add<ModelEndpoint::kChat>(router, context, "Call a model in the way of OpenAI's chat completions");
  add<ModelEndpoint::kResponses>(router, context, "Call a model in the way of OpenAI's responses");
  add<ModelEndpoint::kEmbeddings>(router, context, "Make embeddings");
  add_gemini(router, context);
  Route list;
  list.method = Method::kGet;
  list.pattern = "/v1/models";
  list.permission = Permission::kModelCall;
  list.summary = "List the models that may be called";
  list.refusal_form = &refusal<ModelEndpoint::kChat>;
  list.handler = [&context](Request& request, Responder responder) {
    if (context.services.gateway == nullptr) {
      responder.json(200, R"({"object":"list","data":[],"has_more":false,"first_id":null,"last_id":null})");
      return;
    }
    list_models(context, request, std::move(responder));
  };
  router.add(std::move(list));
  Route usage;
  usage.method = Method::kGet;
  usage.pattern = "/v1/usage";
  usage.permission = Permission::kModelCall;
  usage.summary = "What the caller's calls of models came to";
  usage.refusal_form = &refusal<ModelEndpoint::kChat>;
  usage.handler = [&context](Request& request, Responder responder) {
    if (context.services.gateway == nullptr) {
      responder.json(200, usage_text({}));
      return;
    }
    show_usage(context, request, std::move(responder));
  };
  router.add(std::move(usage));
}

}  // namespace ez::http::api
