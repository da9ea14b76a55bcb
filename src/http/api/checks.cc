// The checks of a run's merged tasks, as `ez validate` and `ez test` repeat them.
#include "base/json.h"
#include "engine/work_item.h"
#include "http/api/context.h"

namespace ez::http::api {
namespace {

using security::Permission;

constexpr std::size_t kCheckPageBytes = 4 * 1024 * 1024;  // inputs may be large, and each item has them

Result<Value> check_view(const core::Run& run, std::uint32_t index, std::size_t& bytes) {
  std::string text;
  EZ_TRY(engine::append_check_item(text, run, index));
  bytes += text.size();
  EZ_ASSIGN(Value work, parse_json(text));
  const core::Task& task = run.tasks[index];
  const core::TaskDetail& detail = task.get();
  // A person settled a conflict: what was merged is known by its merge only.
  if (const Value* merge = work.find("merge"); merge != nullptr && detail.commit.empty()) {
    Value settled = *merge;
    settled.set("commit", Value(detail.head));
    work.set("merge", std::move(settled));
  }
  return Value(Value::Map{{"task", Value(run.key_of(task))},
                          {"commit", detail.commit.empty() ? Value() : Value(detail.commit)},
                          {"merged_head", Value(detail.head)},
                          {"work", std::move(work)}});
}

Status list_checks(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({"namespace", "limit", "cursor"}));
  EZ_ASSIGN(const RunId run, run_of(request));
  EZ_ASSIGN(const std::size_t limit, list_limit(request));
  EZ_ASSIGN(const std::vector<std::uint64_t> cursor, read_cursor('k', request, 1));
  with_run(context, answer, run, Permission::kRunRead, [answer, limit, cursor](const Cow<core::Run>& found) {
    Value::List items;
    std::size_t bytes = 0;
    for (std::uint64_t i = cursor.empty() ? 0 : cursor[0]; i < found->tasks.size(); ++i) {
      const auto index = static_cast<std::uint32_t>(i);
      if (found->tasks[index].get().head.empty()) continue;
      if (items.size() == limit || bytes > kCheckPageBytes) {
        answer->list(items, make_cursor('k', {i}));
        return;
      }
      Result<Value> view = check_view(*found, index, bytes);
      if (!view.ok()) {
        answer->problem(view.error());
        return;
      }
      items.push_back(std::move(view).value());
    }
    answer->list(items, "");
  });
  return {};
}

}  // namespace

void add_check_routes(Router& router, Context& context) {
  add_route(router, context, Method::kGet, "/v1/runs/{run}/checks", Permission::kRunRead,
            "List the checks of a run's merged tasks", list_checks);
}

}  // namespace ez::http::api
