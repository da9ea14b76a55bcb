// The API: every endpoint of docs/guide/api.md on top of the transport (http/server.h), one file per endpoint
// family.
//
// Use. Make the Api, add_routes() to a Router, give on_access() to ServerOptions, start the Server, tell
// observe(). Routes whose body is a file (PUT /v1/artifacts) need ServerOptions::upload_dir.
//
// Threads. Handlers run on the server's I/O threads and never block: what needs the state asks the engine's
// loop, what takes longer (large views, blobs, logs) runs on two small pools of the Api's own.
//
// Flow control. The pools and the timers are bounded (limits.h); what does not fit is answered with
// OVERLOADED.
//
// Ownership. Everything in Services outlives the Api. End in this order: Server::stop(), Engine::stop(), the
// Api, the rest.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "engine/engine.h"
#include "engine/triggers.h"
#include "http/router.h"
#include "http/server.h"
#include "queue/embedded/embedded_bus.h"
#include "storage/attempt_logs.h"
#include "storage/blob_store.h"
#include "storage/history.h"
#include "telemetry/metrics.h"

namespace ez::models {
class Gateway;
}
namespace ez::queue {
class Manager;
}
namespace ez::security {
class LeaseKeys;
}

namespace ez::http::api {

struct Services {
  engine::Engine& engine;
  storage::History& history;
  storage::BlobStore& blobs;
  storage::AttemptLogs& logs;
  telemetry::Registry& metrics;
  Clock& clock;
  std::string version;             // of this ez
  std::filesystem::path data_dir;  // watched for free space by /readyz; shown by /v1/status
  // /readyz says LOG_DISK_FULL below this; the log's own reserve.
  std::uint64_t reserve_bytes = 256ULL << 20;
  // Calls of models; null: those endpoints do not exist here.
  models::Gateway* gateway = nullptr;
  std::shared_ptr<const security::LeaseKeys> lease_keys = nullptr;  // with a gateway
  std::string gateway_url = {};  // what agents are told; empty: the address at which they asked for work
  queue::EmbeddedBus* queue = nullptr;  // null: the endpoints of queues say so; else the manager's
  queue::Manager* queue_manager = nullptr;
  engine::Triggers* triggers = nullptr;  // likewise
};

struct Context;

class Api {
 public:
  explicit Api(Services services);
  ~Api();  // the server and the engine have stopped
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

  // Every route, with its permission. Once.
  void add_routes(Router& router);
  // Counts requests and their latencies by route; after add_routes(). Valid as long as the Api.
  [[nodiscard]] std::function<void(const Access&)> on_access();
  // The figures of that server enter the metrics; it must be told nullptr before the server goes.
  void observe(const Server* server);

 private:
  std::unique_ptr<Context> context_;
};

// The text of /openapi.json.
[[nodiscard]] std::string_view openapi_text();

}  // namespace ez::http::api
