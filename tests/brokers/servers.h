// Real brokers for a test program: one control process (tests/servers/serve.py) starts them on loopback,
// hurts them, and stops exactly what it started when this program ends, however it ends.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/value.h"

namespace ez::test {

class Servers {
 public:
  // The one of this program; started when it is first asked for.
  static Servers& get();
  ~Servers();
  Servers(const Servers&) = delete;
  Servers& operator=(const Servers&) = delete;

  // What serve.py answers; aborts the program on an error, because no test could go on.
  Value ask(const Value& command);

  // A server of that kind; started once for each kind and options. Has "skip" when it cannot be had.
  const Value& server(const std::string& kind, const Value& options = Value(Value::Map{}));

  void kill(const Value& server, int node = 0) { act("kill", server, node); }
  void pause(const Value& server, int node = 0) { act("pause", server, node); }
  void resume(const Value& server, int node = 0) { act("resume", server, node); }
  void restart(const Value& server, int node = 0) { act("restart", server, node); }
  // Of a server with a disk of its own (option disk_mb): nothing is left on it; what filled it is gone.
  void fill(const Value& server) { act("fill", server, 0); }
  void empty(const Value& server) { act("empty", server, 0); }

  struct Gate {
    std::int64_t number = 0;
    std::string address;
  };
  Gate gate(const std::string& target, std::string_view certificate = {});
  void fault(const Gate& gate, std::string_view kind, std::string_view option = {}, std::int64_t value = 0);

 private:
  Servers();
  void act(std::string_view what, const Value& server, int node);

  int in_ = -1;   // to the process
  int out_ = -1;  // from the process
  int pid_ = 0;
  std::string buffer_;
  std::vector<std::pair<std::string, Value>> servers_;
};

// addresses, tls_addresses … of a server's description.
std::vector<std::string> list_of(const Value& server, std::string_view name);

}  // namespace ez::test
