// JSON that a command takes as an option.
#pragma once

#include <string>

#include "base/result.h"
#include "base/value.h"

namespace ez::cli {

// `text` is JSON, or `@FILE` names a file with JSON of at most 4 MiB. Errors: INVALID_ARGUMENT, naming
// `option`; what reading the file may give.
[[nodiscard]] Result<Value> read_json_option(const std::string& option, std::string text);

}  // namespace ez::cli
