// Runs on their way from one server to another: GET /v1/runs/{run}/export gives the whole record of a run,
// POST /v1/imports takes one. docs/formats/export.md describes what `ez export` makes of it.
#include "base/base64.h"
#include "core/snapshot.h"
#include "engine/import.h"
#include "engine/run_blobs.h"
#include "http/api/context.h"
#include "http/api/fields.h"
#include "http/api/run_filter.h"
#include "storage/zstd_stream.h"

namespace ez::http::api {
namespace {

using security::Permission;

constexpr std::size_t kMaxPackedText = 8 * 1024 * 1024;

Value number(std::uint64_t value) { return Value(static_cast<std::int64_t>(value)); }

Value attempts_of(const core::Run& run) {
  Value::List out;
  for (std::uint32_t i = 0; i < run.tasks.size(); ++i) {
    const core::Task& task = run.tasks[i];
    if (!run.definition_of(task).needs_agent()) continue;
    for (std::uint32_t attempt = 1; attempt <= task.attempt; ++attempt)
      out.push_back(Value(Value::Map{{"task", Value(run.key_of(task))}, {"attempt", number(attempt)}}));
  }
  return Value(std::move(out));
}

Status export_run(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({"namespace"}));
  EZ_ASSIGN(const RunId id, run_of(request));
  with_run(context, answer, id, Permission::kRunRead, [&context, answer](const Cow<core::Run>& run) {
    transfer(context, answer, [answer, run] {
      const std::string record = core::encode_run(*run);
      const auto known = engine::look_at_record(record);
      if (!known.ok()) {
        answer->problem(known.error());
        return;
      }
      const std::string packed = to_base64(storage::zstd_pack(record));
      if (packed.size() > kMaxPackedText || record.size() > engine::kMaxImportedBytes) {
        answer->problem(Error(Code::PayloadTooLarge, "the record of " + to_text(run->id) + " has " +
                                                         std::to_string(record.size()) + " bytes, " +
                                                         std::to_string(packed.size()) + " of them packed"));
        return;
      }
      Value::List blobs;
      for (const std::string& sha256 : engine::blobs_of(*run)) blobs.emplace_back(sha256);
      answer->json(200, Value(Value::Map{{"run", Value(to_text(run->id))},
                                         {"origin", Value(known->origin)},
                                         {"live", Value(known->live)},
                                         {"state", Value(known->state)},
                                         {"namespace", Value(run->workflow->namespace_name)},
                                         {"workflow", Value(run->definition().name)},
                                         {"version", number(run->workflow->version)},
                                         {"blobs", Value(std::move(blobs))},
                                         {"attempts", attempts_of(*run)},
                                         {"record", Value(packed)}}));
    });
  });
  return {};
}

// One run that is to come, between its checks.
struct Import {
  std::string record;
  engine::ImportedRun about;
  std::string name_space;
  std::uint32_t version = 0;
};
using ImportPtr = std::shared_ptr<const Import>;

// The run that came from there before, as far as it matters.
struct Earlier {
  RunId run;
  std::int64_t finished_ms = 0;
  std::string state;
};

void answer_import(const DeferredPtr& answer, const Import& import, RunId run, bool created) {
  const std::string id = to_text(run);
  answer->responder().header("Location", "/v1/runs/" + id);
  answer->json(created ? 201 : 200, Value(Value::Map{{"run", Value(id)},
                                                     {"created", Value(created)},
                                                     {"origin", Value(import.about.origin)},
                                                     {"live", Value(import.about.live)}}));
}

void answer_earlier(const DeferredPtr& answer, const Import& import, const Earlier& earlier) {
  // A finished run comes here as it is: what ended at another time is another history of the same run.
  if (!import.about.live && earlier.finished_ms != import.about.finished_ms) {
    answer->problem(
        Error(Code::ImportConflict,
              to_text(earlier.run) + " continues what the file has as finished; here it is " + earlier.state,
              "Import into another namespace, or let retention remove " + to_text(earlier.run) +
                  " once it is over."));
    return;
  }
  answer_import(answer, import, earlier.run, false);
}

void propose_import(Context& context, const DeferredPtr& answer, const ImportPtr& import) {
  context.services.engine.read([&context, answer, import](const core::State& state) {
    auto command = engine::import_command(import->record, import->name_space, import->version,
                                          answer->principal(), state);
    if (!command.ok()) {
      answer->problem(command.error());
      return;
    }
    propose(context, answer, std::move(command).value(), [answer, import](const core::Reply& reply) {
      answer_import(answer, *import, reply.run, reply.created);
    });
  });
}

Result<std::optional<Earlier>> find_in_history(Context& context, const RunFilter& filter) {
  for (const Cow<core::Run>& run :
       context.services.engine.projector().recent(engine::Projector::kMaxQueued)) {
    if (filter.matches(*run))
      return std::optional(Earlier{run->id, run->finished_ms, std::string(core::to_text(run->state))});
  }
  EZ_ASSIGN(const storage::HistoryPage page, context.services.history.list(filter.of_history(), 1, ""));
  if (page.rows.empty()) return std::optional<Earlier>();
  return std::optional(Earlier{page.rows[0].id, page.rows[0].finished_ms, page.rows[0].state});
}

void find_earlier(Context& context, const DeferredPtr& answer, const ImportPtr& import) {
  RunFilter filter;
  filter.name_space = import->name_space;
  filter.labels = {{std::string(orchestration::kOriginLabel), import->about.origin}};
  scan_live(
      context, RunId{}, 1, [filter](const core::Run& run) { return filter.matches(run); },
      [&context, answer, import, filter](const std::vector<Cow<core::Run>>& live) {
        if (!live.empty()) {
          return answer_earlier(answer, *import,
                                Earlier{live[0]->id, 0, std::string(core::to_text(live[0]->state))});
        }
        transfer(context, answer, [&context, answer, import, filter] {
          const auto earlier = find_in_history(context, filter);
          if (!earlier.ok()) {
            answer->problem(earlier.error());
          } else if (*earlier) {
            answer_earlier(answer, *import, **earlier);
          } else {
            propose_import(context, answer, import);
          }
        });
      });
}

Status import_run(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({"namespace"}));
  EZ_ASSIGN(const Value body, request.json_object());
  Fields fields(body);
  const auto text = std::make_shared<const std::string>(fields.text("record", kMaxPackedText));
  const auto version = static_cast<std::uint32_t>(fields.need_number("version", 1, UINT32_MAX));
  EZ_TRY(fields.done());
  const std::string name_space(request.name_space());
  if (name_space == "*") return Error(Code::RequestInvalid, "namespace: one has to be named");
  transfer(context, answer, [&context, answer, text, version, name_space] {
    const auto packed = from_base64(*text);
    if (!packed) {
      answer->problem(Error(Code::RequestInvalid, "record: it is not base64"));
      return;
    }
    auto record = storage::zstd_unpack(*packed, engine::kMaxImportedBytes, Code::RequestInvalid);
    if (!record.ok()) {
      answer->problem(record.error().in("record"));
      return;
    }
    auto about = engine::look_at_record(*record);
    if (!about.ok()) {
      answer->problem(about.error());
      return;
    }
    find_earlier(context, answer,
                 std::make_shared<const Import>(
                     Import{std::move(record).value(), std::move(about).value(), name_space, version}));
  });
  return {};
}

// What an attempt of an imported run printed elsewhere. What is there already is taken as a repetition.
Status import_log(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({"namespace"}));
  EZ_ASSIGN(const Value body, request.json_object());
  Fields fields(body);
  const auto run = parse_run_id(fields.need_line("run", 32));
  const std::string task = fields.need_line("task", 128);
  const auto attempt = static_cast<std::uint32_t>(fields.need_number("attempt", 1, UINT32_MAX));
  const auto offset = static_cast<std::uint64_t>(fields.number("offset", 0, 0, INT64_MAX));
  const bool last = fields.flag("last", false);
  const auto bytes =
      std::make_shared<const std::optional<std::string>>(from_base64(fields.text("data", kMaxPackedText)));
  EZ_TRY(fields.done());
  if (!run) return Error(Code::RunNotFound, "run: it is not the id of a run");
  if (!*bytes) return Error(Code::RequestInvalid, "data: it is not base64");
  with_run(context, answer, *run, Permission::kAdminWrite,
           [&context, answer, task, attempt, offset, last, bytes](const Cow<core::Run>& found) {
             const std::uint32_t index = found->find(task);
             const bool imported =
                 orchestration::find_label(found->get_labels(), orchestration::kOriginLabel) != nullptr;
             if (!core::is_terminal(found->state) || !imported) {
               answer->problem(
                   Error(Code::WrongState, to_text(found->id) + " is no finished run that was imported"));
               return;
             }
             if (index == UINT32_MAX || attempt > found->tasks[index].attempt) {
               answer->problem(Error(Code::AttemptNotFound, "run " + to_text(found->id) + " has no attempt " +
                                                                std::to_string(attempt) + " of " + task));
               return;
             }
             const storage::AttemptId id{found->id, task, attempt};
             transfer(context, answer, [&context, answer, id, offset, last, bytes] {
               const auto appended = context.services.logs.append(id, offset, **bytes);
               const Status ended = appended.ok() && last ? context.services.logs.finish(id) : Status();
               if (!appended.ok()) {
                 answer->problem(appended.error());
               } else if (!ended.ok()) {
                 answer->problem(ended.error());
               } else {
                 answer->json(200, Value(Value::Map{{"size", number(appended->size)}}));
               }
             });
           });
  return {};
}

}  // namespace

void add_export_routes(Router& router, Context& context) {
  add_route(router, context, Method::kGet, "/v1/runs/{run}/export", Permission::kRunRead,
            "The whole record of a run", export_run);
  add_route(router, context, Method::kPost, "/v1/imports", Permission::kAdminWrite,
            "Take over a run of another server", import_run, kMaxPackedText + kSmallBody);
  add_route(router, context, Method::kPost, "/v1/imports/logs", Permission::kAdminWrite,
            "Take over what an attempt of an imported run printed", import_log, kMaxPackedText + kSmallBody);
}

}  // namespace ez::http::api
