// Gateway: calls of models by agents, from the bytes of a client's request to the bytes of its answer.
//
// For each call: read the request, see where its model leads and whether the task may use it, set its upper
// bound aside (models/ledger), take a key (models/route), send, hand the answer on as it comes, settle. What
// fails before the first byte went to the client is tried again here, with another key, after a wait or at
// the next target, and nowhere else: clients are told not to.
//
// Same dialect: the bytes of the answer are passed on and only watched. Another dialect: translated
// (models/dialect). Errors come in the client's dialect and name no key.
//
// Threads. start() from any thread; it parses on the caller's. A CallClient is called from the gateway's
// threads, one at a time, and must not block. Flow control: a client that takes no more pauses its upstream;
// at most HttpClientOptions::max_calls calls are at providers. Bounds of bodies: kBodyLimits and below.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "models/config/config.h"
#include "models/ledger/ledger.h"
#include "models/route/key_pool.h"
#include "telemetry/metrics.h"

namespace ez::telemetry {
class Redactor;
}

namespace ez::models {

struct ProviderError;

inline constexpr std::size_t kMaxAnswerBytes = 32 * 1024 * 1024;  // of one that is not a stream
inline constexpr std::size_t kMaxStreamBytes = 256 * 1024 * 1024;

enum class Endpoint : std::uint8_t { kMessages, kCountTokens, kChat, kResponses, kEmbeddings, kGemini };
// The dialect that its clients speak.
[[nodiscard]] Dialect dialect_of(Endpoint endpoint);
// "/v1/messages" …
[[nodiscard]] std::string_view path_of(Endpoint endpoint);

struct CallRequest {
  Endpoint endpoint = Endpoint::kMessages;
  std::string body;
  Headers headers;  // of the client, those that forwarded_header() lets pass
  AccountPtr account;
  std::string id;               // of the request; unique enough to make ids of
  Substitutions substitutions;  // of a cassette: what differs from run to run
};

// Whether a header of a client goes on to a provider of its dialect.
[[nodiscard]] bool forwarded_header(std::string_view name);

// Who asked. Either answer() once, or begin_stream(), send() …, end_stream().
class CallClient {
 public:
  virtual ~CallClient() = default;
  // `headers` include content-type.
  virtual void answer(int status, Headers headers, std::string body) = 0;
  virtual void begin_stream(Headers headers) = 0;
  // False: no room for the whole piece now; nothing of it was taken. CallHandle::drained() asks for it again.
  [[nodiscard]] virtual bool send(std::string_view bytes) = 0;
  virtual void end_stream() = 0;
};

class CallHandle {
 public:
  virtual ~CallHandle() = default;
  virtual void cancel() = 0;   // the client has gone: nothing is sent any more
  virtual void drained() = 0;  // it can take more
};

struct GatewayOptions {
  ModelsConfig config;
  HttpClientOptions http;
};

class Gateway {
 public:
  // All references outlive the gateway; `redactor` may be null. Errors: those of HttpClient::start(),
  // CassetteFile::open().
  [[nodiscard]] static Result<std::unique_ptr<Gateway>> start(GatewayOptions options, Bank& bank,
                                                              Clock& clock, Random& random,
                                                              telemetry::Registry& metrics,
                                                              telemetry::Redactor* redactor);
  ~Gateway();  // stop()

  [[nodiscard]] Ledger& ledger();
  [[nodiscard]] const ModelsConfig& config() const;

  std::shared_ptr<CallHandle> start(CallRequest request, std::shared_ptr<CallClient> client);

  // Names of models that the account's tasks may use, of the dialect's list form.
  [[nodiscard]] std::string list_models(const Account& account) const;
  // An error of ours as one of a provider: what helps, and which status its client gets.
  [[nodiscard]] static ProviderError error_of(const Error& error);
  // An error that was found before start(), in the client's dialect.
  static void refuse(Endpoint endpoint, const Error& error, CallClient& client);

  struct ProviderFigures {
    std::string name;
    bool open = false;
    std::vector<KeyPool::Figures> keys;
  };
  [[nodiscard]] std::vector<ProviderFigures> figures() const;

  // Breaks off what is under way, settles it, records it. Idempotent; the bank must still work.
  void stop();

  struct Core;

 private:
  explicit Gateway(std::unique_ptr<Core> core);
  std::unique_ptr<Core> core_;
};

}  // namespace ez::models
