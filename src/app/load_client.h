// LoadClient: many HTTP/1.1 connections to one address on the caller's thread, each sending the same request
// again and again; measures when the first byte of each answer's body came. For `ez bench gateway`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace ez::app {

struct LoadPlan {
  std::uint16_t port = 0;  // of 127.0.0.1
  std::string request;     // the whole of it, as sent
  int connections = 1;
  std::int64_t duration_us = 1'000'000;  // no request begins later; those under way are waited for
  // The connections begin one after the other over this time, so that streams do not march in step.
  std::int64_t spread_us = 0;
};

struct LoadResult {
  std::vector<std::int64_t> first_byte_us;  // of each answer, sorted
  std::int64_t answers = 0;
  std::int64_t duration_us = 1;
  [[nodiscard]] double percentile_ms(double part) const;
  [[nodiscard]] double answers_per_s() const;
};

// Errors: SERVER_UNREACHABLE (no connection, one that broke), REQUEST_INVALID (an answer that is none, or a
// status other than 200).
[[nodiscard]] Result<LoadResult> run_load(const LoadPlan& plan);

}  // namespace ez::app
