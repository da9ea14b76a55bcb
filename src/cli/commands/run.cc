// ez run: from a workflow file to a run. Without a server it starts one for the time of the run.
#include <algorithm>
#include <filesystem>
#include <optional>

#include "base/json.h"
#include "cli/agent_types_file.h"
#include "cli/commands/commands.h"
#include "cli/commands/run_file.h"
#include "cli/embedded_server.h"
#include "cli/follow.h"
#include "cli/run_filter.h"
#include "cli/server_file.h"
#include "cli/text.h"
#include "cli/workflow_file.h"

namespace ez::cli {
namespace {

struct Connection {
  Endpoint endpoint;
  StartedServer started;  // ours: this call started it
};

// The named server, the one that runs on the data directory, or a new one.
Result<Connection> find_or_start(Session& session, const Arguments& arguments,
                                 const std::vector<std::string>& agent_types) {
  auto found = Session::endpoint(arguments);
  if (found.ok()) return Connection{std::move(found).value(), {}};
  if (found.error().code() != Code::ServerUnreachable) return found.error();
  EZ_ASSIGN(const std::string data, Session::data_dir(arguments));
  Connection connection;
  EZ_ASSIGN(connection.started, start_server(data, agent_types));
  if (connection.started.ours && !arguments.has("json")) {
    session.err << "Started a server at " << connection.started.url << " (data " << data << ").\n";
  }
  EZ_ASSIGN(connection.endpoint, Session::endpoint(arguments));
  return connection;
}

Result<std::string> start_run(Session& session, Api& api, const WorkflowFile& file,
                              const Arguments& arguments) {
  EZ_ASSIGN(Value inputs, read_inputs(*file.parsed.workflow, arguments.all("input")));
  EZ_TRY(orchestration::bind_inputs(*file.parsed.workflow, inputs));
  EZ_ASSIGN(
      const Value registered,
      register_workflow(api, file, Session::name_space(arguments, file.parsed.workflow->namespace_name)));
  Value body(Value::Map{{"workflow", Value(registered.string_or("name", ""))},
                        {"version", Value(registered.int_or("version", 0))},
                        {"namespace", Value(registered.string_or("namespace", "default"))},
                        {"inputs", std::move(inputs)}});
  EZ_ASSIGN(Value labels, read_labels(arguments.all("label")));
  if (!labels.as_map().empty()) body.set("labels", std::move(labels));
  if (arguments.has("priority")) body.set("priority", Value(arguments.text("priority")));
  if (arguments.has("idempotency-key")) body.set("idempotency_key", Value(arguments.text("idempotency-key")));
  EZ_ASSIGN(const Value answer, api.post("/v1/runs", body));
  std::string run(answer.string_or("run", ""));
  if (run.empty()) return Error(Code::Internal, "the server started a run without an id: " + to_json(answer));
  if (!arguments.has("json")) {
    session.out << "run " << run << "  (" << registered.string_or("name", "") << " version "
                << registered.int_or("version", 0)
                << (answer.bool_or("created", true) ? "" : ", started earlier with this key") << ")\n";
    session.out.flush();
  } else if (!arguments.has("follow")) {
    session.out << to_json(answer) << "\n";
  }
  return run;
}

// A new run that does tasks of a finished one again.
Result<std::string> start_from(Session& session, Api& api, const Arguments& arguments) {
  Value::List tasks;
  for (const std::string& task : arguments.list("task")) tasks.emplace_back(task);
  Value body(Value::Map{{"tasks", Value(std::move(tasks))},
                        {"mode", Value(arguments.has("keep") ? "keep" : "redo")}});
  if (arguments.has("idempotency-key")) body.set("idempotency_key", Value(arguments.text("idempotency-key")));
  const std::string from = arguments.text("from");
  EZ_ASSIGN(const Value answer, api.post(run_target(from, "/retry"), body));
  std::string run(answer.string_or("run", ""));
  if (run.empty()) return Error(Code::Internal, "the server started a run without an id: " + to_json(answer));
  if (!arguments.has("json")) {
    session.out << "run " << run << "  (does " << (arguments.has("keep") ? "only " : "")
                << "the chosen tasks of " << from << (arguments.has("keep") ? "" : " and what follows them")
                << " again)\n";
    session.out.flush();
  } else if (!arguments.has("follow")) {
    session.out << to_json(answer) << "\n";
  }
  return run;
}

// The types that the worker of a server of our own has to serve: those that it knows. Others wait for agents
// from elsewhere.
Result<std::vector<std::string>> agent_types_of(const Arguments& arguments,
                                                const std::optional<WorkflowFile>& file) {
  std::vector<std::string> out{"exec"};
  if (!file) return out;
  EZ_ASSIGN(const std::string data, Session::data_dir(arguments));
  std::error_code failed;
  const std::string usual = data + "/agents.yaml";
  EZ_ASSIGN(const orchestration::AgentTypes types,
            load_agent_types(std::filesystem::exists(usual, failed) ? usual : ""));
  for (const orchestration::Task& task : file->parsed.workflow->tasks) {
    const bool listed = std::find(out.begin(), out.end(), task.agent.type) != out.end();
    if (task.needs_agent() && !listed && types.find(task.agent.type) != nullptr)
      out.push_back(task.agent.type);
  }
  return out;
}

Status check_from(const Arguments& arguments) {
  const bool from = arguments.has("from");
  if (!from && !arguments.has("FILE")) return Error(Code::InvalidArgument, "FILE is required");
  if (!from && (arguments.has("task") || arguments.has("keep") || arguments.has("redo")))
    return Error(Code::InvalidArgument, "--task, --keep and --redo go together with --from RUN");
  if (!from) return {};
  if (arguments.has("FILE") || arguments.has("input") || arguments.has("priority") || arguments.has("label"))
    return Error(Code::InvalidArgument, "--from takes workflow, inputs, labels and priority of that run");
  if (arguments.list("task").empty()) return Error(Code::InvalidArgument, "--from needs at least one --task");
  if (arguments.has("keep") && arguments.has("redo"))
    return Error(Code::InvalidArgument, "--keep and --redo exclude each other");
  return {};
}

// Others may have started runs on our server meanwhile: then it stays.
void end_server(Session& session, const Connection& connection, const Arguments& arguments, bool keep) {
  if (!connection.started.ours) return;
  const auto say = [&](const std::string& text) {
    if (!arguments.has("json")) session.err << text << "\n";
  };
  if (!keep) {
    const auto api = session.ports.connect(connection.endpoint);
    const auto live =
        api.ok() ? (*api)->get("/v1/runs?state=live&limit=1&namespace=*") : Result<Value>(api.error());
    const Value* items = live.ok() ? live->find("items") : nullptr;
    keep = items != nullptr && items->is_list() && !items->as_list().empty();
  }
  if (!keep) {
    const Status stopped = stop_server(connection.started.pid);
    if (!stopped.ok()) say("ez: " + stopped.error().to_string());
    return;
  }
  const std::string data = Session::data_dir(arguments).ok() ? *Session::data_dir(arguments) : "";
  say("The server goes on at " + connection.started.url + "; `ez down --data " + data + "` stops it.");
}

}  // namespace

Result<int> run_file(Session& session, const Arguments& arguments) {
  EZ_TRY(check_from(arguments));
  std::optional<WorkflowFile> file;
  if (!arguments.has("from")) {
    EZ_ASSIGN(file, read_workflow_file(arguments.text("FILE")));
    if (!file->parsed.ok() && !arguments.has("json")) print_mistakes(*file, session.err);
    EZ_TRY(check_workflow(*file));
    if (!arguments.has("json")) print_warnings(*file, session.err);
  }
  EZ_ASSIGN(const std::vector<std::string> types, agent_types_of(arguments, file));
  EZ_ASSIGN(const Connection connection, find_or_start(session, arguments, types));
  EZ_ASSIGN(const auto api, session.connect(connection.endpoint));
  const auto started =
      file ? start_run(session, *api, *file, arguments) : start_from(session, *api, arguments);
  if (!started.ok()) {
    end_server(session, connection, arguments, false);
    return started.error();
  }
  if (!arguments.has("follow") && !arguments.has("approve")) {
    if (!arguments.has("json")) session.out << "`ez follow " << *started << "` follows it.\n";
    end_server(session, connection, arguments, true);
    return kExitOk;
  }
  const auto end = follow_run(session, *api, *started, follow_choice(arguments));
  end_server(session, connection, arguments, !end.ok() || end->interrupted);
  if (!end.ok()) return end.error();
  if (end->interrupted) return kExitInterrupted;
  return end->state == "succeeded" ? kExitOk : kExitNegative;
}

Command run_command() {
  return {"run",
          "Start a run of a workflow file, and follow it",
          "  ez run checkup.yaml --input repo=. --follow\n"
          "  ez run nightly.yaml --priority high --idempotency-key nightly-2026-11-22\n"
          "  ez run deploy.yaml --input 'targets=[\"eu\",\"us\"]' --follow --json\n"
          "  ez run --from r12 --task build --redo --follow\n",
          {{"-i,--input", "NAME=VALUE", "an input; lists and maps as JSON; @FILE reads the value from a file",
            true},
           {"-f,--follow", "", "watch it until it is over; a server that was started for it is then stopped"},
           {"--approve", "", "answer its approvals with yes, without asking (follows it)"},
           {"--plain", "", "one line a change instead of the live view"},
           {"--label", "NAME=VALUE", "a label that the run is found by", true},
           {"--priority", "PRIORITY", "critical, high, normal, low or deferred"},
           {"--idempotency-key", "KEY", "the same key again gives the same run"},
           {"--from", "RUN", "instead of a FILE: do tasks of that finished run again, in a new run"},
           {"--task", "TASK", "with --from: a task to do again", true},
           {"--redo", "", "with --from: everything after those tasks too (this is the default)"},
           {"--keep", "", "with --from: what follows those tasks keeps its results"},
           {"--json", "", "as JSON; with --follow the run at its end"}},
          {{"FILE", "workflow file, YAML or JSON", false}},
          true,
          run_file};
}

}  // namespace ez::cli
