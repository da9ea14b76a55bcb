#include "http/api/run_list.h"

#include <algorithm>
#include <map>

#include "base/clock.h"
#include "core/view.h"
#include "http/api/pauses.h"

namespace ez::http::api {
namespace {

// A finished run as its history row shows it: what core::run_summary says, without the parts that only the
// full record has.
Value row_view(const storage::HistoryRow& row) {
  Value::Map labels;
  for (const auto& [name, value] : row.labels) labels.emplace_back(name, Value(value));
  const auto number = [](std::uint64_t value) { return Value(static_cast<std::int64_t>(value)); };
  const auto time = [](std::int64_t ms) { return ms == 0 ? Value() : Value(format_time(ms)); };
  return Value(Value::Map{{"id", Value(to_text(row.id))},
                          {"namespace", Value(row.namespace_name)},
                          {"workflow", Value(row.workflow)},
                          {"version", number(row.version)},
                          {"state", Value(row.state)},
                          {"priority", Value(row.priority)},
                          {"created_at", time(row.created_ms)},
                          {"finished_at", time(row.finished_ms)},
                          {"duration_ms", Value(row.finished_ms - row.created_ms)},
                          {"cost_microusd", Value(row.cost_microusd)},
                          {"started_by", Value(row.started_by)},
                          {"labels", Value(std::move(labels))},
                          {"counts", Value(Value::Map{{"total", number(row.tasks.total)},
                                                      {"open", Value(0)},
                                                      {"succeeded", number(row.tasks.succeeded)},
                                                      {"failed", number(row.tasks.failed)},
                                                      {"skipped", number(row.tasks.skipped)},
                                                      {"cancelled", number(row.tasks.cancelled)}})},
                          {"waiting_for_person", Value(0)}});
}

// Newest first; a run that was seen twice is there once.
using Page = std::map<std::pair<std::int64_t, RunId>, Value, std::greater<>>;

Status add_history(Context& context, const RunListRequest& request, Page& page) {
  storage::HistoryFilter wanted = request.filter.of_history();
  // Several runs may have been started in one millisecond: those of the cursor's are read and passed over by
  // their id.
  if (request.before.valid()) {
    wanted.created_before_ms =
        std::min(wanted.created_before_ms.value_or(INT64_MAX), request.before_created_ms + 1);
  }
  std::string cursor;
  std::size_t taken = 0;
  do {
    EZ_ASSIGN(const storage::HistoryPage rows,
              context.services.history.list(wanted, request.limit + 1, cursor));
    for (const storage::HistoryRow& row : rows.rows) {
      if (!request.is_older(row.created_ms, row.id)) continue;
      if (page.emplace(std::pair(row.created_ms, row.id), row_view(row)).second) ++taken;
    }
    cursor = rows.next_cursor;
  } while (!cursor.empty() && taken <= request.limit);
  return {};
}

void finish(Context& context, const DeferredPtr& answer, const RunListRequest& request,
            const std::vector<Cow<core::Run>>& live, const core::PauseBoard& board) {
  Page page;
  for (const Cow<core::Run>& run : live) {
    Value view = core::run_summary(*run);
    add_held_by(view, board, *run);
    page.emplace(std::pair(run->created_ms, run->id), std::move(view));
  }
  if (request.filter.wants_finished()) {
    // In this order a run that moves meanwhile is found at its new place at the latest.
    for (const Cow<core::Run>& run :
         context.services.engine.projector().recent(engine::Projector::kMaxQueued)) {
      if (!request.is_older(run->created_ms, run->id) || !request.filter.matches(*run)) continue;
      page.emplace(std::pair(run->created_ms, run->id), core::run_summary(*run));
    }
    if (const Status status = add_history(context, request, page); !status.ok()) {
      answer->problem(status.error());
      return;
    }
  }
  Value::List items;
  std::string next;
  for (auto at = page.begin(); at != page.end() && items.size() < request.limit; ++at) {
    items.push_back(std::move(at->second));
    if (items.size() == request.limit && page.size() > request.limit) {
      next = make_cursor('r', {at->first.second.value, static_cast<std::uint64_t>(at->first.first)});
    }
  }
  answer->list(items, next);
}

}  // namespace

bool RunListRequest::is_older(std::int64_t created_ms, RunId id) const {
  return !before.valid() || std::pair(created_ms, id) < std::pair(before_created_ms, before);
}

Result<RunListRequest> read_run_list(const Request& request) {
  RunListRequest out;
  EZ_ASSIGN(out.filter, read_run_filter(request, {"limit", "cursor"}));
  EZ_ASSIGN(out.limit, list_limit(request));
  EZ_ASSIGN(const std::vector<std::uint64_t> cursor, read_cursor('r', request, 2));
  if (!cursor.empty()) {
    out.before = RunId{cursor[0]};
    out.before_created_ms = static_cast<std::int64_t>(cursor[1] & INT64_MAX);
  }
  return out;
}

void list_runs(Context& context, const DeferredPtr& answer, RunListRequest request) {
  with_pauses(context, [&context, answer, request](const core::PauseBoard& board) {
    const auto goes_on = [&context, answer, request, board](std::vector<Cow<core::Run>> live) {
      render(context, answer,
             [&context, answer, request, live, board] { finish(context, answer, request, live, board); });
    };
    if (!request.filter.wants_live()) return goes_on({});
    // Live runs are in the order of their creation: what comes behind the cursor has a smaller id.
    scan_live(
        context, request.before, request.limit + 1,
        [request](const core::Run& run) {
          return request.is_older(run.created_ms, run.id) && request.filter.matches(run);
        },
        goes_on);
  });
}

}  // namespace ez::http::api
