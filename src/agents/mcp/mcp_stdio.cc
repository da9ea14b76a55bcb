#include "agents/mcp/mcp_stdio.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "agents/llm/tool_box.h"
#include "base/json.h"

namespace ez::agents {
namespace {

using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;

int wait_ms(Steady::time_point until) {
  const auto left = std::chrono::ceil<milliseconds>(until - Steady::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
}

}  // namespace

Value answer_to_server(const Value& request) {
  Value answer(Value::Map{{"jsonrpc", "2.0"}, {"id", *request.find("id")}});
  if (request.string_or("method", "") == "ping") {
    answer.set("result", Value::Map{});
  } else {
    answer.set("error", Value::Map{{"code", -32601}, {"message", "this client offers nothing to servers"}});
  }
  return answer;
}

Result<std::unique_ptr<McpTransport>> McpStdio::start(Attempt& attempt, const McpServer& server) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return system_error(Code::IoFailed, Code::DiskFull, "pipe", errno);
  UniqueFd child(ends[0]);
  UniqueFd ours(ends[1]);
  ::fcntl(ours.get(), F_SETFL, O_NONBLOCK);
  UniqueFd news(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!news.valid()) return system_error(Code::IoFailed, Code::DiskFull, "eventfd", errno);
  SandboxSpec spec = attempt.sandbox_spec();
  // `env` finds the program in PATH, as a shell would.
  spec.argv = {"/usr/bin/env", "--"};
  spec.argv.insert(spec.argv.end(), server.command.begin(), server.command.end());
  if (server.command[0].find('=') != std::string::npos)
    return Error(Code::McpFailed, "the command of " + server.name + " cannot hold '='");
  spec.environment.insert(spec.environment.end(), server.environment.begin(), server.environment.end());
  spec.limits.output_mb =
      std::max<std::int64_t>(spec.limits.output_mb, 1024);  // of all its messages together
  auto transport =
      std::unique_ptr<McpStdio>(new McpStdio(attempt, server.name, std::move(ours), std::move(news)));
  McpStdio* raw = transport.get();
  raw->thread_ = std::thread([raw, spec = std::move(spec), input = std::move(child)]() mutable {
    raw->run(std::move(spec), std::move(input));
  });
  return std::unique_ptr<McpTransport>(std::move(transport));
}

McpStdio::McpStdio(Attempt& attempt, std::string name, UniqueFd input, UniqueFd news)
    : attempt_(attempt), name_(std::move(name)), input_(std::move(input)), news_(std::move(news)) {}

void McpStdio::run(SandboxSpec spec, UniqueFd child_input) {
  spec.input = child_input.get();
  spec.errors = [this](std::string_view bytes) { take_errors(bytes); };
  auto outcome = attempt_.ports().sandbox.run(
      spec, [this](std::string_view bytes) { take_output(bytes); }, &stop_);
  child_input.reset();
  const std::lock_guard lock(mutex_);
  ended_ = true;
  if (!broken_) {
    std::string why;
    if (!outcome.ok()) {
      why = outcome.error().message();
    } else if (outcome->process.stopped) {
      why = std::string(outcome->process.stopped->name()) + ": " + outcome->process.stopped->message();
    } else {
      why = "it ended with status " + std::to_string(outcome->process.exit_code);
    }
    if (!last_words_.empty()) why += "; its last words: " + shortened(last_words_, 500);
    broken_ = Error(Code::McpFailed, "the MCP server " + name_ + ": " + why);
  }
  changed_.notify_all();
  tell();
}

void McpStdio::tell() {
  const std::uint64_t one = 1;
  (void)!::write(news_.get(), &one, sizeof one);
}

void McpStdio::take_output(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t end = std::min(bytes.find('\n'), bytes.size());
    partial_.append(bytes.substr(0, end));
    if (partial_.size() > kMaxMcpMessage) {
      const std::lock_guard lock(mutex_);
      broken_ = Error(Code::McpFailed, "the MCP server " + name_ + " sent a message of more than " +
                                           std::to_string(kMaxMcpMessage) + " bytes");
      stop_.cancel();
      partial_.clear();
      // Who waits for an answer hears of it now, not when the sandbox has ended.
      changed_.notify_all();
      tell();
      return;
    }
    if (end == bytes.size()) return;
    bytes.remove_prefix(end + 1);
    std::string line;
    line.swap(partial_);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) take_line(line);
  }
}

void McpStdio::take_line(const std::string& line) {
  const auto message = parse_json(line, {kMaxMcpMessage, 64, 200'000});
  if (!message.ok() || !message->is_map()) {
    // Some servers greet on standard output; what is no message is none.
    take_errors("(not a message) " + line.substr(0, 200) + "\n");
    return;
  }
  const Value* id = message->find("id");
  if (message->find("method") != nullptr) {
    if (id == nullptr || id->is_null()) return;  // a notification
    const Status sent =
        write(to_json(answer_to_server(*message)), Steady::now() + milliseconds(5'000), &stop_);
    (void)sent;  // a server that does not read is met by the next call
    return;
  }
  const std::lock_guard lock(mutex_);
  if (id == nullptr || waited_id_.empty() || to_json(*id) != waited_id_) return;  // late, or to nobody
  response_ = *message;
  waited_id_.clear();
  tell();
}

void McpStdio::take_errors(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t end = std::min(bytes.find('\n'), bytes.size());
    error_line_.append(bytes.substr(0, std::min<std::size_t>(end, 1'000)));
    if (error_line_.size() > 1'000) error_line_.resize(1'000);
    if (end == bytes.size()) return;
    bytes.remove_prefix(end + 1);
    std::string line;
    line.swap(error_line_);
    error_bytes_ += line.size() + 1;
    {
      const std::lock_guard lock(mutex_);
      last_words_ = line;
    }
    if (error_bytes_ <= kMaxMcpErrorText) attempt_.log().note(name_ + ": " + shortened(line, 1'000));
  }
}

Status McpStdio::write(const std::string& line, Steady::time_point until, const CancelToken* cancel) {
  const std::lock_guard one_at_a_time(writing_);
  const std::string text = line + "\n";
  std::string_view rest = text;
  while (!rest.empty()) {
    if (!input_.valid()) return Error(Code::McpFailed, "the MCP server " + name_ + " was ended");
    const ssize_t wrote = ::write(input_.get(), rest.data(), rest.size());
    if (wrote > 0) {
      rest.remove_prefix(static_cast<std::size_t>(wrote));
      continue;
    }
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0 && errno != EAGAIN) return ended_error();
    pollfd fds[2] = {{input_.get(), POLLOUT, 0}, {cancel != nullptr ? cancel->fd() : -1, POLLIN, 0}};
    const int ready = ::poll(fds, 2, wait_ms(until));
    if (ready > 0 && fds[1].revents != 0) return Error(Code::TaskCancelled, "cancelled");
    if (ready == 0 && Steady::now() >= until)
      return Error(kMcpTimedOut, "the MCP server " + name_ + " does not read its input");
  }
  return {};
}

Error McpStdio::ended_error() const {
  const std::lock_guard lock(mutex_);
  return broken_ ? *broken_ : Error(Code::McpFailed, "the MCP server " + name_ + " closed its input");
}

bool McpStdio::is_alive() const {
  const std::lock_guard lock(mutex_);
  return !broken_;
}

Result<Value> McpStdio::call(const McpCall& call) {
  const auto until = Steady::now() + call.timeout;
  const Value* id = call.message.find("id");
  {
    const std::lock_guard lock(mutex_);
    if (broken_) return *broken_;
    response_.reset();
    waited_id_ = to_json(*id);
  }
  const auto give_up = [&](Error why) -> Result<Value> {
    {
      const std::lock_guard lock(mutex_);
      waited_id_.clear();
    }
    const Value cancelled(Value::Map{{"jsonrpc", "2.0"},
                                     {"method", "notifications/cancelled"},
                                     {"params", Value::Map{{"requestId", *id}, {"reason", "given up"}}}});
    [[maybe_unused]] const Status told =
        write(to_json(cancelled), Steady::now() + milliseconds(100), nullptr);
    return why;
  };
  if (Status sent = write(to_json(call.message), until, call.cancel); !sent.ok()) {
    // A server that ended while it was written to says why in a moment.
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, milliseconds(2'000), [&] { return broken_.has_value(); });
    waited_id_.clear();
    return broken_ ? *broken_ : sent.error();
  }
  while (true) {
    {
      const std::lock_guard lock(mutex_);
      if (response_) return std::move(*response_);
      if (broken_ && (ended_ || stop_.cancelled())) return *broken_;
    }
    pollfd fds[2] = {{news_.get(), POLLIN, 0}, {call.cancel != nullptr ? call.cancel->fd() : -1, POLLIN, 0}};
    const int ready = ::poll(fds, 2, wait_ms(until));
    if (ready > 0 && fds[1].revents != 0) return give_up(Error(Code::TaskCancelled, "cancelled"));
    if (ready > 0) {
      std::uint64_t count = 0;
      (void)!::read(news_.get(), &count, sizeof count);
      continue;
    }
    if (Steady::now() >= until) {
      return give_up(Error(kMcpTimedOut, "the MCP server " + name_ + " did not answer within " +
                                             std::to_string(call.timeout.count()) + " ms"));
    }
  }
}

Status McpStdio::notify(const McpCall& call) {
  return write(to_json(call.message), Steady::now() + call.timeout, call.cancel);
}

void McpStdio::close() {
  {
    const std::lock_guard one_at_a_time(writing_);
    input_.reset();
  }
  if (!thread_.joinable()) return;
  {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kMcpGoodbye, [&] { return ended_; });
  }
  stop_.cancel();
  thread_.join();
}

}  // namespace ez::agents
