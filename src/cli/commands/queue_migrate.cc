// queue migrate.
#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/commands/queue.h"
#include "cli/signals.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

constexpr std::chrono::milliseconds kMigratePoll{300};
constexpr const char* kMigrateTarget = "/v1/queue-migration";

std::string member(const Value& view, std::string_view key) { return printable(view.string_or(key, "")); }

bool under_way(const Value& view) {
  const std::string state(view.string_or("state", ""));
  return state == "copying" || state == "verifying" || state == "removing";
}

std::string hash_text(const Value& topic, std::string_view key) {
  const std::string hash = member(topic, key);
  return hash.empty() ? "-" : hash.substr(0, 12);
}

std::string routes_text(const Value& view) {
  std::string out;
  for (const Value& route : view.find("routes")->as_list()) {
    out += (out.empty() ? "" : ", ") + printable(route.as_string());
  }
  return out;
}

void print_topics(Session& session, const Value& view) {
  const bool preview = view.string_or("state", "") == "preview";
  std::vector<std::vector<std::string>> rows;
  if (preview) {
    rows.push_back({"TOPIC", "MESSAGES", "DELAYED", "BYTES", "IN THE LOG", "EXPIRED", "STAY", "HASH"});
  } else {
    rows.push_back({"TOPIC", "MESSAGES", "COPIED", "KNOWN", "REMOVED", "LEFT", "HASH", "AT TARGET", "CHECK"});
  }
  const auto number = [](const Value& topic, std::string_view key) {
    return std::to_string(topic.int_or(key, 0));
  };
  for (const Value& topic : view.find("topics")->as_list()) {
    if (preview) {
      rows.push_back({member(topic, "topic"), number(topic, "messages"), number(topic, "delayed"),
                      size_text(static_cast<std::uint64_t>(topic.int_or("bytes", 0))), number(topic, "own"),
                      number(topic, "expired"), number(topic, "refused"), hash_text(topic, "source_hash")});
    } else {
      rows.push_back({member(topic, "topic"), number(topic, "messages"), number(topic, "copied"),
                      number(topic, "known"), number(topic, "removed"), number(topic, "left"),
                      hash_text(topic, "source_hash"), hash_text(topic, "target_hash"),
                      topic.bool_or("verified", false) ? "equal" : "-"});
    }
  }
  if (rows.size() > 1) session.out << table_text(rows);
}

int print_end(Session& session, const Value& view) {
  print_topics(session, view);
  const std::string state(view.string_or("state", ""));
  const std::string way = member(view, "from") + " to " + member(view, "to");
  const std::string problem = member(view, "problem");
  if (state == "none") {
    session.out << "Nothing was migrated since the server started.\n";
    return kExitOk;
  }
  if (state == "done") {
    std::int64_t left = 0;
    for (const Value& topic : view.find("topics")->as_list()) left += topic.int_or("left", 0);
    session.out << "Moved from " << way << ".";
    if (const std::string routes = routes_text(view); !routes.empty()) {
      session.out << " Routes that go there now: " << routes << " (write it into queues.yaml too).";
    }
    session.out << "\n";
    if (left > 0) {
      session.out << left << " messages are still at " << member(view, "from")
                  << ": published there meanwhile, or no messages for ez. --append moves what comes late.\n";
    }
    return kExitOk;
  }
  if (state == "given_up") {
    session.out << "Given up: " << way << (problem.empty() ? "." : "; " + problem) << "\n";
    return kExitOk;
  }
  if (state == "stopped") {
    session.out
        << "Stopped: " << way << ": " << problem << "\n"
        << (view.bool_or("switched", false)
                ? "The switch is made; what was copied has still to be removed at the source."
                : "Nothing was removed and nothing switched; messages of these topics wait in the log.")
        << " The same command with --yes goes on.\n";
    return kExitNegative;
  }
  session.out << state << ": " << way << "\n";
  return kExitOk;
}

Result<Value> follow_migration(Session& session, Api& api, Value view, bool quiet) {
  StopSignals signals;
  std::string told;
  while (under_way(view)) {
    if (signals.wait_for(kMigratePoll) != 0) {
      if (!quiet) session.out << "It goes on in the server; --status shows it.\n";
      return view;
    }
    EZ_ASSIGN(view, api.get(kMigrateTarget));
    std::int64_t copied = 0;
    for (const Value& topic : view.find("topics")->as_list()) copied += topic.int_or("copied", 0);
    const std::string now =
        "  " + member(view, "state") + ", " + std::to_string(copied / 1000) + "000 copied";
    if (!quiet && copied >= 1000 && now != told) session.out << now << "\n" << std::flush;
    told = now;
  }
  return view;
}

Result<int> queue_migrate(Session& session, const Arguments& arguments) {
  const bool json = arguments.has("json");
  EZ_ASSIGN(const auto api, session.connect(arguments));
  const auto show = [&](const Value& view) {
    if (!json) return print_end(session, view);
    session.out << to_json(view) << "\n";
    return view.string_or("state", "") == "stopped" ? kExitNegative : kExitOk;
  };
  if (arguments.has("status")) {
    EZ_ASSIGN(const Value view, api->get(kMigrateTarget));
    return show(view);
  }
  if (arguments.has("give-up")) {
    EZ_ASSIGN(const Value view, api->post(std::string(kMigrateTarget) + "/give-up", Value(Value::Map{})));
    return show(view);
  }
  Value body(Value::Map{{"preview", Value(true)}, {"append", Value(arguments.has("append"))}});
  for (const char* name : {"from", "to"}) {
    if (!arguments.has(name)) {
      return Error(Code::InvalidArgument, "--from and --to name the two backends",
                   "`ez queue backends` lists them; the server's own is `embedded`.");
    }
    body.set(name, Value(arguments.text(name)));
  }
  if (arguments.has("topic")) body.set("topic", Value(arguments.text("topic")));
  if (!arguments.has("yes")) {
    EZ_ASSIGN(const Value preview, api->post(kMigrateTarget, body));
    if (json) {
      session.out << to_json(preview) << "\n";
      return kExitNegative;
    }
    print_topics(session, preview);
    if (preview.find("topics")->as_list().empty()) {
      session.out << "Nothing lies at " << member(preview, "from") << ".\n";
    }
    const std::string routes = routes_text(preview);
    session.out << "Routes that would go to " << member(preview, "to")
                << " afterwards: " << (routes.empty() ? "as they do now" : routes) << "\n"
                << "Nothing was done; --yes does it. Stop first who consumes or publishes there directly.\n";
    return kExitNegative;
  }
  body.set("preview", Value(false));
  EZ_ASSIGN(Value started, api->post(kMigrateTarget, body));
  EZ_ASSIGN(const Value view, follow_migration(session, *api, std::move(started), json));
  return show(view);
}

}  // namespace

Command queue_migrate_command() {
  return {"queue migrate",
          "Move what lies at one backend to another, and the routes with it",
          "  ez queue migrate --from redis --to kafka\n"
          "  ez queue migrate --from redis --to kafka --yes\n"
          "  ez queue migrate --from redis --to rabbit --topic 'orders.#' --yes\n"
          "  ez queue migrate --status\n",
          {{"--from", "BACKEND", "where the messages are: a name of queues.yaml, or embedded"},
           {"--to", "BACKEND", "where they go"},
           {"--topic", "PATTERN", "only these topics (all, of all namespaces)"},
           {"--append", "", "go on although the target holds messages of these topics: behind them"},
           {"--yes", "", "do it; without it, only show what would be moved"},
           {"--status", "", "show the newest one"},
           {"--give-up", "", "end one that has stopped: copies at the target go, routes stay as they were"},
           {"--json", "", "as JSON"}},
          {},
          true,
          queue_migrate};
}

}  // namespace ez::cli
