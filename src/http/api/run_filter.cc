#include "http/api/run_filter.h"

#include <algorithm>
#include <array>
#include <chrono>

namespace ez::http::api {
namespace {

constexpr std::size_t kMaxFilterBytes = 256;
constexpr std::string_view kTexts[] = {"workflow", "state", "started_by", "error", "text"};
constexpr std::string_view kTimes[] = {"created_from", "created_before", "finished_from", "finished_before"};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

bool contains(std::string_view text, std::string_view part) {
  return std::search(text.begin(), text.end(), part.begin(), part.end(),
                     [](char a, char b) { return lower(a) == lower(b); }) != text.end();
}

// `count` digits; -1: something else.
int digits(std::string_view& text, std::size_t count) {
  if (text.size() < count) return -1;
  int number = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (text[i] < '0' || text[i] > '9') return -1;
    number = number * 10 + (text[i] - '0');
  }
  text.remove_prefix(count);
  return number;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

// "2026-11-22", "2026-11-22T16:48Z", "2026-11-22T16:48:00Z", "2026-11-22T16:48:00.250Z", all UTC.
std::optional<std::int64_t> time_ms(std::string_view text) {
  const int year = digits(text, 4);
  if (year < 1970 || !take(text, '-')) return std::nullopt;
  const int month = digits(text, 2);
  if (!take(text, '-')) return std::nullopt;
  const std::chrono::year_month_day day(std::chrono::year(year),
                                        std::chrono::month(static_cast<unsigned>(month)),
                                        std::chrono::day(static_cast<unsigned>(digits(text, 2))));
  if (!day.ok()) return std::nullopt;
  std::int64_t ms = std::chrono::sys_days(day).time_since_epoch().count() * 86'400'000LL;
  if (text.empty()) return ms;
  if (!take(text, 'T')) return std::nullopt;
  const int hour = digits(text, 2);
  if (hour < 0 || hour > 23 || !take(text, ':')) return std::nullopt;
  const int minute = digits(text, 2);
  if (minute < 0 || minute > 59) return std::nullopt;
  int second = 0;
  int part = 0;
  if (take(text, ':')) {
    second = digits(text, 2);
    if (second < 0 || second > 59) return std::nullopt;
    if (take(text, '.')) part = digits(text, 3);
    if (part < 0) return std::nullopt;
  }
  if (text != "Z") return std::nullopt;
  return ms + hour * 3'600'000LL + minute * 60'000LL + second * 1000LL + part;
}

class Reader {
 public:
  Status text(std::string_view name, const std::string& value) {
    if (value.size() > kMaxFilterBytes) {
      return Error(Code::RequestInvalid,
                   std::string(name) + ": has more than " + std::to_string(kMaxFilterBytes) + " bytes");
    }
    std::string* const slots[] = {&filter.workflow, &filter.state, &filter.started_by, &filter.error_code,
                                  &filter.text};
    *slots[std::find(std::begin(kTexts), std::end(kTexts), name) - std::begin(kTexts)] = value;
    return {};
  }
  Status time(std::string_view name, const std::string& value) {
    const auto ms = time_ms(value);
    if (!ms) {
      return Error(Code::RequestInvalid, std::string(name) + ": is no time",
                   "Give a day (2026-11-22) or a time in UTC (2026-11-22T16:48:00Z).");
    }
    std::optional<std::int64_t>* const slots[] = {&filter.created_from_ms, &filter.created_before_ms,
                                                  &filter.finished_from_ms, &filter.finished_before_ms};
    *slots[std::find(std::begin(kTimes), std::end(kTimes), name) - std::begin(kTimes)] = ms;
    return {};
  }
  Status label(std::string_view name, std::string_view value) {
    const Status status = orchestration::set_label(filter.labels, name, value);
    return status.ok() ? status
                       : Status(Error(Code::RequestInvalid, status.error().message(),
                                      std::string(status.error().hint())));
  }
  Status check() const {
    if (filter.wants_live() || filter.wants_finished()) return {};
    return Error(Code::RequestInvalid, "state: there is no state '" + filter.state.substr(0, 64) + "'",
                 "Give live, finished, running, paused, queued, succeeded, failed or cancelled.");
  }

  RunFilter filter;
};

template <typename Names>
bool is_one_of(const Names& names, std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
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

bool RunFilter::is_empty() const {
  return workflow.empty() && state.empty() && labels.empty() && started_by.empty() && error_code.empty() &&
         text.empty() && !created_from_ms && !created_before_ms && !finished_from_ms && !finished_before_ms;
}

bool RunFilter::matches(const core::Run& run) const {
  if (name_space != "*" && run.workflow->namespace_name != name_space) return false;
  if (!workflow.empty() && run.definition().name != workflow) return false;
  const bool over = core::is_terminal(run.state);
  if (state == "live"       ? over
      : state == "finished" ? !over
                            : !state.empty() && core::to_text(run.state) != state)
    return false;
  if (!started_by.empty() && run.principal != started_by) return false;
  if (!error_code.empty() && run.error.code != error_code) return false;
  if (created_from_ms && run.created_ms < *created_from_ms) return false;
  if (created_before_ms && run.created_ms >= *created_before_ms) return false;
  if ((finished_from_ms || finished_before_ms) && !over) return false;
  if (finished_from_ms && run.finished_ms < *finished_from_ms) return false;
  if (finished_before_ms && run.finished_ms >= *finished_before_ms) return false;
  for (const auto& [name, value] : labels) {
    const std::string* mine = orchestration::find_label(run.get_labels(), name);
    if (mine == nullptr || *mine != value) return false;
  }
  if (text.empty()) return true;
  return contains(run.definition().name, text) || contains(run.principal, text) ||
         contains(run.error.code, text) || to_text(run.id) == text || to_text(run.id) == "r" + text;
}

storage::HistoryFilter RunFilter::of_history() const {
  storage::HistoryFilter out;
  if (name_space != "*") out.namespace_name = name_space;
  out.workflow = workflow;
  if (state != "finished") out.state = state;
  out.created_from_ms = created_from_ms;
  out.created_before_ms = created_before_ms;
  out.finished_from_ms = finished_from_ms;
  out.finished_before_ms = finished_before_ms;
  out.labels = labels;
  out.started_by = started_by;
  out.error_code = error_code;
  out.text = text;
  return out;
}

Result<RunFilter> read_run_filter(const Request& request, std::initializer_list<std::string_view> further) {
  Reader reader;
  reader.filter.name_space = request.name_space();
  for (const auto& [name, value] : request.query.all()) {
    if (is_one_of(kTexts, name)) {
      EZ_TRY(reader.text(name, value));
    } else if (is_one_of(kTimes, name)) {
      EZ_TRY(reader.time(name, value));
    } else if (name.starts_with("label[") && name.ends_with("]")) {
      EZ_TRY(reader.label(std::string_view(name).substr(6, name.size() - 7), value));
    } else if (name != "namespace" && !is_one_of(further, name)) {
      // The answer to a misspelt filter must not be everything.
      return Error(Code::RequestInvalid, "there is no parameter '" + name.substr(0, 64) + "' here");
    }
  }
  EZ_TRY(reader.check());
  return std::move(reader.filter);
}

Result<RunFilter> read_run_filter(const Value& object, std::string_view name_space) {
  Reader reader;
  reader.filter.name_space = name_space;
  Fields fields(object, "where.");
  for (const std::string_view name : kTexts) EZ_TRY(reader.text(name, fields.line(name, kMaxFilterBytes)));
  for (const std::string_view name : kTimes) {
    if (const std::string value = fields.line(name, 64); !value.empty()) EZ_TRY(reader.time(name, value));
  }
  const Value labels = fields.map("label");
  EZ_TRY(fields.done());
  for (const auto& [name, value] : labels.as_map()) {
    if (!value.is_string()) return Error(Code::RequestInvalid, "where.label: the values are texts");
    EZ_TRY(reader.label(name, value.as_string()));
  }
  EZ_TRY(reader.check());
  return std::move(reader.filter);
}

}  // namespace ez::http::api
