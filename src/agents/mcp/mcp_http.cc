#include "agents/mcp/mcp_http.h"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <optional>

#include "agents/event_stream.h"
#include "agents/llm/tool_box.h"
#include "base/json.h"

namespace ez::agents {
namespace {

using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;
constexpr milliseconds kFarewell{3'000};
constexpr milliseconds kDefaultReturn{1'000};  // to a stream whose server does not say how long to wait
constexpr int kMaxReturns = 10;
constexpr JsonLimits kLimits{kMaxMcpMessage, 64, 200'000};

}  // namespace

WebRequest McpHttp::request_of(const McpCall& call, const Value& message) const {
  WebRequest request;
  request.url = server_.url;
  request.headers = server_.headers;
  request.headers.emplace_back("Accept", "application/json, text/event-stream");
  request.headers.insert(request.headers.end(), call.headers.begin(), call.headers.end());
  if (!session_.empty()) request.headers.emplace_back("Mcp-Session-Id", session_);
  request.body = to_json(message);
  request.timeout = call.timeout;
  request.idle_timeout = call.timeout;
  request.max_answer_bytes = kMaxMcpMessage;
  request.cancel = call.cancel;
  return request;
}

// The answer to one request, from as many connections as it takes.
class McpHttp::Listener {
 public:
  Listener(McpHttp& http, const McpCall& call)
      : http_(http),
        call_(call),
        id_(to_json(*call.message.find("id"))),
        until_(Steady::now() + call.timeout),
        where_("the MCP server " + http.server_.name),
        events_([this](const std::string& event, const std::string& data) { return take(event, data); },
                kMaxMcpMessage) {}

  Result<Value> run() {
    auto answer = send(http_.request_of(call_, call_.message));
    for (int i = 0; i < kMaxReturns && may_return(answer); ++i) {
      const auto pause = events_.retry_ms() >= 0 ? milliseconds(events_.retry_ms()) : kDefaultReturn;
      const auto left = std::chrono::ceil<milliseconds>(until_ - Steady::now());
      pollfd cancelled{call_.cancel != nullptr ? call_.cancel->fd() : -1, POLLIN, 0};
      if (pause >= left || ::poll(&cancelled, 1, static_cast<int>(pause.count())) > 0) break;
      WebRequest again = http_.request_of(call_, Value());
      again.method = "GET";
      again.body.clear();
      again.headers.emplace_back("Last-Event-ID", events_.last_id());
      answer = send(std::move(again));
    }
    return result_of(answer);
  }

 private:
  Result<WebAnswer> send(WebRequest request) {
    const auto left = std::chrono::ceil<milliseconds>(until_ - Steady::now());
    request.timeout = std::max(left, milliseconds(1));
    request.idle_timeout = request.timeout;
    request.sink = [this](std::string_view piece) { return feed(piece); };
    return http_.web_.send(request);
  }

  // A stream of an older revision that ended before the response may be taken up again.
  [[nodiscard]] bool may_return(const Result<WebAnswer>& answer) const {
    const bool is_older = std::none_of(call_.headers.begin(), call_.headers.end(),
                                       [](const auto& header) { return header.first == "Mcp-Method"; });
    const bool cancelled = call_.cancel != nullptr && call_.cancel->cancelled();
    return is_older && !cancelled && !response_ && !broken_ && kind_ == Kind::kStream && !late() &&
           !events_.last_id().empty() && (!answer.ok() || answer->status < 400);
  }

  [[nodiscard]] bool late() const { return Steady::now() >= until_; }

  bool feed(std::string_view piece) {
    if (late()) return false;
    // The first byte says it: an object, or the field of an event.
    if (kind_ == Kind::kUnknown) {
      const std::size_t first = piece.find_first_not_of(" \t\r\n");
      if (first == std::string_view::npos) return true;
      kind_ = piece[first] == '{' ? Kind::kObject : Kind::kStream;
    }
    if (kind_ == Kind::kObject) {
      text_.append(piece);
      if (text_.size() > kMaxMcpMessage)
        broken_ = Error(Code::McpFailed, where_ + " sent too large a message");
      return !broken_.has_value();
    }
    auto more = events_.feed(piece);
    if (!more.ok()) broken_ = Error(Code::McpFailed, where_ + ": " + more.error().message());
    return more.ok() && *more;
  }

  bool take(const std::string& event, const std::string& data) {
    if (event != "message" || data.empty()) return true;
    auto message = parse_json(data, kLimits);
    if (!message.ok() || !message->is_map()) {
      broken_ = Error(Code::McpFailed, where_ + " sent an event that is no message");
      return false;
    }
    const Value* own = message->find("id");
    if (message->find("method") != nullptr) {
      if (own == nullptr || own->is_null()) return true;
      // Older servers ask on the stream; the answer is a POST of its own.
      McpCall answer = call_;
      answer.timeout = kFarewell;
      [[maybe_unused]] const auto sent =
          http_.web_.send(http_.request_of(answer, answer_to_server(*message)));
      return true;
    }
    if (own == nullptr || to_json(*own) != id_) return true;
    response_ = std::move(*message);
    return false;
  }

  Result<Value> result_of(const Result<WebAnswer>& answer) {
    const bool begins = call_.message.string_or("method", "") == "initialize";
    if (response_) {
      if (begins && answer.ok()) http_.take_session(*answer);
      return std::move(*response_);
    }
    if (call_.cancel != nullptr && call_.cancel->cancelled()) return Error(Code::TaskCancelled, "cancelled");
    if (broken_) return *broken_;
    if (late()) {
      return Error(kMcpTimedOut,
                   where_ + " did not answer within " + std::to_string(call_.timeout.count()) + " ms");
    }
    if (!answer.ok()) return Error(Code::McpFailed, where_ + ": " + answer.error().message());
    const std::string& text = answer->status >= 400 ? answer->body : text_;
    auto message = parse_json(text, kLimits);
    const bool is_message = message.ok() && message->is_map() && message->string_or("jsonrpc", "") == "2.0" &&
                            (message->find("error") != nullptr || message->find("result") != nullptr);
    if (is_message) {
      if (begins) http_.take_session(*answer);
      return std::move(*message);
    }
    if (answer->status >= 400) {
      return Error(kMcpRefused,
                   where_ + " answered " + std::to_string(answer->status) + ": " + shortened(text, 300));
    }
    if (kind_ == Kind::kObject)
      return Error(Code::McpFailed, where_ + " sent an answer that is no message: " + shortened(text, 300));
    return Error(Code::McpFailed, where_ + " ended its answer without a response");
  }

  enum class Kind { kUnknown, kObject, kStream };
  McpHttp& http_;
  const McpCall& call_;
  const std::string id_;
  const Steady::time_point until_;
  const std::string where_;
  EventStream events_;
  Kind kind_ = Kind::kUnknown;
  std::string text_;  // of an answer that is one object
  std::optional<Value> response_;
  std::optional<Error> broken_;
};

Result<Value> McpHttp::call(const McpCall& call) { return Listener(*this, call).run(); }

void McpHttp::take_session(const WebAnswer& answer) {
  session_ = answer.header("Mcp-Session-Id").value_or("");
  if (session_.size() > 1'000) session_.clear();
}

Status McpHttp::notify(const McpCall& call) {
  for (const auto& [name, value] : call.headers) {
    if (name == "MCP-Protocol-Version") session_version_ = value;
  }
  const auto answer = web_.send(request_of(call, call.message));
  if (!answer.ok())
    return Error(Code::McpFailed, "the MCP server " + server_.name + ": " + answer.error().message());
  if (answer->status >= 400)
    return Error(kMcpRefused,
                 "the MCP server " + server_.name + " answered " + std::to_string(answer->status));
  return {};
}

void McpHttp::close() {
  if (session_.empty()) return;
  WebRequest request;
  request.method = "DELETE";
  request.url = server_.url;
  request.headers = server_.headers;
  request.headers.emplace_back("Mcp-Session-Id", session_);
  if (!session_version_.empty()) request.headers.emplace_back("MCP-Protocol-Version", session_version_);
  request.timeout = kFarewell;
  session_.clear();
  [[maybe_unused]] const auto gone = web_.send(request);  // 405: the server ends sessions by itself
}

}  // namespace ez::agents
