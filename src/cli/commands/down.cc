#include "cli/commands/commands.h"
#include "cli/embedded_server.h"
#include "cli/server_file.h"

namespace ez::cli {
namespace {

Result<int> run_down(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const std::string data, Session::data_dir(arguments));
  EZ_ASSIGN(const auto found, find_server(data));
  if (!found) {
    session.out << "No server runs on " << data << ".\n";
    return kExitOk;
  }
  EZ_TRY(stop_server(found->pid));
  session.out << "Stopped the server at " << found->url << " (data " << data
              << "). Live runs go on when it is started again.\n";
  return kExitOk;
}

}  // namespace

Command down_command() {
  return {"down",
          "Stop the server of a data directory",
          "  ez down\n  ez down --data /var/lib/ez\n",
          {{"--data", "DIR", "data directory (EZ_DATA; else ~/.local/state/ez)"}},
          {},
          false,
          run_down};
}

}  // namespace ez::cli
