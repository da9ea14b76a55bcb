#include "http/api/repository_check.h"

#include <algorithm>
#include <filesystem>

#include "core/variables.h"
#include "orchestration/parse.h"

namespace ez::http::api {
namespace {

namespace fs = std::filesystem;

bool is_repository(const fs::path& path) {
  std::error_code ignored;
  if (fs::exists(path / ".git", ignored)) return true;  // a folder, or the file of a worktree
  return fs::is_regular_file(path / "HEAD", ignored) && fs::is_directory(path / "objects", ignored);
}

}  // namespace

Status check_repository(const std::string& path) {
  std::error_code error;
  if (path.find('\0') != std::string::npos) return Error(Code::RepositoryInvalid, "the path contains U+0000");
  if (!fs::path(path).is_absolute()) {
    return Error(Code::RepositoryInvalid, "'" + path.substr(0, 512) + "' is not an absolute path",
                 "Give the full path of the repository on the server's machine.");
  }
  if (!fs::is_directory(path, error)) {
    return Error(Code::RepositoryInvalid,
                 path.substr(0, 512) + " is not a directory on the server's machine");
  }
  if (!is_repository(path))
    return Error(Code::RepositoryInvalid, path.substr(0, 512) + " is not a git repository");
  return {};
}

bool names_repositories(const core::WorkflowVersion& workflow) {
  const orchestration::Workflow& definition = *workflow.definition;
  return definition.repository || std::any_of(definition.inputs.begin(), definition.inputs.end(),
                                              [](const orchestration::Input& input) {
                                                return input.type == orchestration::InputType::kGit;
                                              });
}

Status check_start(const std::shared_ptr<const core::WorkflowVersion>& workflow, const Value& given) {
  core::Run draft;
  draft.workflow = workflow;
  EZ_ASSIGN(draft.inputs, orchestration::bind_inputs(draft.definition(), given));
  for (const orchestration::Input& input : draft.definition().inputs) {
    const Value* value = draft.inputs.find(input.name);
    if (input.type != orchestration::InputType::kGit || value == nullptr || !value->is_string()) continue;
    if (const Status status = check_repository(value->as_string()); !status.ok()) {
      return status.error().in("inputs." + input.name);
    }
  }
  if (!draft.definition().repository) return {};
  EZ_ASSIGN(const std::string repository,
            core::render(draft, nullptr, *draft.definition().repository, Template::Quoting::kPlain));
  if (const Status status = check_repository(repository); !status.ok())
    return status.error().in("repository");
  return {};
}

}  // namespace ez::http::api
