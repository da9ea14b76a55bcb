#include "cli/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "base/json.h"
#include "cli/workflow_file.h"

namespace ez::cli {
namespace {

using testing::HasSubstr;

// A server in memory: answers by target, and what it was asked.
struct Desk {
  std::map<std::string, std::string> answers;
  std::vector<std::string> asked;
};

class DeskApi final : public Api {
 public:
  explicit DeskApi(Desk& desk) : desk_(desk) {}
  Result<Value> get(const std::string& target) override { return answer("GET " + target); }
  Result<Value> post(const std::string& target, const Value& body) override {
    return answer("POST " + target + " " + to_json(body));
  }
  Result<Value> remove(const std::string& target) override { return answer("DELETE " + target); }
  Status put_file(const std::string& target, const std::string&) override {
    desk_.asked.push_back("PUT " + target);
    return {};
  }
  Status download(const std::string& target, const Sink& sink) override {
    desk_.asked.push_back("GET " + target);
    (void)sink("printed\n");
    return {};
  }
  Status stream(const std::string&, const std::string&,
                const std::function<bool(const ApiEvent&)>&) override {
    return {};
  }
  void cancel() override {}

 private:
  Result<Value> answer(const std::string& call) {
    desk_.asked.push_back(call);
    const auto found = desk_.answers.find(call);
    if (found == desk_.answers.end()) return Error(Code::RunNotFound, "nothing at " + call);
    return parse_json(found->second);
  }
  Desk& desk_;
};

class CommandLine : public testing::Test {
 protected:
  CommandLine() {
    char name[] = "/tmp/ez-command-line-XXXXXX";
    folder_ = ::mkdtemp(name);
    for (const char* variable : {"EZ_SERVER", "EZ_TOKEN", "EZ_DATA"}) ::unsetenv(variable);
    ports_.version = "1.2.3";
    ports_.connect = [this](const Endpoint& endpoint) -> Result<std::unique_ptr<Api>> {
      endpoint_ = endpoint;
      return std::unique_ptr<Api>(std::make_unique<DeskApi>(desk_));
    };
    ports_.serve = [this](const ServeOptions& options) -> Status {
      served_ = options;
      return {};
    };
    ports_.work = [this](const AgentOptions& options) -> Status {
      worked_ = options;
      return {};
    };
  }
  ~CommandLine() override { std::filesystem::remove_all(folder_); }

  int ez(std::vector<std::string> arguments) {
    out_.str("");
    err_.str("");
    return run_command_line(arguments, ports_, out_, err_);
  }
  int remote(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--server", "http://127.0.0.1:1", "--data", folder_});
    return ez(arguments);
  }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ + "/" + name) << text;
    return folder_ + "/" + name;
  }

  std::string folder_;
  Ports ports_;
  Desk desk_;
  Endpoint endpoint_;
  ServeOptions served_;
  AgentOptions worked_;
  std::ostringstream out_, err_;
};

TEST_F(CommandLine, EveryCommandHasHelpWithExamples) {
  std::set<std::string> paths;
  for (const Command& command : all_commands()) {
    EXPECT_TRUE(paths.insert(std::string(command.path)).second) << command.path;
    std::vector<std::string> words;
    std::istringstream path{std::string(command.path)};
    for (std::string word; path >> word;) words.push_back(word);
    words.emplace_back("--help");
    EXPECT_EQ(ez(words), 0) << command.path;
    EXPECT_THAT(out_.str(), HasSubstr("Examples:")) << command.path;
    EXPECT_THAT(out_.str(), HasSubstr("ez " + std::string(command.path))) << command.path;
  }
}

TEST_F(CommandLine, MistakesAreUsageErrors) {
  EXPECT_EQ(ez({}), 2);
  EXPECT_EQ(ez({"fly"}), 2);
  EXPECT_THAT(err_.str(), HasSubstr("ez: INVALID_ARGUMENT: "));
  EXPECT_EQ(ez({"show"}), 2);
  EXPECT_THAT(err_.str(), HasSubstr("hint: `ez show --help`"));
  EXPECT_EQ(ez({"ps", "--no-such-option"}), 2);
  EXPECT_EQ(remote({"ps", "--limit", "many"}), 2);
  EXPECT_EQ(remote({"show", "r1", "r2"}), 2);
}

TEST_F(CommandLine, ErrorsGiveTheStatusOfTheCatalogue) {
  EXPECT_EQ(remote({"show", "r9"}), 3);
  EXPECT_THAT(err_.str(), HasSubstr("ez: RUN_NOT_FOUND: nothing at GET /v1/runs/r9\nhint: "));
  EXPECT_EQ(remote({"show", "r9", "--json"}), 3);
  const auto problem = parse_json(out_.str());
  ASSERT_TRUE(problem.ok());
  EXPECT_EQ(problem->string_or("code", ""), "RUN_NOT_FOUND");
  EXPECT_EQ(err_.str(), "");
}

TEST_F(CommandLine, WithoutAServerItSaysHowToStartOne) {
  EXPECT_EQ(ez({"ps", "--data", folder_}), 4);
  EXPECT_THAT(err_.str(), HasSubstr("SERVER_UNREACHABLE"));
  EXPECT_THAT(err_.str(), HasSubstr("ez up"));
}

TEST_F(CommandLine, TheTokenComesFromOptionEnvironmentOrDataDirectory) {
  desk_.answers["GET /v1/agents?limit=500"] = R"({"items":[]})";
  EXPECT_EQ(remote({"agents"}), 0);
  EXPECT_EQ(endpoint_.token_file, folder_ + "/token");
  ::setenv("EZ_TOKEN", "secret", 1);
  EXPECT_EQ(remote({"agents"}), 0);
  EXPECT_EQ(endpoint_.token, "secret");
  EXPECT_EQ(remote({"agents", "--token-file", "/t"}), 0);
  EXPECT_EQ(endpoint_.token_file, "/t");
  EXPECT_EQ(endpoint_.token, "");
  ::unsetenv("EZ_TOKEN");
}

TEST_F(CommandLine, ListsReadAllPages) {
  desk_.answers["GET /v1/runs?state=live&limit=500"] =
      R"({"items":[{"id":"r2","workflow":"a","state":"running","duration_ms":1000,)"
      R"("counts":{"total":3,"open":1}}],)"
      R"("next_cursor":"x y"})";
  desk_.answers["GET /v1/runs?state=live&limit=500&cursor=x%20y"] =
      R"({"items":[{"id":"r1","workflow":"b","state":"paused","duration_ms":2000,)"
      R"("counts":{}}],"next_cursor":null})";
  EXPECT_EQ(remote({"ps"}), 0);
  EXPECT_EQ(out_.str(),
            "RUN  WORKFLOW  STATE    DONE  FAILED  WAITS  TIME  COST\n"
            "r2   a         running  2/3   0       0      1.0s  $0.00\n"
            "r1   b         paused   0/0   0       0      2.0s  $0.00\n");
}

TEST_F(CommandLine, DecisionsCarryTheComment) {
  desk_.answers[R"(POST /v1/runs/r1/tasks/release/approve {"comment":"go"})"] = R"({"state":"succeeded"})";
  EXPECT_EQ(remote({"approve", "r1", "release", "--comment", "go"}), 0);
  EXPECT_EQ(out_.str(), "release of r1 approved; it is now succeeded.\n");
}

TEST_F(CommandLine, LogsAreOfTheNewestAttempt) {
  desk_.answers["GET /v1/runs/r1/tasks/build"] = R"({"state":"running","attempt":3})";
  EXPECT_EQ(remote({"logs", "r1", "build"}), 0);
  EXPECT_EQ(out_.str(), "printed\n");
  EXPECT_THAT(desk_.asked.back(), HasSubstr("/attempts/3/logs"));
  desk_.answers["GET /v1/runs/r1/tasks/later"] = R"({"state":"waiting","attempt":0})";
  EXPECT_EQ(remote({"logs", "r1", "later"}), 3);
}

TEST_F(CommandLine, UpAndAgentPassTheirOptionsOn) {
  EXPECT_EQ(ez({"up", "--data", folder_ + "/", "--listen", "0.0.0.0:80", "--agents", "0", "--host", "a,b",
                "--host", "c"}),
            0);
  EXPECT_EQ(served_.data, folder_);
  EXPECT_EQ(served_.listen, "0.0.0.0:80");
  EXPECT_EQ(served_.agents, 0);
  EXPECT_EQ(served_.hosts, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(served_.version, "1.2.3");
  EXPECT_EQ(ez({"up", "--data", folder_, "--agents", "-1"}), 2);
  EXPECT_EQ(ez({"up", "--data", folder_, "--agent-types", "exec,claude"}), 0);
  EXPECT_EQ(served_.agent_types, (std::vector<std::string>{"exec", "claude"}));
  EXPECT_EQ(remote({"agent", "--name", "w1", "--capacity", "4", "--capabilities", "cpp,rust"}), 0);
  EXPECT_EQ(worked_.name, "w1");
  EXPECT_EQ(worked_.capacity, 4);
  EXPECT_EQ(worked_.capabilities, (std::vector<std::string>{"cpp", "rust"}));
  EXPECT_EQ(worked_.workspaces, folder_ + "/agents/w1");
  EXPECT_EQ(worked_.types, (std::vector<std::string>{"exec"}));
  EXPECT_EQ(worked_.agents_file, "");
  EXPECT_EQ(remote({"agent", "--name", "a/b"}), 2);
  EXPECT_EQ(remote({"agent", "--type", "exec,exec"}), 2);
  EXPECT_EQ(remote({"agent", "--show", "/"}), 2);
  EXPECT_EQ(remote({"agent", "--show", folder_}), 0);
  EXPECT_EQ(worked_.shown, (std::vector<std::string>{folder_}));
  write("agents.yaml", "version: 1\ntypes:\n  reviewer: {runner: llm, models: [m7]}\n");
  EXPECT_EQ(remote({"agent", "--type", "exec,reviewer"}), 0);
  EXPECT_EQ(worked_.types, (std::vector<std::string>{"exec", "reviewer"}));
  EXPECT_EQ(worked_.agents_file, folder_ + "/agents.yaml");
  EXPECT_EQ(remote({"agent", "--list-types"}), 0);
  for (const char* text : {"claude", "reviewer", "m7"})
    EXPECT_NE(out_.str().find(text), std::string::npos) << out_.str();
  const std::string bad = write("bad.yaml", "version: 1\ntypes:\n  gpt: {modles: [m]}\n");
  EXPECT_EQ(remote({"agent", "--list-types", "--agents-file", bad}), 2);
  EXPECT_NE(err_.str().find("bad.yaml:3:9: unknown key `modles`"), std::string::npos) << err_.str();
}

TEST_F(CommandLine, ValidateNamesEveryMistakeWithItsPlace) {
  const std::string good = write("good.yaml", "name: good\ntasks:\n  - id: one\n    run: 'true'\n");
  EXPECT_EQ(ez({"workflow", "validate", good}), 0);
  EXPECT_EQ(out_.str(), good + ": valid, workflow good with 1 tasks\n");
  const std::string bad =
      write("bad.yaml", "name: bad\ntasks:\n  - id: one\n    run: 'true'\n    nonsense: 1\n");
  EXPECT_EQ(ez({"workflow", "validate", bad}), 2);
  EXPECT_THAT(err_.str(), HasSubstr(bad + ":5:"));
  EXPECT_EQ(ez({"workflow", "validate", folder_ + "/absent.yaml"}), 6);
}

TEST_F(CommandLine, RegisterShipsTheFolderOnceForEqualBytes) {
  std::filesystem::create_directories(folder_ + "/scripts/sub");
  write("scripts/a.sh", "same");
  write("scripts/sub/b.sh", "same");
  std::filesystem::permissions(folder_ + "/scripts/a.sh", std::filesystem::perms::owner_all);
  const std::string file = write("w.yaml", "name: w\nfiles: scripts\ntasks:\n  - id: one\n    run: 'true'\n");
  EXPECT_EQ(remote({"workflow", "register", file}),
            3);  // the desk knows no answer; what was asked is what counts
  ASSERT_EQ(desk_.asked.size(), 2U);
  EXPECT_THAT(desk_.asked[0], HasSubstr("PUT /v1/artifacts/"));
  EXPECT_THAT(desk_.asked[1], HasSubstr(R"("mode":493,"path":"a.sh")"));
  EXPECT_THAT(desk_.asked[1], HasSubstr(R"("mode":420,"path":"sub/b.sh")"));
}

TEST_F(CommandLine, ShippedLinksAreRefused) {
  std::filesystem::create_directories(folder_ + "/scripts");
  std::filesystem::create_symlink("/etc/passwd", folder_ + "/scripts/link");
  const std::string file = write("w.yaml", "name: w\nfiles: scripts\ntasks:\n  - id: one\n    run: 'true'\n");
  EXPECT_EQ(remote({"workflow", "register", file}), 2);
  EXPECT_THAT(err_.str(), HasSubstr("link is not a regular file"));
  EXPECT_TRUE(desk_.asked.empty());
}

TEST_F(CommandLine, InputsAreReadAsTheWorkflowDeclaresThem) {
  const auto parsed = orchestration::parse_workflow(
      "name: w\ninputs:\n  repo: {type: git}\n  depth: {type: int, default: 5}\n  names: {type: list, "
      "default: []}\n"
      "tasks:\n  - id: one\n    run: 'true'\n");
  ASSERT_TRUE(parsed.ok());
  const auto inputs = read_inputs(*parsed.workflow, {"repo=.", "names=[\"a\"]", "depth=7"});
  ASSERT_TRUE(inputs.ok());
  EXPECT_EQ(inputs->string_or("repo", ""),
            std::filesystem::weakly_canonical(std::filesystem::current_path()).string());
  EXPECT_EQ(to_json(*inputs->find("names")), "[\"a\"]");
  EXPECT_EQ(read_inputs(*parsed.workflow, {"depht=7"}).error().code(), Code::InputInvalid);
  EXPECT_EQ(read_inputs(*parsed.workflow, {"depth"}).error().code(), Code::InvalidArgument);
  EXPECT_EQ(read_inputs(*parsed.workflow, {"names=a"}).error().code(), Code::InputInvalid);
  EXPECT_EQ(read_inputs(*parsed.workflow, {"depth=1", "depth=2"}).error().code(), Code::InvalidArgument);
}

TEST_F(CommandLine, CompletionKnowsEveryCommandAndOption) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    EXPECT_EQ(ez({"completion", shell}), 0);
    EXPECT_THAT(out_.str(), HasSubstr("idempotency-key"));
    EXPECT_THAT(out_.str(), HasSubstr("validate"));
  }
  EXPECT_EQ(ez({"completion", "tcsh"}), 2);
}

TEST_F(CommandLine, RunsAreChosenByWords) {
  desk_.answers
      ["GET /v1/runs?created_from=2026-11-22&label%5Benv%5D=prod&label%5Bteam%5D=a%3Db&text=VER&limit=500"] =
      R"({"items":[{"id":"r7","workflow":"w","state":"failed","labels":{"env":"prod"},"duration_ms":5}]})";
  EXPECT_EQ(remote({"ps", "--all", "--label", "team=a=b", "--label", "env=prod", "--text", "VER",
                    "--created-from", "2026-11-22", "--labels"}),
            0)
      << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("env=prod"));
  EXPECT_THAT(out_.str(), HasSubstr("LABELS"));
  desk_.answers["GET /v1/runs?error=X&limit=500"] = R"({"items":[]})";
  EXPECT_EQ(remote({"ps", "--error", "X"}), 0) << "only finished runs have one";
  desk_.answers[R"(POST /v1/batches {"action":"pause","preview":true,)"
                R"("where":{"label":{"env":"prod"},"workflow":"w"}})"] = R"({"matched":0,"examined":3})";
  EXPECT_EQ(remote({"batch", "pause", "--workflow", "w", "--label", "env=prod"}), 0) << err_.str();
  for (const std::vector<std::string>& bad : {std::vector<std::string>{"ps", "--label", "env"},
                                              {"ps", "--label", "=x"},
                                              {"ps", "--label", "env="},
                                              {"ps", "--label", "a=1", "--label", "a=2"},
                                              {"batch", "pause"},
                                              {"run", "--from", "r1", "--task", "a", "--label", "a=1"}}) {
    EXPECT_EQ(remote(bad), 2) << bad[0];
  }
}

}  // namespace
}  // namespace ez::cli
