#include "app/bench_gateway.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "app/load_client.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/thread_turns.h"
#include "http/client.h"
#include "http/server.h"
#include "security/token_file.h"

namespace ez::app {
namespace {

namespace fs = std::filesystem;

constexpr int kPieces = 25;                  // of a stream
constexpr std::int64_t kBetweenUs = 20'000;  // two pieces: fifty a second
constexpr std::int64_t kStreamUs = kPieces * kBetweenUs;
constexpr std::int64_t kTickUs = 1'000;
constexpr int kCallConnections = 64;

std::string sse(std::string_view event, std::string_view data) {
  return "event: " + std::string(event) + "\ndata: " + std::string(data) + "\n\n";
}

// A provider: whole answers at once, streams at the pace of a model.
class Upstream {
 public:
  Status start() {
    http::Router router;
    http::Route route;
    route.method = http::Method::kPost;
    route.pattern = "/v1/messages";
    route.summary = "a model";
    route.handler = [this](http::Request& request, http::Responder responder) {
      answer(request, std::move(responder));
    };
    router.add(std::move(route));
    http::ServerOptions options;
    options.max_connections = 2'000;
    EZ_ASSIGN(server_, http::Server::start(std::move(options), std::move(router),
                                           http::Gate(std::make_shared<security::TokenAuthenticator>("none"),
                                                      http::GateOptions{})));
    pacer_ = std::thread([this] { pace(); });
    return {};
  }
  ~Upstream() {
    stopping_ = true;
    if (pacer_.joinable()) pacer_.join();
    streams_.clear();
    if (server_) server_->stop(std::chrono::milliseconds(0));
  }
  [[nodiscard]] std::uint16_t port() const { return server_->port(); }

 private:
  struct Stream {
    http::Stream stream;
    std::int64_t due_us = 0;
    int left = kPieces;
  };

  void answer(http::Request& request, http::Responder responder) {
    if (request.body.find(R"("stream":true)") == std::string::npos) {
      responder.json(200,
                     R"({"id":"msg_1","type":"message","role":"assistant","model":"claude-bench","content":)"
                     R"([{"type":"text","text":"Hello"}],"stop_reason":"end_turn","stop_sequence":null,)"
                     R"("usage":{"input_tokens":20,"output_tokens":5}})");
      return;
    }
    Stream stream;
    stream.stream = responder.begin_stream("text/event-stream");
    (void)stream.stream.send(
        sse("message_start",
            R"({"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant",)"
            R"("model":"claude-bench","content":[],"stop_reason":null,"stop_sequence":null,)"
            R"("usage":{"input_tokens":20,"output_tokens":1}}})") +
        sse("content_block_start",
            R"({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})"));
    stream.due_us = system_clock().monotonic_us() + kBetweenUs;
    std::lock_guard lock(mutex_);
    begun_.push_back(std::move(stream));
  }

  void pace() {
    const std::string piece =
        sse("content_block_delta",
            R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"word "}})");
    const std::string end =
        sse("content_block_stop", R"({"type":"content_block_stop","index":0})") +
        sse("message_delta",
            R"({"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":25}})") +
        sse("message_stop", R"({"type":"message_stop"})");
    while (!stopping_) {
      std::this_thread::sleep_for(std::chrono::microseconds(kTickUs));
      {
        std::lock_guard lock(mutex_);
        for (Stream& stream : begun_) streams_.push_back(std::move(stream));
        begun_.clear();
      }
      const std::int64_t now = system_clock().monotonic_us();
      for (Stream& stream : streams_) {
        if (stream.due_us > now) continue;
        stream.due_us += kBetweenUs;
        if (--stream.left > 0) {
          (void)stream.stream.send(piece);
        } else {
          (void)stream.stream.send(end);
          stream.stream.close();
        }
      }
      std::erase_if(streams_, [](const Stream& stream) { return stream.left <= 0; });
    }
  }

  std::unique_ptr<http::Server> server_;
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::vector<Stream> begun_;    // guarded by mutex_
  std::vector<Stream> streams_;  // the pacer's
  std::thread pacer_;
};

// `ez up` in a folder that goes away with it.
class BenchServer {
 public:
  Status start(const std::string& program, std::uint16_t upstream) {
    std::string pattern = (fs::temp_directory_path() / "ez-bench-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) {
      return system_error(Code::IoFailed, Code::DiskFull, "make a folder", errno);
    }
    folder_ = pattern;
    const std::string models = folder_ + "/models.yaml";
    std::ofstream(models) << "providers:\n  bench: {base_url: \"http://127.0.0.1:" << upstream
                          << "/v1\", dialects: [anthropic-messages], models: [\"claude-*\"], "
                             "keys: [{value: bench-key}], max_calls: 1000}\nprices: prices.json\n";
    std::ofstream(folder_ + "/prices.json")
        << R"({"dated":"2026-11-22","models":[{"provider":"bench","model":"claude-bench","input":1000000,)"
           R"("output":10000000,"max_output_tokens":1000}]})";
    int report[2];
    if (::pipe(report) != 0) return system_error(Code::IoFailed, Code::IoFailed, "pipe", errno);
    const std::string report_fd = std::to_string(report[1]);
    std::vector<std::string> words{
        program, "up",       "--data", folder_ + "/data", "--listen",       "127.0.0.1:0", "--agents",
        "0",     "--models", models,   "--log-file",      folder_ + "/log", "--report-fd", report_fd};
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close(report[0]);
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
    ::close(report[1]);
    std::string said;
    char byte = 0;
    while (::read(report[0], &byte, 1) == 1 && byte != '\n') said.push_back(byte);
    ::close(report[0]);
    if (!said.starts_with("ready "))
      return Error(Code::ServerUnreachable, "the server did not start: " + said);
    url = said.substr(6);
    return {};
  }
  ~BenchServer() {
    if (pid_ > 0) {
      ::kill(pid_, SIGTERM);
      ::waitpid(pid_, nullptr, 0);
    }
    std::error_code ignored;
    if (!folder_.empty()) fs::remove_all(folder_, ignored);
  }
  [[nodiscard]] std::string data() const { return folder_ + "/data"; }

  std::string url;

 private:
  std::string folder_;
  pid_t pid_ = -1;
};

// The key of a task that an agent of ours holds, with a budget that suffices for all of it.
Result<std::string> task_key(const BenchServer& server) {
  http::ClientOptions options;
  options.server = server.url;
  EZ_ASSIGN(options.token, security::read_token(server.data() + "/token"));
  EZ_ASSIGN(const auto client, http::Client::create(options));
  const auto post = [&](const std::string& target, const Value& body) -> Result<Value> {
    EZ_ASSIGN(const http::ClientAnswer answer, client->post(target, to_json(body)));
    return parse_json(answer.body);
  };
  EZ_TRY(post(
      "/v1/workflows",
      Value(Value::Map{{"source", Value("name: bench\nbudget: {cost_usd: 1000}\ntasks:\n  - {id: a, agent: "
                                        "{type: bench}, prompt: x, timeout: {heartbeat: 10m}}\n")}})));
  EZ_TRY(post("/v1/runs", Value(Value::Map{{"workflow", Value("bench")}})));
  EZ_ASSIGN(
      const Value agent,
      post("/v1/agents",
           Value(Value::Map{{"name", Value("bench")}, {"type", Value("bench")}, {"capacity", Value(1)}})));
  EZ_ASSIGN(const Value work,
            post("/v1/work", Value(Value::Map{{"agent", Value(agent.string_or("agent", ""))},
                                              {"want", Value(1)},
                                              {"wait_ms", Value(10'000)}})));
  const Value* tasks = work.find("tasks");
  if (tasks == nullptr || !tasks->is_list() || tasks->as_list().empty()) {
    return Error(Code::Internal, "the task of the benchmark was not given out");
  }
  const Value* access = tasks->as_list().front().find("model_gateway");
  return access == nullptr ? std::string() : std::string(access->string_or("key", ""));
}

std::string request_text(const std::string& key, bool stream) {
  const std::string body = std::string(R"({"model":"claude-bench","max_tokens":100,)") +
                           (stream ? R"("stream":true,)" : "") +
                           R"("messages":[{"role":"user","content":"Say hello to everybody in the room."}]})";
  return "POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nx-api-key: " + key +
         "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         body;
}

std::uint16_t port_of(const std::string& url) {
  return static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1)));
}

}  // namespace

Result<Value> bench_gateway(const cli::BenchGatewayOptions& options) {
  take_short_turns();  // of the load and the provider: they are to be no slower than what is measured
  Upstream upstream;
  EZ_TRY(upstream.start());
  BenchServer server;
  EZ_TRY(server.start(options.program, upstream.port()));
  EZ_ASSIGN(const std::string key, task_key(server));
  LoadPlan streams;
  streams.connections = static_cast<int>(options.streams);
  streams.duration_us = options.seconds * 1'000'000;
  streams.spread_us = kStreamUs;
  streams.request = request_text(key, true);
  streams.port = upstream.port();
  EZ_ASSIGN(const LoadResult direct, run_load(streams));
  streams.port = port_of(server.url);
  EZ_ASSIGN(const LoadResult through, run_load(streams));
  LoadPlan calls;
  calls.connections = kCallConnections;
  calls.duration_us = streams.duration_us;
  calls.request = request_text(key, false);
  calls.port = streams.port;
  EZ_ASSIGN(const LoadResult whole, run_load(calls));
  return Value(
      Value::Map{{"overhead_p50_ms", Value(through.percentile_ms(0.5) - direct.percentile_ms(0.5))},
                 {"overhead_p99_ms", Value(through.percentile_ms(0.99) - direct.percentile_ms(0.99))},
                 {"calls_per_s", Value(whole.answers_per_s())},
                 {"direct_p50_ms", Value(direct.percentile_ms(0.5))},
                 {"direct_p99_ms", Value(direct.percentile_ms(0.99))},
                 {"gateway_p50_ms", Value(through.percentile_ms(0.5))},
                 {"gateway_p99_ms", Value(through.percentile_ms(0.99))},
                 {"streams", Value(options.streams)},
                 {"streams_measured", Value(through.answers)},
                 {"call_connections", Value(kCallConnections)},
                 {"call_p50_ms", Value(whole.percentile_ms(0.5))},
                 {"call_p99_ms", Value(whole.percentile_ms(0.99))},
                 {"cores", Value(static_cast<std::int64_t>(std::thread::hardware_concurrency()))}});
}

}  // namespace ez::app
