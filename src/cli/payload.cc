#include "cli/payload.h"

#include "base/json.h"
#include "cli/workflow_file.h"

namespace ez::cli {

Result<Value> read_json_option(const std::string& option, std::string text) {
  if (!text.empty() && text.front() == '@') {
    EZ_ASSIGN(text, read_file(text.substr(1), 4 * 1024 * 1024, Code::PayloadTooLarge));
  }
  auto value = parse_json(text);
  if (value.ok()) return value;
  return Error(Code::InvalidArgument, option + " is no JSON: " + value.error().message(),
               "A text stands in double quotes of its own: " + option + " '\"yes\"'.");
}

}  // namespace ez::cli
