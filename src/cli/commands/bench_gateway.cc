// bench gateway: what the model gateway adds to a call.
#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/embedded_server.h"

namespace ez::cli {
namespace {

Result<int> run_bench_gateway(Session& session, const Arguments& arguments) {
  BenchGatewayOptions options;
  EZ_ASSIGN(options.program, own_program());
  EZ_ASSIGN(options.streams, arguments.number("streams", 200, 1, 1'000));
  EZ_ASSIGN(options.seconds, arguments.number("seconds", 10, 1, 600));
  EZ_ASSIGN(const Value result, session.ports.bench_gateway(options));
  session.out << (arguments.has("json") ? to_json(result) : to_pretty_json(result)) << "\n";
  return kExitOk;
}

}  // namespace

Command bench_gateway_command() {
  return {"bench gateway",
          "Measure what the model gateway adds to a call, with a provider and a server of its own",
          "  ez bench gateway --json\n  ez bench gateway --streams 50 --seconds 3\n",
          {{"--streams", "N", "concurrent streams (200)"},
           {"--seconds", "N", "how long each of the three measurements lasts (10)"},
           {"--json", "", "one JSON object"}},
          {},
          false,
          run_bench_gateway};
}

}  // namespace ez::cli
