// The list of runs, live ones and finished ones as one: newest first (by creation, then by id), in pages that
// neither repeat nor skip a run that was there when the first page was read, while runs start, finish and
// move to history. Internal to http/api/.
#pragma once

#include <string>

#include "http/api/context.h"
#include "http/api/run_filter.h"

namespace ez::http::api {

struct RunListRequest {
  RunFilter filter;
  RunId before;  // only older ones; not valid: from the newest
  std::int64_t before_created_ms = 0;
  std::size_t limit = 0;

  // Comes behind the cursor.
  [[nodiscard]] bool is_older(std::int64_t created_ms, RunId id) const;
};

// Errors: REQUEST_INVALID (a parameter).
[[nodiscard]] Result<RunListRequest> read_run_list(const Request& request);

// Answers with the page.
void list_runs(Context& context, const DeferredPtr& answer, RunListRequest request);

}  // namespace ez::http::api
