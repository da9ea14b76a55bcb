// A model for tests: an HTTP server on the loopback that speaks the Messages dialect, streamed, and answers
// by a script. Its bytes go out as the script says, so it can also break the rules. Used by *_test.cc only.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/json.h"
#include "base/value.h"

namespace ez::agents {

namespace script {

inline Value text(const std::string& words) { return Value::Map{{"type", "text"}, {"text", words}}; }
inline Value call(const std::string& id, const std::string& name, Value input) {
  return Value::Map{{"type", "tool_use"}, {"id", id}, {"name", name}, {"input", std::move(input)}};
}

inline std::string event(const Value& data) {
  return "event: " + std::string(data.string_or("type", "")) + "\ndata: " + to_json(data) + "\n\n";
}

inline std::string head(int status, const std::string& type) {
  return "HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Type: " + type +
         "\r\nConnection: close\r\n\r\n";
}

// A whole streamed reply, its texts and inputs in small pieces.
inline std::string reply(const Value::List& blocks, std::string stop_reason = "",
                         std::int64_t input_tokens = 100, std::int64_t output_tokens = 20) {
  std::string out = head(200, "text/event-stream");
  Value message(Value::Map{{"id", "msg_1"},
                           {"type", "message"},
                           {"role", "assistant"},
                           {"model", "scripted-1"},
                           {"content", Value::List{}},
                           {"usage", Value::Map{{"input_tokens", input_tokens}, {"output_tokens", 1}}}});
  out += event(Value::Map{{"type", "message_start"}, {"message", std::move(message)}});
  out += event(Value::Map{{"type", "ping"}});
  bool calls = false;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const auto index = static_cast<std::int64_t>(i);
    Value start = blocks[i];
    std::string pieces;
    std::string kind = "text_delta";
    std::string member = "text";
    if (start.string_or("type", "") == "tool_use") {
      calls = true;
      kind = "input_json_delta";
      member = "partial_json";
      const Value* raw = start.find("raw_input");
      pieces = raw != nullptr ? raw->as_string() : to_json(*start.find("input"));
      start.set("input", Value::Map{});
    } else {
      pieces = start.string_or("text", "");
      start.set("text", "");
    }
    out += event(Value::Map{{"type", "content_block_start"}, {"index", index}, {"content_block", start}});
    for (std::size_t at = 0; at < pieces.size();) {
      std::size_t size = std::min<std::size_t>(pieces.size() - at, pieces.size() > 100'000 ? 50'000 : 7);
      // Never in the middle of a code point: a stream of JSON texts cannot do that.
      while (at + size < pieces.size() && (static_cast<unsigned char>(pieces[at + size]) & 0xC0) == 0x80)
        ++size;
      out += event(Value::Map{{"type", "content_block_delta"},
                              {"index", index},
                              {"delta", Value::Map{{"type", kind}, {member, pieces.substr(at, size)}}}});
      at += size;
    }
    out += event(Value::Map{{"type", "content_block_stop"}, {"index", index}});
  }
  if (stop_reason.empty()) stop_reason = calls ? "tool_use" : "end_turn";
  out += event(Value::Map{{"type", "message_delta"},
                          {"delta", Value::Map{{"stop_reason", stop_reason}}},
                          {"usage", Value::Map{{"output_tokens", output_tokens}}}});
  return out + event(Value::Map{{"type", "message_stop"}});
}

inline std::string error(int status, const std::string& type, const std::string& message) {
  return head(status, "application/json") +
         to_json(Value::Map{{"type", "error"}, {"error", Value::Map{{"type", type}, {"message", message}}}});
}

}  // namespace script

class ScriptedModel {
 public:
  // Called on the server's thread with each request and its number from 0; gives the bytes of the answer.
  // After them the connection is closed, or left open when `hang` is set in the answer.
  struct Answer {
    std::string bytes;
    bool hang = false;
  };
  using Script = std::function<Answer(const Value& request, std::size_t number)>;

  explicit ScriptedModel(Script script) : script_(std::move(script)), stop_(::eventfd(0, EFD_CLOEXEC)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    ::listen(listener_, 16);
    socklen_t size = sizeof address;
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  // A script that is a list: the last answer is given again and again.
  explicit ScriptedModel(std::vector<std::string> answers)
      : ScriptedModel([answers = std::move(answers)](const Value&, std::size_t number) {
          return Answer{answers[std::min(number, answers.size() - 1)], false};
        }) {}
  ~ScriptedModel() {
    const std::uint64_t one = 1;
    (void)!::write(stop_, &one, sizeof one);
    thread_.join();
    for (const int fd : hanging_) ::close(fd);
    ::close(listener_);
    ::close(stop_);
  }
  ScriptedModel(const ScriptedModel&) = delete;
  ScriptedModel& operator=(const ScriptedModel&) = delete;

  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] std::vector<Value> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  [[nodiscard]] std::vector<std::string> heads() const {
    const std::lock_guard lock(mutex_);
    return heads_;
  }

 private:
  bool wait(int fd, short events) const {
    pollfd fds[2] = {{fd, events, 0}, {stop_, POLLIN, 0}};
    while (::poll(fds, 2, -1) < 0) {
    }
    return fds[1].revents == 0;
  }

  void serve() {
    while (wait(listener_, POLLIN)) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue;
      if (!answer(fd)) {
        ::close(fd);
      } else {
        hanging_.push_back(fd);
      }
    }
  }

  // True: the connection stays open.
  bool answer(int fd) {
    std::string text;
    std::size_t need = std::string::npos;
    char buffer[65536];
    while (text.size() < need) {
      if (!wait(fd, POLLIN)) return false;
      const ssize_t got = ::read(fd, buffer, sizeof buffer);
      if (got <= 0) return false;
      text.append(buffer, static_cast<std::size_t>(got));
      const std::size_t end = text.find("\r\n\r\n");
      if (need != std::string::npos || end == std::string::npos) continue;
      need = end + 4;
      const std::size_t at = text.find("Content-Length: ");
      if (at < end) need += static_cast<std::size_t>(std::stoul(text.substr(at + 16)));
    }
    const std::size_t body = text.find("\r\n\r\n") + 4;
    const auto request = parse_json(text.substr(body));
    std::size_t number = 0;
    {
      const std::lock_guard lock(mutex_);
      heads_.push_back(text.substr(0, body));
      requests_.push_back(request.ok() ? *request : Value());
      number = requests_.size() - 1;
    }
    const Answer out = script_(request.ok() ? *request : Value(), number);
    std::string_view rest = out.bytes;
    while (!rest.empty()) {
      if (!wait(fd, POLLOUT)) return false;
      const ssize_t sent = ::send(fd, rest.data(), std::min<std::size_t>(rest.size(), 4096), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      rest.remove_prefix(static_cast<std::size_t>(sent));
    }
    return out.hang;
  }

  const Script script_;
  const int stop_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  mutable std::mutex mutex_;
  std::vector<Value> requests_;
  std::vector<std::string> heads_;
  std::vector<int> hanging_;
  std::thread thread_;
};

}  // namespace ez::agents
