// What a signal says, shared by signals.cc and batches.cc. Internal to http/api/.
#pragma once

#include "http/api/context.h"
#include "http/api/fields.h"

namespace ez::http::api {

// The members `payload` and `id` (or the header Idempotency-Key). Mistakes are kept by `fields`:
// PAYLOAD_TOO_LARGE, REQUEST_INVALID.
void read_signal_fields(const Request& request, Fields& fields, core::pb::SendSignal& signal);

}  // namespace ez::http::api
