// Router: the endpoints as data, and the search among them.
//
// A pattern is a path whose segments are literals or names in braces: "/v1/runs/{run}/tasks/{task}". A
// literal wins over a name. Immutable once the server has it, so any thread may match.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "http/message.h"
#include "http/request.h"
#include "http/responder.h"
#include "security/permission.h"

namespace ez::http {

// Runs on an I/O thread and must not block: what takes time keeps the Responder and answers later.
using Handler = std::function<void(Request&, Responder)>;

// How an error looks that was found before the handler ran.
struct RefusalAnswer {
  int status = 0;
  std::string content_type;
  std::string headers;  // complete lines
  std::string body;
};
using RefusalForm = RefusalAnswer (*)(const Error& error);

enum class BodyMode : std::uint8_t { kMemory, kFile };

struct Route {
  Method method = Method::kGet;
  std::string pattern;
  // What a caller needs in the namespace of the request. Empty: open to everybody, and exempt from the Host
  // and Origin checks (probes of load balancers); such a route says nothing worth protecting.
  std::optional<security::Permission> permission;
  Handler handler;
  std::string summary;                     // one line, for /openapi.json
  std::uint64_t body_limit = 1024 * 1024;  // bytes; more is PAYLOAD_TOO_LARGE
  BodyMode body_mode = BodyMode::kMemory;
  RefusalForm refusal_form = nullptr;  // null: a problem document
};

class Router {
 public:
  Router();
  ~Router();
  Router(Router&&) noexcept;
  Router& operator=(Router&&) noexcept;

  // A malformed pattern or a second route for the same method and pattern is a bug of ours and aborts.
  void add(Route route);

  using Parameters = std::vector<std::pair<std::string_view, std::string>>;
  struct Found {
    const Route* route = nullptr;
    bool head_of_get = false;  // a HEAD request that a GET route answers; the server leaves out the body
  };
  struct Missing {
    Error error;
    std::string allow;  // the methods that the path has, for the Allow header of METHOD_NOT_ALLOWED
  };
  // `path` is still encoded. Fills `parameters`. Missing: ENDPOINT_NOT_FOUND, METHOD_NOT_ALLOWED,
  // REQUEST_INVALID (a segment that is not percent-encoded UTF-8 without control characters).
  [[nodiscard]] std::variant<Found, Missing> match(Method method, std::string_view path,
                                                   Parameters& parameters) const;

  // In the order they were added.
  [[nodiscard]] std::vector<const Route*> routes() const;

 private:
  struct Node;
  std::vector<std::unique_ptr<Route>> routes_;
  std::unique_ptr<Node> root_;
};

}  // namespace ez::http
