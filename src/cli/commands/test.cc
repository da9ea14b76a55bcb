// test: of a workflow file, plays its tests with scripted results and time that skips; no server is needed.
// Of a finished run, repeats its checks on what it made (cli/run_checks.h).
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/ids.h"
#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/run_checks.h"
#include "cli/test_report.h"
#include "cli/workflow_file.h"
#include "orchestration/source_tree.h"

namespace ez::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxFilesTested = 1'000;
constexpr std::size_t kMaxTestBytes = 4 * 1024 * 1024;
constexpr std::string_view kEndings[] = {".yaml", ".yml", ".json"};

// "tidy.test.yaml" → "tidy"; empty: it is no test file.
std::string stem_of_test(const fs::path& path) {
  const std::string name = path.filename().string();
  for (const std::string_view ending : kEndings) {
    const std::string whole = ".test" + std::string(ending);
    if (name.size() > whole.size() && name.ends_with(whole))
      return name.substr(0, name.size() - whole.size());
  }
  return "";
}

// The file beside `path` with that stem and one of the endings; empty: there is none.
std::string beside(const fs::path& path, const std::string& stem) {
  std::error_code failed;
  for (const std::string_view ending : kEndings) {
    const fs::path candidate = path.parent_path() / (stem + std::string(ending));
    if (fs::is_regular_file(candidate, failed)) return candidate.string();
  }
  return "";
}

Result<std::vector<std::string>> find_tests(const std::string& given) {
  std::error_code failed;
  std::vector<std::string> found;
  if (!fs::is_directory(given, failed)) {
    if (!fs::exists(given, failed)) return Error(Code::IoFailed, given + " is not there");
    if (!stem_of_test(given).empty()) return std::vector<std::string>{given};
    const std::string tests = beside(given, fs::path(given).stem().string() + ".test");
    if (tests.empty()) {
      return Error(Code::InvalidArgument, given + " has no tests beside it",
                   "Write them into " + fs::path(given).stem().string() + ".test.yaml.");
    }
    return std::vector<std::string>{tests};
  }
  fs::recursive_directory_iterator at(given, fs::directory_options::skip_permission_denied, failed), end;
  for (; !failed && at != end; at.increment(failed)) {
    if (!at->is_regular_file(failed) || stem_of_test(at->path()).empty()) continue;
    found.push_back(at->path().string());
    if (found.size() > kMaxFilesTested) {
      return Error(Code::InvalidArgument,
                   given + " has more than " + std::to_string(kMaxFilesTested) + " test files");
    }
  }
  if (failed) return Error(Code::IoFailed, "read " + given + ": " + failed.message());
  if (found.empty()) {
    return Error(Code::InvalidArgument, "there are no test files below " + given,
                 "A test file is named like its workflow: tidy.test.yaml beside tidy.yaml.");
  }
  std::sort(found.begin(), found.end());
  return found;
}

Result<std::string> read_text(const std::string& path) {
  std::error_code failed;
  const auto size = fs::file_size(path, failed);
  if (failed) return Error(Code::IoFailed, "read " + path + ": " + failed.message());
  if (size > kMaxTestBytes) {
    return Error(Code::WorkflowTooLarge, path + " has more than " + std::to_string(kMaxTestBytes) + " bytes");
  }
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  if (!in || !(text << in.rdbuf())) return Error(Code::IoFailed, "read " + path + " failed");
  return std::move(text).str();
}

// Where the workflow of a test file is: what its key `workflow` says, else the file with its name.
Result<std::string> workflow_path(const std::string& path, const std::string& source) {
  orchestration::SourceError failure;
  if (const auto tree = orchestration::SourceTree::parse(source, failure);
      tree != nullptr && tree->kind(tree->root()) == orchestration::SourceTree::Kind::kMap) {
    const auto node = tree->find(tree->root(), "workflow");
    if (node && tree->is_scalar(*node))
      return (fs::path(path).parent_path() / std::string(tree->text(*node))).lexically_normal().string();
  }
  std::string found = beside(path, stem_of_test(path));
  if (!found.empty()) return found;
  return Error(Code::InvalidArgument, path + " names no workflow, and none with its name is beside it",
               "Write `workflow: tidy.yaml` at its top.");
}

Result<TestedFile> test_file(Session& session, const std::string& path, const std::string& only) {
  TestedFile file;
  file.path = path;
  EZ_ASSIGN(const std::string source, read_text(path));
  EZ_ASSIGN(file.workflow, workflow_path(path, source));
  EZ_ASSIGN(const WorkflowFile workflow, read_workflow_file(file.workflow));
  if (!workflow.parsed.ok()) print_mistakes(workflow, session.err);
  EZ_TRY(check_workflow(workflow));
  auto rehearsal = session.ports.rehearse(*workflow.parsed.workflow, source, only);
  if (!rehearsal.ok()) return rehearsal.error().in(path);
  file.rehearsal = std::move(rehearsal).value();
  return file;
}

Status write_junit(const std::string& path, const std::vector<TestedFile>& files) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << tests_junit(files);
  out.close();
  return out ? Status() : Status(Error(Code::IoFailed, "write " + path + " failed"));
}

constexpr std::string_view kOfFiles[] = {"only", "timeline", "junit"};
constexpr std::string_view kOfRuns[] = {"at", "task", "repository", "show", "verbose"};

// Options of the other meaning would be ignored: they are refused.
template <std::size_t size>
Status refuse(const Arguments& arguments, const std::string_view (&names)[size], const std::string& what) {
  for (const std::string_view name : names) {
    if (arguments.has(name))
      return Error(Code::InvalidArgument, "--" + std::string(name) + " has no meaning for " + what);
  }
  return {};
}

// Like `ez graph`: what has the form of a run is one, unless there is a file of that name.
bool names_run(const std::string& what) {
  std::error_code failed;
  return parse_run_id(what) && !fs::exists(what, failed);
}

Result<int> run_test(Session& session, const Arguments& arguments) {
  const std::string what = arguments.text("WHAT", ".");
  if (names_run(what)) {
    EZ_TRY(refuse(arguments, kOfFiles, "a run"));
    return check_run(session, arguments, what, RunCheck::kTest);
  }
  EZ_TRY(refuse(arguments, kOfRuns, "the tests of workflow files"));
  EZ_ASSIGN(const std::vector<std::string> paths, find_tests(what));
  std::vector<TestedFile> files;
  for (const std::string& path : paths) {
    EZ_ASSIGN(TestedFile file, test_file(session, path, arguments.text("only")));
    files.push_back(std::move(file));
  }
  if (arguments.has("junit")) EZ_TRY(write_junit(arguments.text("junit"), files));
  const TestTotals totals = test_totals(files);
  if (arguments.has("json")) {
    session.out << to_json(tests_value(files)) << "\n";
  } else {
    print_tests(files, arguments.has("timeline"), session.out);
  }
  if (totals.mistakes > 0) {
    if (arguments.has("json")) return info(Code::TestInvalid).exit_status;
    return Error(Code::TestInvalid, std::to_string(totals.mistakes) + " places in test files are wrong");
  }
  if (totals.passed + totals.failed == 0) {
    return Error(Code::InvalidArgument, "no test has `" + arguments.text("only") + "` in its name");
  }
  return totals.failed == 0 ? kExitOk : kExitNegative;
}

}  // namespace

Command test_command() {
  std::vector<OptionSpec> options{
      {"--only", "TEXT", "of files: only tests with that in their name"},
      {"--timeline", "", "of files: show what happened when, also of tests that pass"},
      {"--junit", "PATH", "of files: write a JUnit XML report there"},
      {"--json", "", "as JSON"},
      {"--at", "COMMIT", "of a run: test this branch or commit instead of the run's branch"}};
  for (const OptionSpec& option : run_check_options()) options.push_back(option);
  return {"test",
          "Play the tests of workflow files, or repeat all checks of a finished run on what it made",
          "  ez test nightly.yaml\n  ez test workflows/ --junit report.xml\n"
          "  ez test nightly.test.yaml --only retries --timeline\n"
          "  ez test r12\n  ez test r12 --at main\n",
          std::move(options),
          {{"WHAT", "a workflow, a test file, a folder with test files (.), or a run", false}},
          true,
          run_test};
}

}  // namespace ez::cli
