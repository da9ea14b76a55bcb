// Which runs: what lists and batches filter by, for live runs and finished ones alike. Internal to http/api/.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "http/api/context.h"
#include "http/api/fields.h"
#include "orchestration/labels.h"
#include "storage/history.h"

namespace ez::http::api {

struct RunFilter {
  std::string name_space;        // "*": all
  std::string workflow;          // empty: any; likewise the others
  std::string state;             // also "live" and "finished"
  orchestration::Labels labels;  // all of these
  std::string started_by;
  std::string error_code;
  std::string text;  // as storage::HistoryFilter::text
  std::optional<std::int64_t> created_from_ms, created_before_ms, finished_from_ms, finished_before_ms;

  [[nodiscard]] bool wants_live() const;
  [[nodiscard]] bool wants_finished() const;
  // Nothing but a namespace is asked for.
  [[nodiscard]] bool is_empty() const;
  [[nodiscard]] bool matches(const core::Run& run) const;
  [[nodiscard]] storage::HistoryFilter of_history() const;
};

// From the parameters of a query; `further` are parameters that are read elsewhere. Errors: REQUEST_INVALID.
[[nodiscard]] Result<RunFilter> read_run_filter(const Request& request,
                                                std::initializer_list<std::string_view> further);
// From a JSON object with the same names (labels as an object `label`).
[[nodiscard]] Result<RunFilter> read_run_filter(const Value& object, std::string_view name_space);

}  // namespace ez::http::api
