// schedule backfill: the runs of a time that has passed, with a preview first.
#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/commands/schedule.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

constexpr std::size_t kShown = 10;

void print_preview(Session& session, const Value& view) {
  const Value* instants = view.find("instants");
  const std::int64_t count = view.int_or("count", 0);
  session.out << count << " ticks in that time"
              << (count == 0                       ? ""
                  : view.bool_or("at_once", false) ? ", all started at once"
                                                   : ", started one after the other")
              << "\n";
  if (instants == nullptr || !instants->is_list()) return;
  const Value::List& all = instants->as_list();
  for (std::size_t i = 0; i < std::min(kShown, all.size()); ++i)
    session.out << "  " << printable(all[i].as_string()) << "\n";
  if (all.size() > kShown) session.out << "  and " << all.size() - kShown << " more\n";
}

bool agreed(Session& session, const Arguments& arguments) {
  if (arguments.has("yes")) return true;
  if (arguments.has("json") || arguments.has("preview") || ::isatty(STDIN_FILENO) == 0) return false;
  session.out << "Start them? [y/N] ";
  session.out.flush();
  std::string line;
  std::getline(std::cin, line);
  return line == "y" || line == "yes";
}

Result<int> run_schedule_backfill(Session& session, const Arguments& arguments) {
  if (!arguments.has("from") || !arguments.has("to"))
    return Error(Code::InvalidArgument, "--from and --to are required");
  EZ_ASSIGN(const auto api, session.connect(arguments));
  Value body(Value::Map{{"from", Value(arguments.text("from"))},
                        {"to", Value(arguments.text("to"))},
                        {"preview", Value(true)}});
  if (arguments.has("at-once")) body.set("at_once", Value(true));
  const std::string target = schedule_target(arguments, "/backfill");
  EZ_ASSIGN(const Value preview, api->post(target, body));
  const bool json = arguments.has("json");
  if (!json) print_preview(session, preview);
  const bool nothing = preview.int_or("count", 0) == 0;
  if (nothing || !agreed(session, arguments)) {
    if (json) session.out << to_json(preview) << "\n";
    if (!json && !nothing) session.out << "Nothing was started; --yes does it.\n";
    return nothing || arguments.has("preview") ? kExitOk : kExitNegative;
  }
  body.set("preview", Value(false));
  EZ_ASSIGN(const Value view, api->post(target, body));
  if (json) {
    session.out << to_json(view) << "\n";
  } else {
    session.out << "Accepted; `ez schedule show " << arguments.text("NAME") << "` shows how it goes.\n";
  }
  return kExitOk;
}

}  // namespace

Command schedule_backfill_command() {
  return {"schedule backfill",
          "Start the runs of a schedule for a time that has passed",
          "  ez schedule backfill nightly --from 2026-11-01 --to 2026-11-08 --preview\n"
          "  ez schedule backfill nightly --from 2026-11-01T03:00:00Z --to 2026-11-02T03:00:00Z --yes\n",
          {{"--from", "TIME", "the first instant; without an offset a wall time of the schedule's zone"},
           {"--to", "TIME", "the end, not included; not in the future"},
           {"--at-once", "", "all at the same time instead of one after the other"},
           {"--preview", "", "only show which"},
           {"-y,--yes", "", "do it without asking"},
           {"--json", "", "the preview, or with --yes the answer, as JSON"}},
          {{"NAME", "the schedule"}},
          true,
          run_schedule_backfill};
}

}  // namespace ez::cli
