#include "cli/workflow_file.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/json.h"
#include "base/sha256.h"
#include "cli/text.h"
#include "orchestration/advice.h"

namespace ez::cli {
namespace {

namespace fs = std::filesystem;
using orchestration::Diagnostic;
using orchestration::InputType;

Result<std::vector<fs::path>> shipped_paths(const fs::path& folder) {
  std::error_code failed;
  if (!fs::is_directory(fs::symlink_status(folder, failed))) {
    return Error(Code::InvalidArgument,
                 "the workflow ships the folder " + folder.string() + ", which is not there");
  }
  std::vector<fs::path> paths;
  std::uint64_t bytes = 0;
  fs::recursive_directory_iterator at(folder, failed), end;
  for (; !failed && at != end; at.increment(failed)) {
    const fs::file_status status = at->symlink_status(failed);
    if (failed || fs::is_directory(status)) continue;
    if (!fs::is_regular_file(status)) {
      return Error(Code::InvalidArgument,
                   at->path().string() + " is not a regular file; a workflow ships only those",
                   "Replace the link by the file itself.");
    }
    bytes += at->file_size(failed);
    paths.push_back(at->path());
    if (paths.size() > orchestration::kMaxFiles || bytes > kMaxShippedBytes) {
      return Error(Code::InvalidArgument, "the folder " + folder.string() + " has more than " +
                                              std::to_string(orchestration::kMaxFiles) + " files or " +
                                              size_text(kMaxShippedBytes));
    }
  }
  if (failed) return Error(Code::IoFailed, "read " + folder.string() + ": " + failed.message());
  std::sort(paths.begin(), paths.end());
  return paths;
}

Result<Value> upload_folder(Api& api, const fs::path& folder) {
  EZ_ASSIGN(const std::vector<fs::path> paths, shipped_paths(folder));
  Value::List files;
  std::set<std::string> sent;
  for (const fs::path& path : paths) {
    EZ_ASSIGN(const std::string bytes, read_file(path.string(), kMaxShippedBytes, Code::PayloadTooLarge));
    Sha256 hash;
    hash.update(bytes);
    const std::string sha256 = hash.finish_hex();
    if (sent.insert(sha256).second) EZ_TRY(api.put_file("/v1/artifacts/" + sha256, path.string()));
    std::error_code failed;
    const bool runs = (fs::status(path, failed).permissions() & fs::perms::owner_exec) != fs::perms::none;
    files.push_back(Value(Value::Map{{"path", Value(path.lexically_relative(folder).generic_string())},
                                     {"sha256", Value(sha256)},
                                     {"mode", Value(runs ? 0755 : 0644)}}));
  }
  return Value(std::move(files));
}

Result<Value> input_value(const orchestration::Input& input, std::string text) {
  if (!text.empty() && text.front() == '@' && input.type != InputType::kGit) {
    EZ_ASSIGN(text, read_file(text.substr(1), 4 * 1024 * 1024, Code::PayloadTooLarge));
  }
  switch (input.type) {
    case InputType::kGit: {
      if (text.find("://") != std::string::npos) return Value(text);
      std::error_code failed;
      const fs::path absolute = fs::weakly_canonical(fs::absolute(text, failed), failed);
      if (failed) return Error(Code::InputInvalid, input.name + ": " + text + ": " + failed.message());
      return Value(absolute.string());
    }
    case InputType::kList:
    case InputType::kMap: {
      auto value = parse_json(text);
      if (!value.ok()) {
        return Error(Code::InputInvalid, input.name + ": a " +
                                             std::string(orchestration::to_text(input.type)) +
                                             " is given as JSON: " + value.error().message());
      }
      return value;
    }
    default:
      return Value(text);  // the server converts what the workflow declares
  }
}

}  // namespace

Result<std::string> read_file(const std::string& path, std::uint64_t most, Code too_large) {
  std::error_code failed;
  if (fs::is_directory(path, failed)) return Error(Code::IoFailed, path + " is a directory");
  std::ifstream in(path, std::ios::binary);
  if (!in) return system_error(Code::IoFailed, Code::IoFailed, "open " + path, errno);
  std::string text;
  char piece[64 * 1024];
  while (in.read(piece, sizeof piece) || in.gcount() > 0) {
    text.append(piece, static_cast<std::size_t>(in.gcount()));
    if (text.size() > most) return Error(too_large, path + " has more than " + size_text(most));
  }
  if (in.bad()) return Error(Code::IoFailed, "read " + path + " failed");
  return text;
}

Result<WorkflowFile> read_workflow_file(const std::string& path) {
  WorkflowFile file;
  file.path = path;
  EZ_ASSIGN(file.source, read_file(path, orchestration::kMaxSourceBytes, Code::WorkflowTooLarge));
  file.parsed = orchestration::parse_workflow(file.source);
  return file;
}

std::size_t print_mistakes(const WorkflowFile& file, std::ostream& to) {
  for (const Diagnostic& mistake : file.parsed.diagnostics) {
    to << file.path << ":";
    if (mistake.line > 0) to << mistake.line << ":" << mistake.column << ":";
    to << " " << printable(mistake.message) << "\n";
    if (!mistake.hint.empty()) to << "  " << printable(mistake.hint) << "\n";
  }
  return file.parsed.diagnostics.size();
}

Value mistakes_value(const WorkflowFile& file) {
  Value::List out;
  for (const Diagnostic& mistake : file.parsed.diagnostics) {
    out.push_back(Value(Value::Map{{"file", Value(file.path)},
                                   {"line", Value(mistake.line)},
                                   {"column", Value(mistake.column)},
                                   {"code", Value(info(mistake.code).name)},
                                   {"message", Value(mistake.message)},
                                   {"hint", Value(mistake.hint)}}));
  }
  return Value(std::move(out));
}

void print_warnings(const WorkflowFile& file, std::ostream& to) {
  if (!file.parsed.ok()) return;
  for (const orchestration::Advice& advice : orchestration::advice_on(*file.parsed.workflow)) {
    to << file.path << ": warning: " << printable(advice.message) << "\n  " << printable(advice.hint) << "\n";
  }
}

Value warnings_value(const WorkflowFile& file) {
  Value::List out;
  if (!file.parsed.ok()) return Value(std::move(out));
  for (const orchestration::Advice& advice : orchestration::advice_on(*file.parsed.workflow)) {
    out.push_back(Value(Value::Map{
        {"file", Value(file.path)}, {"message", Value(advice.message)}, {"hint", Value(advice.hint)}}));
  }
  return Value(std::move(out));
}

Status check_workflow(const WorkflowFile& file) {
  if (file.parsed.ok()) return {};
  return Error(Code::WorkflowInvalid,
               file.path + " has " + std::to_string(file.parsed.diagnostics.size()) + " mistakes");
}

Result<Value> register_workflow(Api& api, const WorkflowFile& file, const std::string& name_space) {
  EZ_TRY(check_workflow(file));
  Value body(Value::Map{{"source", Value(file.source)}});
  if (!name_space.empty()) body.set("namespace", Value(name_space));
  const std::string& folder = file.parsed.workflow->files;
  if (!folder.empty()) {
    const fs::path relative = fs::path(folder).lexically_normal();
    if (relative.is_absolute() || relative.empty() || *relative.begin() == "..") {
      return Error(Code::InvalidArgument,
                   "files: " + folder + " is not below the folder of the workflow file");
    }
    EZ_ASSIGN(Value files, upload_folder(api, fs::path(file.path).parent_path() / relative));
    body.set("files", std::move(files));
  }
  return api.post("/v1/workflows", body);
}

Result<Value> read_inputs(const orchestration::Workflow& workflow, const std::vector<std::string>& given) {
  Value inputs(Value::Map{});
  for (const std::string& pair : given) {
    const std::size_t equals = pair.find('=');
    if (equals == std::string::npos || equals == 0) {
      return Error(Code::InvalidArgument, "--input " + pair + ": is not of the form NAME=VALUE");
    }
    const std::string name = pair.substr(0, equals);
    const auto declared = std::find_if(workflow.inputs.begin(), workflow.inputs.end(),
                                       [&](const orchestration::Input& input) { return input.name == name; });
    if (declared == workflow.inputs.end()) {
      std::string names;
      for (const auto& input : workflow.inputs) names += (names.empty() ? "" : ", ") + input.name;
      return Error(Code::InputInvalid, "the workflow " + workflow.name + " has no input " + name,
                   names.empty() ? "It has no inputs at all." : "It has: " + names + ".");
    }
    if (inputs.find(name) != nullptr)
      return Error(Code::InvalidArgument, "--input " + name + " is given twice");
    EZ_ASSIGN(Value value, input_value(*declared, pair.substr(equals + 1)));
    inputs.set(name, std::move(value));
  }
  return inputs;
}

}  // namespace ez::cli
