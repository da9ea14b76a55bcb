#include "servers.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "base/check.h"
#include "base/json.h"

extern char** environ;

namespace ez::test {

Servers& Servers::get() {
  static Servers one;
  return one;
}

Servers::Servers() {
  ::signal(SIGPIPE, SIG_IGN);
  const char* root = std::getenv("EZ_SOURCE_DIR");
  const std::string script = std::string(root != nullptr ? root : ".") + "/tests/servers/serve.py";
  int to[2];
  int from[2];
  EZ_CHECK(::pipe2(to, O_CLOEXEC) == 0 && ::pipe2(from, O_CLOEXEC) == 0, "pipe");
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
  const char* words[] = {"python3", "-B", script.c_str(), nullptr};
  EZ_CHECK(::posix_spawnp(&pid_, "python3", &actions, nullptr, const_cast<char**>(words), environ) == 0,
           "python3 cannot be started");
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(to[0]);
  ::close(from[1]);
  in_ = to[1];
  out_ = from[0];
}

Servers::~Servers() {
  // The end of its input is the sign to stop everything.
  ::close(in_);
  int status = 0;
  ::waitpid(pid_, &status, 0);
  ::close(out_);
}

Value Servers::ask(const Value& command) {
  const std::string line = to_json(command) + "\n";
  EZ_CHECK(::write(in_, line.data(), line.size()) == static_cast<ssize_t>(line.size()), "serve.py has gone");
  std::size_t end = 0;
  while ((end = buffer_.find('\n')) == std::string::npos) {
    char bytes[4096];
    const ssize_t got = ::read(out_, bytes, sizeof bytes);
    EZ_CHECK(got > 0, "serve.py has gone");
    buffer_.append(bytes, static_cast<std::size_t>(got));
  }
  auto answer = parse_json(std::string_view(buffer_).substr(0, end));
  buffer_.erase(0, end + 1);
  EZ_CHECK(answer.ok(), "serve.py answered something that is not JSON");
  if (const Value* error = answer->find("error")) {
    std::fprintf(stderr, "serve.py: %s: %s", line.c_str(), error->as_string().c_str());
    std::abort();
  }
  return *answer;
}

const Value& Servers::server(const std::string& kind, const Value& options) {
  const std::string name = kind + to_json(options);
  for (const auto& [known, server] : servers_) {
    if (known == name) return server;
  }
  Value command;
  command.set("do", "start");
  command.set("kind", kind);
  command.set("options", options);
  servers_.reserve(32);  // references stay good
  servers_.emplace_back(name, ask(command));
  return servers_.back().second;
}

void Servers::act(std::string_view what, const Value& server, int node) {
  Value command;
  command.set("do", what);
  command.set("server", server.int_or("server", 0));
  command.set("node", node);
  ask(command);
}

Servers::Gate Servers::gate(const std::string& target, std::string_view certificate) {
  Value command;
  command.set("do", "gate");
  command.set("target", target);
  if (!certificate.empty()) command.set("certificate", certificate);
  const Value answer = ask(command);
  return {answer.int_or("gate", 0), std::string(answer.string_or("address", ""))};
}

void Servers::fault(const Gate& gate, std::string_view kind, std::string_view option, std::int64_t value) {
  Value command;
  command.set("do", "fault");
  command.set("gate", gate.number);
  command.set("kind", kind);
  if (!option.empty()) command.set(option, value);
  ask(command);
}

std::vector<std::string> list_of(const Value& server, std::string_view name) {
  std::vector<std::string> out;
  if (const Value* list = server.find(name)) {
    for (const Value& one : list->as_list()) out.push_back(one.as_string());
  }
  return out;
}

}  // namespace ez::test
