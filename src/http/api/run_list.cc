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
                          {"counts", Value(Value::Map{{"total", number(row.tasks.total)},
                                                      {"open", Value(0)},
                                                      {"succeeded", number(row.tasks.succeeded)},
                                                      {"failed", number(row.tasks.failed)},
                                                      {"skipped", number(row.tasks.skipped)},
                                                      {"cancelled", number(row.tasks.cancelled)}})},
                          {"waiting_for_person", Value(0)}});
}

struct Entry {
  Value view;
  std::int64_t created_ms = 0;
};
using Page = std::map<RunId, Entry, std::greater<>>;  // newest first; a run that was seen twice is there once

Status add_history(Context& context, const RunFilter& filter, Page& page) {
  storage::HistoryFilter wanted;
  if (filter.name_space != "*") wanted.namespace_name = filter.name_space;
  wanted.workflow = filter.workflow;
  if (filter.state != "finished") wanted.state = filter.state;
  // Several runs may have been started in one millisecond: those of the cursor's are read and passed over by
  // their id.
  if (filter.before.valid()) wanted.created_before_ms = filter.before_created_ms + 1;
  std::string cursor;
  std::size_t taken = 0;
  do {
    EZ_ASSIGN(const storage::HistoryPage rows,
              context.services.history.list(wanted, filter.limit + 1, cursor));
    for (const storage::HistoryRow& row : rows.rows) {
      if (filter.before.valid() && row.id >= filter.before) continue;
      if (page.emplace(row.id, Entry{row_view(row), row.created_ms}).second) ++taken;
    }
    cursor = rows.next_cursor;
  } while (!cursor.empty() && taken <= filter.limit);
  return {};
}

void finish(Context& context, const DeferredPtr& answer, const RunFilter& filter,
            const std::vector<Cow<core::Run>>& live, const core::PauseBoard& board) {
  Page page;
  for (const Cow<core::Run>& run : live) {
    Value view = core::run_summary(*run);
    add_held_by(view, board, *run);
    page.emplace(run->id, Entry{std::move(view), run->created_ms});
  }
  if (filter.wants_finished()) {
    // In this order a run that moves meanwhile is found at its new place at the latest.
    std::size_t taken = 0;
    for (const Cow<core::Run>& run :
         context.services.engine.projector().recent(engine::Projector::kMaxQueued)) {
      if (filter.before.valid() && run->id >= filter.before) continue;
      if (!filter.matches(*run)) continue;
      page.emplace(run->id, Entry{core::run_summary(*run), run->created_ms});
      if (++taken > filter.limit) break;
    }
    if (const Status status = add_history(context, filter, page); !status.ok()) {
      answer->problem(status.error());
      return;
    }
  }
  Value::List items;
  std::string next;
  for (auto at = page.begin(); at != page.end() && items.size() < filter.limit; ++at) {
    items.push_back(std::move(at->second.view));
    if (items.size() == filter.limit && page.size() > filter.limit) {
      next = make_cursor('r', {at->first.value, static_cast<std::uint64_t>(at->second.created_ms)});
    }
  }
  answer->list(items, next);
}

}  // namespace

bool RunFilter::wants_live() const {
  const auto one = core::parse_run_state(state);
  return state.empty() || state == "live" || (one && !core::is_terminal(*one));
}

bool RunFilter::wants_finished() const {
  const auto one = core::parse_run_state(state);
  return state.empty() || state == "finished" || (one && core::is_terminal(*one));
}

bool RunFilter::matches(const core::Run& run) const {
  if (name_space != "*" && run.workflow->namespace_name != name_space) return false;
  if (!workflow.empty() && run.definition().name != workflow) return false;
  return state.empty() || state == "live" || state == "finished" || core::to_text(run.state) == state;
}

Result<RunFilter> read_run_filter(const Request& request) {
  EZ_TRY(request.query.only({"namespace", "workflow", "state", "limit", "cursor"}));
  RunFilter filter;
  filter.name_space = request.name_space();
  if (const std::string* workflow = request.query.find("workflow")) filter.workflow = *workflow;
  if (const std::string* state = request.query.find("state")) filter.state = *state;
  if (!filter.wants_live() && !filter.wants_finished()) {
    return Error(Code::RequestInvalid, "state: there is no state '" + filter.state.substr(0, 64) + "'",
                 "Give live, finished, running, paused, queued, succeeded, failed or cancelled.");
  }
  EZ_ASSIGN(filter.limit, list_limit(request));
  EZ_ASSIGN(const std::vector<std::uint64_t> cursor, read_cursor('r', request, 2));
  if (!cursor.empty()) {
    filter.before = RunId{cursor[0]};
    filter.before_created_ms = static_cast<std::int64_t>(cursor[1] & INT64_MAX);
  }
  return filter;
}

void list_runs(Context& context, const DeferredPtr& answer, RunFilter filter) {
  with_pauses(context, [&context, answer, filter](const core::PauseBoard& board) {
    const auto goes_on = [&context, answer, filter, board](std::vector<Cow<core::Run>> live) {
      render(context, answer,
             [&context, answer, filter, live, board] { finish(context, answer, filter, live, board); });
    };
    if (!filter.wants_live()) return goes_on({});
    scan_live(
        context, filter.before, filter.limit + 1,
        [filter](const core::Run& run) { return filter.matches(run); }, goes_on);
  });
}

}  // namespace ez::http::api
