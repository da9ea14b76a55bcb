// The list of runs, live ones and finished ones as one: newest first, in pages that neither repeat nor skip a
// run that was there when the first page was read, while runs start, finish and move to history. Internal to
// http/api/.
#pragma once

#include <string>

#include "http/api/context.h"

namespace ez::http::api {

struct RunFilter {
  std::string name_space;  // "*": all
  std::string workflow;    // empty: any
  std::string state;       // empty: any; also "live" and "finished"
  RunId before;            // only older ones; not valid: from the newest
  std::int64_t before_created_ms = 0;
  std::size_t limit = 0;

  [[nodiscard]] bool wants_live() const;
  [[nodiscard]] bool wants_finished() const;
  [[nodiscard]] bool matches(const core::Run& run) const;
};

// Errors: REQUEST_INVALID (a parameter).
[[nodiscard]] Result<RunFilter> read_run_filter(const Request& request);

// Answers with the page.
void list_runs(Context& context, const DeferredPtr& answer, RunFilter filter);

}  // namespace ez::http::api
