#include <unistd.h>

#include <filesystem>
#include <thread>

#include "cli/commands/commands.h"

namespace ez::cli {
namespace {

constexpr std::int64_t kMaxCapacity = 1024;

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 && name[0] != '\0' ? name : "agent";
}

Result<int> run(Session& session, const Arguments& arguments) {
  AgentOptions options;
  EZ_ASSIGN(options.endpoint, Session::endpoint(arguments));
  EZ_ASSIGN(const std::string data, Session::data_dir(arguments));
  const std::int64_t cores = std::max(1U, std::thread::hardware_concurrency());
  EZ_ASSIGN(options.capacity, arguments.number("capacity", std::min(cores, kMaxCapacity), 1, kMaxCapacity));
  options.name = arguments.text("name", host_name());
  options.type = arguments.text("type", options.type);
  options.capabilities = arguments.list("capabilities");
  std::error_code failed;
  options.workspaces =
      std::filesystem::absolute(arguments.text("workspaces", data + "/agents/" + options.name), failed)
          .string();
  if (failed || options.name.find('/') != std::string::npos) {
    return Error(Code::InvalidArgument,
                 "--workspaces and --name do not give a folder: " + options.workspaces);
  }
  options.log_level = arguments.text("log-level", options.log_level);
  options.version = session.ports.version;
  EZ_TRY(session.ports.work(options));
  return kExitOk;
}

}  // namespace

Command agent_command() {
  return {"agent",
          "Run a worker that takes tasks from a server",
          "  ez agent --capacity 4\n"
          "  EZ_TOKEN=… ez agent --server http://build.example:7878 --name linux-1 --capabilities cpp,rust\n",
          {{"--name", "NAME", "stable name of this worker (the host's name)"},
           {"--type", "TYPE", "agent type of the tasks that it takes (exec)"},
           {"--capacity", "N", "tasks at once (one a core)"},
           {"--capabilities", "A,B", "what it can do; tasks ask for it", true},
           {"--workspaces", "DIR", "where tasks work (<data>/agents/<name>)"},
           {"--log-level", "LEVEL", "debug, info, warning, error or off (info)"}},
          {},
          true,
          run};
}

}  // namespace ez::cli
