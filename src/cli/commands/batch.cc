// batch: one action on every live run that a filter matches, with a preview first.
#include <unistd.h>

#include <iostream>

#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/payload.h"
#include "cli/run_filter.h"
#include "cli/signals.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

constexpr std::chrono::milliseconds kPoll{200};

void print_preview(Session& session, const std::string& action, const Value& view) {
  const std::int64_t matched = view.int_or("matched", 0);
  session.out << action << ": " << matched << " of " << view.int_or("examined", 0) << " live runs match";
  if (const std::int64_t failed = view.int_or("not_evaluated", 0); failed > 0)
    session.out << "; the filter cannot be evaluated for " << failed;
  session.out << "\n";
  std::vector<std::vector<std::string>> rows{{"RUN", "WORKFLOW", "STATE", "STARTED"}};
  const Value* runs = view.find("runs");
  if (runs == nullptr || !runs->is_list()) return;
  for (const Value& run : runs->as_list()) {
    rows.push_back({std::string(run.string_or("id", "")), printable(run.string_or("workflow", "")),
                    std::string(run.string_or("state", "")), std::string(run.string_or("created_at", ""))});
  }
  if (rows.size() > 1) session.out << table_text(rows);
  const auto more = matched - static_cast<std::int64_t>(runs->as_list().size());
  if (more > 0) session.out << "and " << more << " more\n";
}

void print_failures(Session& session, const Value& view) {
  const Value* failures = view.find("failures");
  if (failures == nullptr || !failures->is_list()) return;
  for (const Value& failure : failures->as_list()) {
    session.out << "  " << failure.string_or("run", "") << "  " << failure.string_or("code", "") << ": "
                << printable(failure.string_or("message", "")) << "\n";
  }
}

bool agreed(Session& session, const Arguments& arguments) {
  if (arguments.has("yes")) return true;
  if (arguments.has("json") || ::isatty(STDIN_FILENO) == 0) return false;
  session.out << "Do it? [y/N] ";
  session.out.flush();
  std::string line;
  std::getline(std::cin, line);
  return line == "y" || line == "yes";
}

Result<Value> follow(Session& session, Api& api, Value view, bool quiet) {
  const std::string target = "/v1/batches/" + encode(view.string_or("batch", ""));
  StopSignals signals;
  std::int64_t told = -1;
  while (view.string_or("state", "") == "running") {
    if (signals.wait_for(kPoll) != 0) {
      if (!quiet) session.out << "The batch goes on in the server.\n";
      return view;
    }
    EZ_ASSIGN(view, api.get(target));
    const std::int64_t done = view.int_or("done", 0);
    if (!quiet && done / 1000 != told / 1000) session.out << "  " << done << " done\n" << std::flush;
    told = done;
  }
  return view;
}

Result<int> run_batch(Session& session, const Arguments& arguments) {
  const std::string action = arguments.text("ACTION");
  EZ_ASSIGN(const Value where, read_run_filter(arguments));
  if (!arguments.has("filter") && where.as_map().empty()) {
    return Error(Code::InvalidArgument, "--filter, or another option that says which runs, is required",
                 "--filter true is every live run.");
  }
  const bool json = arguments.has("json");
  EZ_ASSIGN(const auto api, session.connect(arguments));
  Value body(Value::Map{{"action", Value(action)}});
  if (arguments.has("filter")) body.set("filter", Value(arguments.text("filter")));
  if (!where.as_map().empty()) body.set("where", where);
  if (arguments.has("comment")) body.set("comment", Value(arguments.text("comment")));
  for (const char* member : {"signal", "id"}) {
    if (arguments.has(member)) body.set(member, Value(arguments.text(member)));
  }
  if (arguments.has("payload")) {
    EZ_ASSIGN(Value payload, read_json_option("--payload", arguments.text("payload")));
    body.set("payload", std::move(payload));
  }
  const std::string target = arguments.has("namespace")
                                 ? "/v1/batches?namespace=" + encode(arguments.text("namespace"))
                                 : "/v1/batches";
  body.set("preview", Value(true));
  EZ_ASSIGN(const Value preview, api->post(target, body));
  if (!json) print_preview(session, action, preview);
  const bool nothing = preview.int_or("matched", 0) == 0;
  if (nothing || !agreed(session, arguments)) {
    if (json) session.out << to_json(preview) << "\n";
    if (!json && !nothing) session.out << "Nothing was done; --yes does it.\n";
    return nothing ? kExitOk : kExitNegative;
  }
  body.set("preview", Value(false));
  EZ_ASSIGN(Value started, api->post(target, body));
  EZ_ASSIGN(const Value view, follow(session, *api, std::move(started), json));
  if (json) {
    session.out << to_json(view) << "\n";
  } else {
    session.out << view.string_or("batch", "") << " " << view.string_or("state", "") << ": "
                << view.int_or("done", 0) << " done, " << view.int_or("refused", 0) << " refused\n";
    print_failures(session, view);
  }
  return view.string_or("state", "") == "ended_early" ? kExitNegative : kExitOk;
}

}  // namespace

Command batch_command() {
  return {"batch",
          "Cancel, pause, resume, retry or signal every live run that a filter matches",
          "  ez batch pause --workflow nightly --label team=storage\n"
          "  ez batch retry --filter 'waiting_for_person > 0 && workflow == \"convert\"' --yes\n"
          "  ez batch cancel --filter 'state == \"paused\" && created_at < \"2026-11-01\"' --yes\n"
          "  ez batch signal --filter 'workflow == \"deploy\"' --signal open --payload '{\"by\": \"ops\"}'\n",
          run_filter_options({{"--filter", "EXPRESSION",
                               "which runs: an expression over the members of a run's view and its inputs"},
                              {"-y,--yes", "", "do it without asking"},
                              {"-m,--comment", "TEXT", "why, for the record"},
                              {"--signal", "NAME", "of the action signal: which one"},
                              {"--payload", "JSON|@FILE", "of the signal"},
                              {"--id", "ID", "of the signal: each run counts it once"},
                              {"--json", "", "the preview, or with --yes the batch at its end, as JSON"}}),
          {{"ACTION", "cancel, pause, resume, retry or signal"}},
          true,
          run_batch};
}

}  // namespace ez::cli
