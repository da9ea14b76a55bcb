#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "cli/agent_types_file.h"
#include "cli/commands/commands.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

constexpr std::int64_t kMaxCapacity = 1024;

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 && name[0] != '\0' ? name : "agent";
}

// --agents-file, or agents.yaml of the data directory where there is one.
std::string agents_file(const Arguments& arguments, const std::string& data) {
  if (arguments.has("agents-file")) return arguments.text("agents-file", "");
  std::error_code failed;
  const std::string usual = data + "/agents.yaml";
  return std::filesystem::exists(usual, failed) ? usual : "";
}

Result<int> list_types(Session& session, const std::string& file) {
  EZ_ASSIGN(const orchestration::AgentTypes types, load_agent_types(file));
  std::vector<std::vector<std::string>> rows{{"TYPE", "RUNNER", "MODELS", "SPECIALITY"}};
  rows.push_back({"exec", "exec", "-", "runs the shell script of `run`"});
  for (const orchestration::AgentType& type : types.types) {
    std::string models;
    for (const std::string& model : type.models) models += (models.empty() ? "" : ", ") + model;
    rows.push_back({type.name, type.runner, models, printable(type.speciality)});
  }
  session.out << table_text(rows);
  return kExitOk;
}

Result<int> run_agent(Session& session, const Arguments& arguments) {
  AgentOptions options;
  EZ_ASSIGN(const std::string data, Session::data_dir(arguments));
  options.agents_file = agents_file(arguments, data);
  if (arguments.has("list-types")) return list_types(session, options.agents_file);
  EZ_ASSIGN(options.endpoint, Session::endpoint(arguments));
  const std::int64_t cores = std::max(1U, std::thread::hardware_concurrency());
  EZ_ASSIGN(options.capacity, arguments.number("capacity", std::min(cores, kMaxCapacity), 1, kMaxCapacity));
  options.name = arguments.text("name", host_name());
  if (arguments.has("type")) options.types = arguments.list("type");
  for (std::size_t i = 0; i < options.types.size(); ++i) {
    if (std::count(options.types.begin(), options.types.end(), options.types[i]) > 1)
      return Error(Code::InvalidArgument, "--type names " + options.types[i] + " twice");
  }
  if (options.types.empty()) return Error(Code::InvalidArgument, "--type names no type");
  options.capabilities = arguments.list("capabilities");
  std::error_code failed;
  options.workspaces =
      std::filesystem::absolute(arguments.text("workspaces", data + "/agents/" + options.name), failed)
          .string();
  if (failed || options.name.find('/') != std::string::npos) {
    return Error(Code::InvalidArgument,
                 "--workspaces and --name do not give a folder: " + options.workspaces);
  }
  options.shown = arguments.list("show");
  EZ_TRY(check_shown(options.shown));
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
          "  ez agent --type claude,gpt --capacity 2\n"
          "  EZ_TOKEN=… ez agent --server http://build.example:7878 --name linux-1 --capabilities cpp,rust\n",
          {{"--name", "NAME", "stable name of this worker (the host's name)"},
           {"--type", "A,B", "agent types of the tasks that it takes (exec)", true},
           {"--list-types", "", "show the agent types that it knows, and end"},
           {"--agents-file", "FILE", "agent types over the built-in ones (<data>/agents.yaml)"},
           {"--capacity", "N", "tasks at once of each type (one a core)"},
           {"--capabilities", "A,B", "what it can do; tasks ask for it", true},
           {"--show", "A,B", "more folders that tasks see, read-only (tool chains)", true},
           {"--workspaces", "DIR", "where tasks work (<data>/agents/<name>)"},
           {"--log-level", "LEVEL", "debug, info, warning, error or off (info)"}},
          {},
          true,
          run_agent};
}

}  // namespace ez::cli
