// Registered workflows: register, validate, list, show.
#include <algorithm>

#include "base/json.h"
#include "core/view.h"
#include "http/api/context.h"
#include "http/api/fields.h"
#include "http/message.h"
#include "http/problem.h"
#include "orchestration/parse.h"
#include "orchestration/text.h"

namespace ez::http::api {
namespace {

using security::Permission;

constexpr std::size_t kMaxPathBytes = 512;
constexpr std::int64_t kMaxMode = 0777;

Value errors_view(const orchestration::ParsedWorkflow& parsed) {
  Value::List out;
  for (const orchestration::Diagnostic& mistake : parsed.diagnostics) {
    out.push_back(Value(Value::Map{{"line", Value(mistake.line)},
                                   {"column", Value(mistake.column)},
                                   {"code", Value(info(mistake.code).name)},
                                   {"message", Value(mistake.message)},
                                   {"hint", Value(mistake.hint)}}));
  }
  return Value(std::move(out));
}

// The problem document with a further member `errors`.
void answer_invalid(const DeferredPtr& answer, const orchestration::ParsedWorkflow& parsed) {
  std::string detail = "the workflow has " + std::to_string(parsed.diagnostics.size()) + " mistakes";
  if (!parsed.diagnostics.empty()) detail += "; the first: " + parsed.diagnostics.front().to_string();
  const Error error(Code::WorkflowInvalid, std::move(detail));
  std::string body = problem_json(error, answer->responder().request_id());
  body.pop_back();
  body += ",\"errors\":";
  append_json(body, errors_view(parsed));
  body += "}";
  answer->responder().bytes(info(error.code()).http_status, kProblemType, std::move(body));
}

// Relative, below the folder, with nothing that a file system or a shell could read in another way.
bool is_plain_path(const std::string& path) {
  if (path.empty() || path.front() == '/' || path.back() == '/' || path.find('\\') != std::string::npos)
    return false;
  std::size_t at = 0;
  while (at <= path.size()) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string part = path.substr(at, end - at);
    if (part.empty() || part == "." || part == "..") return false;
    at = end + 1;
  }
  return true;
}

Status read_files(const storage::BlobStore& blobs, const Value::List& files,
                  core::pb::RegisterWorkflow& command) {
  std::vector<std::string> paths;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const std::string where = "files[" + std::to_string(i) + "]";
    Fields fields(files[i], where);
    core::pb::ShippedFile& file = *command.add_files();
    file.set_path(fields.need_line("path", kMaxPathBytes));
    file.set_sha256(fields.sha256("sha256"));
    file.set_mode(static_cast<std::uint32_t>(fields.number("mode", 0644, 0, kMaxMode)));
    if (file.sha256().empty()) fields.fail("sha256", "is missing");
    if (!is_plain_path(file.path()))
      fields.fail("path", "must be relative, without empty parts, '.', '..' and backslashes");
    EZ_TRY(fields.done());
    if (const auto blob = blobs.stat(file.sha256()); !blob.ok()) {
      if (blob.error().code() != Code::BlobNotFound) return blob.error();
      return Error(Code::BlobNotFound, where + ": no bytes with the SHA-256 " + file.sha256() + " are stored",
                   "PUT them to /v1/artifacts/{sha256} first.");
    }
    paths.push_back(file.path());
  }
  std::sort(paths.begin(), paths.end());
  if (const auto twice = std::adjacent_find(paths.begin(), paths.end()); twice != paths.end()) {
    return Error(Code::RequestInvalid, "files: the path " + *twice + " comes twice");
  }
  return {};
}

Status register_workflow(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(const Value body, request.json_object());
  transfer(context, answer, [&context, answer, body] {  // parsing a large workflow takes long
    const auto run = [&]() -> Status {
      Fields fields(body);
      const std::string source = fields.text("source", orchestration::kMaxSourceBytes);
      const std::string wanted = fields.line("namespace", 63);
      const Value::List& files = fields.list("files", orchestration::kMaxFiles);
      if (source.empty()) fields.fail("source", "is missing or empty");
      EZ_TRY(fields.done());
      orchestration::ParsedWorkflow parsed = orchestration::parse_workflow(source);
      if (!parsed.ok()) {
        answer_invalid(answer, parsed);
        return {};
      }
      if (!wanted.empty() && wanted != parsed.workflow->namespace_name) {
        if (!orchestration::is_name(wanted)) {
          return Error(Code::RequestInvalid, "namespace: it cannot be '" + wanted + "'",
                       "Small letters, digits, - and _, for example team-a.");
        }
        auto moved = std::make_shared<orchestration::Workflow>(*parsed.workflow);
        moved->namespace_name = wanted;
        parsed.workflow = std::move(moved);
      }
      const std::string name_space = parsed.workflow->namespace_name;
      EZ_TRY(answer->permit(Permission::kWorkflowWrite, name_space));
      core::pb::Command command;
      core::pb::RegisterWorkflow& registered = *command.mutable_register_workflow();
      registered.set_namespace_(name_space);
      registered.set_canonical(orchestration::to_canonical(*parsed.workflow));
      registered.set_source(source);
      EZ_TRY(read_files(context.services.blobs, files, registered));
      propose(context, answer, std::move(command), [answer, parsed](const core::Reply& reply) {
        const std::string& name = parsed.workflow->name;
        answer->responder().header("Location", "/v1/workflows/" + name);
        answer->json(
            reply.created ? 201 : 200,
            Value(Value::Map{{"name", Value(name)},
                             {"namespace", Value(parsed.workflow->namespace_name)},
                             {"version", Value(static_cast<std::int64_t>(reply.version))},
                             {"tasks", Value(static_cast<std::int64_t>(parsed.workflow->tasks.size()))},
                             {"created", Value(reply.created)}}));
      });
      return {};
    };
    if (const Status status = run(); !status.ok()) answer->problem(status.error());
  });
  return {};
}

Status validate_workflow(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(const Value body, request.json_object());
  Fields fields(body);
  const std::string source = fields.text("source", orchestration::kMaxSourceBytes);
  EZ_TRY(fields.done());
  transfer(context, answer, [answer, source] {
    const orchestration::ParsedWorkflow parsed = orchestration::parse_workflow(source);
    answer->json(200, Value(Value::Map{{"valid", Value(parsed.ok())}, {"errors", errors_view(parsed)}}));
  });
  return {};
}

using Versions = std::vector<std::shared_ptr<const core::WorkflowVersion>>;

// The newest version of each, in the order of namespace and name; the cursor is the last one's
// "namespace.name".
Status list_workflows(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({"namespace", "limit", "cursor"}));
  EZ_ASSIGN(const std::size_t limit, list_limit(request));
  const std::string name_space(request.name_space());
  std::pair<std::string, std::string> after;
  if (const std::string* cursor = request.query.find("cursor"); cursor != nullptr && !cursor->empty()) {
    const std::size_t dot = cursor->find('.');
    if (dot == std::string::npos)
      return Error(Code::RequestInvalid, "cursor: this is no cursor of this list");
    after = {cursor->substr(0, dot), cursor->substr(dot + 1)};
  }
  context.services.engine.read([&context, answer, name_space, after, limit](const core::State& state) {
    Versions page;
    for (auto at = state.workflows.upper_bound(after); at != state.workflows.end() && page.size() <= limit;
         ++at) {
      if (name_space != "*" && at->first.first != name_space) continue;
      if (!at->second.empty()) page.push_back(at->second.back());
    }
    render(context, answer, [answer, page, limit] {
      Value::List items;
      for (std::size_t i = 0; i < std::min(limit, page.size()); ++i)
        items.push_back(core::workflow_view(*page[i], false));
      std::string next;
      if (page.size() > limit)
        next = page[limit - 1]->namespace_name + "." + page[limit - 1]->definition->name;
      answer->list(items, next);
    });
  });
  return {};
}

Status show_workflow(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({"namespace", "version"}));
  EZ_ASSIGN(const std::int64_t version, request.query.number("version", 0, 0, UINT32_MAX));
  const std::string name = request.parameter("name");
  const std::string name_space(request.name_space());
  context.services.engine.read([&context, answer, name, name_space, version](const core::State& state) {
    const auto found = state.find_workflow(name_space, name, static_cast<std::uint32_t>(version));
    if (!found) {
      answer->problem(
          Error(Code::WorkflowNotFound, "no workflow " + name +
                                            (version == 0 ? "" : " version " + std::to_string(version)) +
                                            " in namespace " + name_space));
      return;
    }
    const auto newest = state.find_workflow(name_space, name, 0);
    render(context, answer, [answer, found, newest = newest->version] {
      Value view = core::workflow_view(*found, true);
      view.set("newest_version", Value(static_cast<std::int64_t>(newest)));
      answer->json(200, view);
    });
  });
  return {};
}

}  // namespace

void add_workflow_routes(Router& router, Context& context) {
  // A source of kMaxSourceBytes as a JSON string. With its canonical form it must fit a command.
  constexpr std::uint64_t kSourceBody = orchestration::kMaxSourceBytes * 3 / 2;
  add_route(router, context, Method::kPost, "/v1/workflows", Permission::kWorkflowWrite,
            "Register a workflow", register_workflow, kSourceBody);
  add_route(router, context, Method::kPost, "/v1/workflows/validate", Permission::kWorkflowRead,
            "Check a workflow without registering it", validate_workflow, kSourceBody);
  add_route(router, context, Method::kGet, "/v1/workflows", Permission::kWorkflowRead, "List workflows",
            list_workflows);
  add_route(router, context, Method::kGet, "/v1/workflows/{name}", Permission::kWorkflowRead,
            "Show a workflow", show_workflow);
}

}  // namespace ez::http::api
