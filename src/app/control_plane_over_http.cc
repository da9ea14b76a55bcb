#include "app/control_plane_over_http.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "base/json.h"
#include "base/sha256.h"

namespace ez::app {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kCallTimeout{30'000};
constexpr milliseconds kTransferTimeout{900'000};
constexpr std::size_t kExtraConnections = 8;
constexpr std::size_t kPiece = 256 * 1024;
constexpr JsonLimits kAnswerLimits{64 * 1024 * 1024, 96, 10'000'000};

Fence fence_of(const Value& value) {
  return Fence{value.is_int() && value.as_int() > 0 ? static_cast<std::uint64_t>(value.as_int()) : 0};
}

std::vector<agents::Cancel> cancels(const Value& answer) {
  std::vector<agents::Cancel> out;
  const Value* list = answer.find("cancel");
  if (list == nullptr || !list->is_list()) return out;
  for (const Value& entry : list->as_list()) {
    const Value* fence = entry.find("fence");
    if (fence == nullptr) continue;
    out.push_back({fence_of(*fence), std::string(entry.string_or("reason", "cancelled"))});
  }
  return out;
}

Result<Value> json_of(const http::ClientAnswer& answer) {
  auto value = parse_json(answer.body, kAnswerLimits);
  if (!value.ok())
    return Error(Code::ServerUnreachable, "the server's answer is not JSON: " + value.error().message());
  return value;
}

class HttpLog final : public agents::LogPort {
 public:
  HttpLog(http::Client& client, const agents::WorkItem& item)
      : client_(client),
        target_("/v1/runs/" + item.run + "/tasks/" + item.task + "/attempts/" + std::to_string(item.attempt) +
                "/logs"),
        fence_(item.fence) {}

  Result<std::uint64_t> size() override {
    http::ClientRequest request;
    request.target = target_ + "?offset=0&limit=1";
    request.timeout = kCallTimeout;
    EZ_ASSIGN(const http::ClientAnswer answer, client_.send(request));
    const auto header = answer.headers.find("Ez-Log-Size");
    std::uint64_t size = 0;
    if (!header || std::from_chars(header->data(), header->data() + header->size(), size).ec != std::errc()) {
      return Error(Code::ServerUnreachable, "the server does not say how long the log is");
    }
    return size;
  }

  Status append(std::uint64_t offset, std::string_view bytes) override {
    http::ClientRequest request;
    request.method = http::Method::kPost;
    request.target = target_ + "?fence=" + std::to_string(fence_.value) + "&offset=" + std::to_string(offset);
    request.body = bytes;
    request.content_type = "application/octet-stream";
    request.timeout = kCallTimeout;
    EZ_TRY(client_.send(request));
    return {};
  }

 private:
  http::Client& client_;
  const std::string target_;
  const Fence fence_;
};

class HttpControlPlane final : public agents::ControlPlane {
 public:
  explicit HttpControlPlane(std::unique_ptr<http::Client> client) : client_(std::move(client)) {}

  Result<agents::Registered> register_agent(const agents::Registration& registration) override {
    const Value body(Value::Map{{"name", Value(registration.name)},
                                {"type", Value(registration.type)},
                                {"capabilities", Value(Value::List(registration.capabilities.begin(),
                                                                   registration.capabilities.end()))},
                                {"capacity", Value(registration.capacity)}});
    EZ_ASSIGN(const Value answer, post("/v1/agents", body, milliseconds(0)));
    return agents::Registered{std::string(answer.string_or("agent", "")),
                              answer.int_or("heartbeat_ms", 10'000),
                              std::string(answer.string_or("session", ""))};
  }

  Result<agents::WorkReply> work(const agents::WorkRequest& request) override {
    Value::List results;
    for (const agents::TaskResult& result : request.results) results.push_back(agents::to_value(result));
    const Value body(Value::Map{{"agent", Value(request.agent)},
                                {"want", Value(request.want)},
                                {"wait_ms", Value(request.wait_ms)},
                                {"results", Value(std::move(results))}});
    EZ_ASSIGN(const Value answer, post("/v1/work", body, milliseconds(request.wait_ms)));
    agents::WorkReply reply;
    if (const Value* list = answer.find("accepted"); list != nullptr && list->is_list()) {
      for (const Value& entry : list->as_list()) {
        const Value* fence = entry.find("fence");
        if (fence == nullptr) continue;
        const std::string_view status = entry.string_or("status", "stale");
        reply.accepted.emplace_back(fence_of(*fence), status == "accepted"    ? agents::Acceptance::kAccepted
                                                      : status == "duplicate" ? agents::Acceptance::kDuplicate
                                                                              : agents::Acceptance::kStale);
      }
    }
    if (const Value* list = answer.find("tasks"); list != nullptr && list->is_list())
      reply.tasks = list->as_list();
    reply.cancel = cancels(answer);
    return reply;
  }

  Result<agents::HeartbeatReply> heartbeat(const std::string& agent, const std::vector<Fence>& leases,
                                           std::int64_t wait_ms) override {
    Value::List fences;
    for (const Fence fence : leases) fences.emplace_back(static_cast<std::int64_t>(fence.value));
    const Value body(Value::Map{{"leases", Value(std::move(fences))}, {"wait_ms", Value(wait_ms)}});
    EZ_ASSIGN(const Value answer, post("/v1/agents/" + agent + "/heartbeat", body, milliseconds(wait_ms)));
    agents::HeartbeatReply reply;
    reply.cancel = cancels(answer);
    if (const Value* list = answer.find("unknown"); list != nullptr && list->is_list()) {
      for (const Value& fence : list->as_list()) reply.unknown.push_back(fence_of(fence));
    }
    return reply;
  }

  std::unique_ptr<agents::LogPort> log_of(const agents::WorkItem& item) override {
    return std::make_unique<HttpLog>(*client_, item);
  }

  void interrupt() override { waits_.cancel(); }

  Status fetch(const std::string& sha256, const std::string& path) override {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return system_error(Code::IoFailed, Code::DiskFull, "create " + path, errno);
    Sha256 hash;
    Status written;
    http::ClientRequest request;
    request.target = "/v1/artifacts/" + sha256;
    request.idle_timeout = kCallTimeout;
    request.sink = [&](std::string_view piece) {
      hash.update(piece);
      while (!piece.empty()) {
        const ssize_t got = ::write(fd, piece.data(), piece.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
          written = system_error(Code::IoFailed, Code::DiskFull, "write " + path, errno);
          return false;
        }
        piece.remove_prefix(static_cast<std::size_t>(got));
      }
      return true;
    };
    const auto answer = client_->send(request);
    ::close(fd);
    Status status = !answer.ok() ? Status(answer.error()) : written;
    if (status.ok() && hash.finish_hex() != sha256) {
      status =
          Error(Code::BlobDamaged, "the bytes of artifact " + sha256 + " that arrived do not have that hash");
    }
    if (!status.ok()) ::unlink(path.c_str());
    return status;
  }

  Result<agents::ArtifactRef> store(const std::string& path) override {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);  // may be a link of /proc/self/fd
    if (fd < 0) return system_error(Code::IoFailed, Code::IoFailed, "open " + path, errno);
    Sha256 hash;
    std::string piece(kPiece, '\0');
    std::int64_t size = 0;
    while (true) {
      const ssize_t got = ::read(fd, piece.data(), piece.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) {
        const Error error = system_error(Code::IoFailed, Code::IoFailed, "read " + path, errno);
        ::close(fd);
        return error;
      }
      if (got == 0) break;
      hash.update(std::string_view(piece).substr(0, static_cast<std::size_t>(got)));
      size += got;
    }
    ::close(fd);
    agents::ArtifactRef ref;
    ref.sha256 = hash.finish_hex();
    ref.size = size;
    http::ClientRequest request;
    request.method = http::Method::kPut;
    request.target = "/v1/artifacts/" + ref.sha256;
    request.content_type = "application/octet-stream";
    request.timeout = kTransferTimeout;
    if (size > 0) request.body_file = path;
    EZ_TRY(client_->send(request));
    return ref;
  }

 private:
  // Calls that wait at the server end with interrupt(); others run to their end.
  Result<Value> post(const std::string& target, const Value& body, milliseconds wait) {
    http::ClientRequest request;
    request.method = http::Method::kPost;
    request.target = target;
    request.body = to_json(body);
    request.timeout = kCallTimeout + wait;
    if (wait.count() > 0) request.cancellation = &waits_;
    EZ_ASSIGN(const http::ClientAnswer answer, client_->send(request));
    return json_of(answer);
  }

  http::Cancellation waits_;
  const std::unique_ptr<http::Client> client_;
};

}  // namespace

Result<std::unique_ptr<agents::ControlPlane>> control_plane_over_http(http::ClientOptions options,
                                                                      std::int64_t capacity) {
  options.max_connections = static_cast<std::size_t>(capacity) * 2 + kExtraConnections;
  EZ_ASSIGN(auto client, http::Client::create(std::move(options)));
  return std::unique_ptr<agents::ControlPlane>(std::make_unique<HttpControlPlane>(std::move(client)));
}

}  // namespace ez::app
