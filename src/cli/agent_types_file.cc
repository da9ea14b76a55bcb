#include "cli/agent_types_file.h"

#include <filesystem>
#include <fstream>
#include <sstream>

namespace ez::cli {

Result<orchestration::AgentTypes> load_agent_types(const std::string& path) {
  if (path.empty()) return orchestration::builtin_agent_types();
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  if (file) text << file.rdbuf();
  if (!file) return Error(Code::IoFailed, path + " cannot be read");
  auto parsed = orchestration::parse_agent_types(text.str(), orchestration::builtin_agent_types());
  if (parsed.types) return std::move(*parsed.types);
  std::string what;
  for (const orchestration::Diagnostic& diagnostic : parsed.diagnostics)
    what += (what.empty() ? "" : "; ") + path + ":" + diagnostic.to_string();
  return Error(Code::AgentTypesInvalid, what);
}

Status check_shown(const std::vector<std::string>& folders) {
  for (const std::string& folder : folders) {
    std::error_code absent;
    if (folder.empty() || folder[0] != '/' || folder == "/" || !std::filesystem::is_directory(folder, absent))
      return Error(Code::InvalidArgument, "--show: " + folder + " is not the absolute path of a folder");
  }
  return {};
}

}  // namespace ez::cli
