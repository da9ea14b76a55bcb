// The command line: from argv to a command and its exit status (docs/guide/cli.md).
//
// Errors go to `err` as "ez: CODE: message" and "hint: …"; with --json a problem object goes to `out`
// instead.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/ports.h"
#include "cli/session.h"

namespace ez::cli {

// Every command, in the order of the help.
[[nodiscard]] const std::vector<Command>& all_commands();

// With std::cout and std::cerr. Exceptions of third parties end here as INTERNAL.
int run_command_line(int argc, char** argv, const Ports& ports);
int run_command_line(const std::vector<std::string>& arguments, const Ports& ports, std::ostream& out,
                     std::ostream& err);

// {"type", "title", "status", "code", "detail", "hint", "retry"}.
[[nodiscard]] Value problem_of(const Error& error);

}  // namespace ez::cli
