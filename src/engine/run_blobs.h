// The blobs that a run refers to: artifacts and outputs of its tasks.
#pragma once

#include <string>
#include <vector>

#include "core/run.h"

namespace ez::engine {

// SHA-256 in hexadecimal digits, sorted, each once.
[[nodiscard]] std::vector<std::string> blobs_of(const core::Run& run);

}  // namespace ez::engine
