#include "http/api/work_request.h"

#include <algorithm>

#include "core/command.pb.h"
#include "engine/work_result.h"
#include "http/api/fields.h"
#include "http/api/limits.h"

namespace ez::http::api {

Result<WorkBody> read_work(const Value& body, const storage::BlobStore& blobs) {
  Fields fields(body, "", false);
  WorkBody out;
  const auto agent = parse_agent_id(fields.need_line("agent", 32));
  if (!agent) fields.fail("agent", "must be the id that registering gave, such as a7");
  if (agent) out.request.agent = *agent;
  out.request.want = static_cast<std::uint32_t>(fields.number("want", 0, 0, kMaxWant));
  out.wait_ms = fields.number("wait_ms", 0, 0, kMaxWaitMs);
  const Value::List& results = fields.list("results", kMaxResults);
  EZ_TRY(fields.done());
  for (std::size_t i = 0; i < results.size(); ++i) {
    EZ_ASSIGN(engine::WorkResult result,
              engine::read_work_result(results[i], "results[" + std::to_string(i) + "]", blobs));
    if (result.ends) out.endings.push_back({Fence{result.report.fence()}, result.attempt});
    out.request.results.push_back(std::move(result.report));
  }
  if (!out.request.results.empty()) out.wait_ms = std::min(out.wait_ms, kResultWaitMs);
  if (out.request.want > 0) out.wait_ms = std::max(out.wait_ms, kLeastWorkWaitMs);
  return out;
}

}  // namespace ez::http::api
