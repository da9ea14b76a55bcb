// One call of `ez`: the ports, where output goes, and how the server is found.
//
// Server: --server, EZ_SERVER, else <data>/server.json. Token: --token-file, EZ_TOKEN, else <data>/token.
// Namespace: --namespace, EZ_NAMESPACE, else default.
// Data directory: --data, EZ_DATA, else $XDG_STATE_HOME/ez or ~/.local/state/ez.
#pragma once

#include <memory>
#include <ostream>
#include <string>
#include <utility>

#include "base/result.h"
#include "base/value.h"
#include "cli/arguments.h"
#include "cli/ports.h"

namespace ez::cli {

class Session {
 public:
  Session(const Ports& given, std::ostream& output, std::ostream& errors)
      : ports(given), out(output), err(errors) {}

  const Ports& ports;
  std::ostream& out;
  std::ostream& err;

  // Absolute. INVALID_ARGUMENT when there is no home directory either.
  [[nodiscard]] static Result<std::string> data_dir(const Arguments& arguments);
  // --namespace, else what a workflow file says, else EZ_NAMESPACE, else empty.
  [[nodiscard]] static std::string name_space(const Arguments& arguments, std::string_view of_file = "");
  // SERVER_UNREACHABLE when no server is named and none runs on the data directory.
  [[nodiscard]] static Result<Endpoint> endpoint(const Arguments& arguments);
  [[nodiscard]] Result<std::unique_ptr<Api>> connect(const Arguments& arguments) const;
  // All requests are in the endpoint's namespace.
  [[nodiscard]] Result<std::unique_ptr<Api>> connect(const Endpoint& endpoint) const;
};

// A command: data, and the function that does it. The function gives the exit status; an Error is printed and
// gives the one of the catalogue.
struct Command {
  std::string_view path;      // "run", "workflow validate"
  std::string_view summary;   // one line
  std::string_view examples;  // lines
  std::vector<OptionSpec> options;
  std::vector<OperandSpec> operands;
  bool remote = false;  // talks to a server: gets --server, --token-file and --data
  Result<int> (*run)(Session&, const Arguments&) = nullptr;
};

inline constexpr int kExitOk = 0;
inline constexpr int kExitNegative = 1;
inline constexpr int kExitInterrupted = 130;

// Every page of a list endpoint, at most `most` items. `target` may have a query.
[[nodiscard]] Result<Value::List> list_all(Api& api, const std::string& target, std::size_t most);

// One part of a path or a query value.
[[nodiscard]] std::string encode(std::string_view text);
[[nodiscard]] std::string run_target(std::string_view run, std::string_view rest = "");
[[nodiscard]] std::string task_target(std::string_view run, std::string_view task,
                                      std::string_view rest = "");

}  // namespace ez::cli
