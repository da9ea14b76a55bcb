// The body of POST /v1/work: what an agent reports and how much it can take. Internal to http/api/.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "storage/attempt_logs.h"
#include "storage/blob_store.h"

namespace ez::http::api {

struct WorkBody {
  engine::WorkRequest request;
  std::int64_t wait_ms = 0;
  // For each result: its attempt, when that is over once the result is accepted (a merge may still follow
  // otherwise).
  struct Ending {
    Fence fence;
    storage::AttemptId attempt;
  };
  std::vector<Ending> endings;
};

// Bounds and forms of every field; texts that people read (error.message, conflict) are cut, not refused, so
// that no failure is lost for its length. Blobs that a result names must be stored. Members that are not
// known are ignored. Errors: REQUEST_INVALID naming the field, PAYLOAD_TOO_LARGE, BLOB_NOT_FOUND.
[[nodiscard]] Result<WorkBody> read_work(const Value& body, const storage::BlobStore& blobs);

}  // namespace ez::http::api
