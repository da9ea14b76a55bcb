#include "base/json.h"
#include "cli/commands/commands.h"

namespace ez::cli {
namespace {

Result<int> run_version(Session& session, const Arguments& arguments) {
  if (arguments.has("json")) {
    session.out << to_json(Value(Value::Map{{"version", Value(session.ports.version)}})) << "\n";
  } else {
    session.out << "ez " << session.ports.version << "\n";
  }
  return kExitOk;
}

}  // namespace

Command version_command() {
  return {"version",  "Say which version this is", "  ez version\n", {{"--json", "", "as JSON"}}, {}, false,
          run_version};
}

}  // namespace ez::cli
