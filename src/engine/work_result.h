// The result of a work item, as JSON of the worker API (docs/guide/worker-api.md): what an agent reports at
// the API and what a consumer sends to a topic of replies is read by the same code.
#pragma once

#include <cstddef>
#include <string>

#include "base/result.h"
#include "base/value.h"
#include "engine/kernel.h"
#include "storage/attempt_logs.h"
#include "storage/blob_store.h"

namespace ez::engine {

inline constexpr std::size_t kMaxArtifacts = 1'000;  // of one result
inline constexpr std::size_t kMaxArtifactNameBytes = 512;
inline constexpr std::size_t kMaxErrorBytes = 4'096;  // of an attempt's error message; longer ones are cut

struct WorkResult {
  core::pb::ReportResult report;
  storage::AttemptId attempt;
  bool merge = false;
  bool ends = true;  // once it is accepted the attempt is over; a merge may still follow otherwise
};

// Bounds and forms of every field; texts that people read (error.message, conflict) are cut, not refused, so
// that no failure is lost for its length. Blobs that it names must be stored. Members that are not known are
// ignored. `where` stands before the names of fields in errors: "results[2]"; may be empty. Errors:
// REQUEST_INVALID naming the field, PAYLOAD_TOO_LARGE, BLOB_NOT_FOUND.
[[nodiscard]] Result<WorkResult> read_work_result(const Value& value, const std::string& where,
                                                  const storage::BlobStore& blobs);

// The result of a lease whose item cannot be made (a template that cannot be rendered, say): the attempt has
// failed, and no other one would do better.
[[nodiscard]] core::pb::Command unmakeable_item(const core::Lease& lease, const Error& error);

}  // namespace ez::engine
