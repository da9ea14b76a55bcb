// The options by which commands choose runs: those of `ez ps`, which `ez batch` takes too.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/value.h"
#include "cli/arguments.h"

namespace ez::cli {

// The options, with `further` ones before them.
[[nodiscard]] std::vector<OptionSpec> run_filter_options(std::vector<OptionSpec> further);
// What was given, as the object that a batch takes as `where`. INVALID_ARGUMENT: a label without a name or
// value.
[[nodiscard]] Result<Value> read_run_filter(const Arguments& arguments);
// The same as a query: "" or "?workflow=nightly&label%5Bteam%5D=storage".
[[nodiscard]] std::string run_filter_query(const Value& filter);

// "NAME=VALUE" texts as one object. INVALID_ARGUMENT: not of that form, or a name that comes twice.
[[nodiscard]] Result<Value> read_labels(const std::vector<std::string>& given);

}  // namespace ez::cli
