// The messages of dispatched tasks (docs/guide/dispatch.md). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "engine/engine.h"
#include "engine/work_result.h"
#include "queue/manager/config.h"
#include "queue/message.h"
#include "storage/attempt_logs.h"
#include "storage/blob_store.h"

namespace ez::dispatch {

// A task for the topic: the work item of the worker API, without a key for the model gateway (a broker is no
// place for one), and the topic of replies. Its id is made of run, task, attempt and fence, so publishing it
// again changes nothing. Errors: EXPRESSION_FAILED, EXPRESSION_COST (no attempt would do better).
[[nodiscard]] Result<queue::Message> task_message(const engine::WorkTask& task,
                                                  const queue::DispatchConfig& config);

// To the topic of cancels: whoever works on it may stop.
[[nodiscard]] queue::Message cancel_message(const core::Lease& lease, const std::string& reason,
                                            const queue::DispatchConfig& config);

// What a consumer sent.
struct Reply {
  storage::AttemptId attempt;
  Fence fence;
  bool progress = false;
  std::string log;  // of progress
  std::optional<engine::WorkResult> result;
  // It is beyond a limit of the API, or names bytes that are not stored: the attempt fails with this.
  std::optional<Error> refused;
};
// REQUEST_INVALID, INVALID_JSON and the like: no reply at all, with the place.
[[nodiscard]] Result<Reply> read_reply(const std::string& payload, const storage::BlobStore& blobs);

// The result of an attempt whose reply was refused.
[[nodiscard]] core::pb::Command refused_result(const Reply& reply);

}  // namespace ez::dispatch
