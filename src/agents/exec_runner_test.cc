#include "agents/exec_runner.h"

#include <gtest/gtest.h>

#include <thread>

#include "agents/test_ports.h"
#include "base/json.h"

namespace ez::agents {
namespace {

class ExecRunnerTest : public ::testing::Test {
 protected:
  void SetUp() override { EZ_NEED_SANDBOX(); }
  static WorkspaceManager::Options options(const TempDir& dir) {
    WorkspaceManager::Options options;
    options.root = dir / "workspaces";
    options.reserve_bytes = 1 << 20;
    options.max_idle = 0;
    return options;
  }
  WorkItem item(const std::string& task, const std::string& command, const std::string& mode = "write") {
    WorkItem item;
    item.run = "r1";
    item.task = task;
    item.attempt = 1;
    item.fence = Fence{7};
    item.run_command = command;
    item.start_to_close_ms = 60'000;
    item.workspace.mode = mode;
    item.workspace.repository = repository_;
    item.workspace.run_branch = "ez/r1";
    item.workspace.branch = "ez/r1/" + task + ".1";
    return item;
  }
  TaskResult run(const WorkItem& item) {
    // Through JSON, as a real item comes and a real result goes.
    auto parsed = parse_work_item(*parse_json(to_json(to_value(item))));
    EXPECT_TRUE(parsed.ok()) << parsed.error().to_string();
    auto result = parse_task_result(*parse_json(to_json(to_value(runner_.run(*parsed, log_, cancel_)))));
    EXPECT_TRUE(result.ok()) << result.error().to_string();
    EXPECT_EQ(user_shell(dir_.path(), "ls workspaces 2>/dev/null || true"), "");
    return *result;
  }
  WorkItem merge_item(const TaskResult& done, const std::string& verify = "") {
    WorkItem merge = item(done.task, "");
    merge.kind = WorkKind::kMerge;
    merge.merge = {done.branch, done.commit, "ez/r1", "Merge " + done.task, verify};
    return merge;
  }
  std::string git(const std::string& arguments) { return user_shell(repository_, "git " + arguments); }

  TempDir dir_;
  std::string repository_ = make_repository(dir_);
  Sandbox sandbox_;
  WorkspaceManager workspaces_{options(dir_)};
  FolderArtifacts artifacts_{dir_ / "blobs"};
  ExecRunner runner_{sandbox_, workspaces_, artifacts_};
  MemoryLog log_;
  CancelToken cancel_;
};

TEST_F(ExecRunnerTest, RunsATaskWithEverythingAndMergesIt) {
  WorkItem work = item("build", R"(
echo "task $EZ_TASK attempt $EZ_ATTEMPT of $EZ_RUN says $GREETING"
cat $EZ_INPUT; echo
cat $EZ_DEPENDENCIES/fetch/data/list.txt $EZ_FILES/tool.sh
sh $EZ_FILES/tool.sh > made.txt
mkdir -p report/deep; echo r > report/deep/a.md; echo x > report/b.txt
echo kept > $EZ_ARTIFACTS/extra.log
echo '{"changed": 2}' > $EZ_OUTPUT
)");
  work.env = {{"GREETING", "hi there"}};
  work.verify = "test -f made.txt";
  work.artifacts = {"report/**/*.md"};
  work.inputs = Value::Map{{"depth", 5}};
  Dependency fetch;
  fetch.state = "succeeded";
  fetch.output_blob = artifacts_.put("{\"n\":3}");
  fetch.artifacts = {{"data/list.txt", artifacts_.put("one\n"), 4}};
  work.dependencies["fetch"] = fetch;
  work.files = {{"tool.sh", artifacts_.put("echo made\n"), 0755}};
  const TaskResult done = run(work);
  ASSERT_EQ(done.outcome, Outcome::kSucceeded) << done.error_code << " " << done.error_message << "\n"
                                               << log_.text();
  EXPECT_EQ(done.exit_code, 0);
  EXPECT_EQ(to_json(done.output), "{\"changed\":2}");
  ASSERT_EQ(done.artifacts.size(), 2U);
  EXPECT_EQ(done.artifacts[0].name, "extra.log");
  EXPECT_EQ(artifacts_.get(done.artifacts[0].sha256), "kept\n");
  EXPECT_EQ(done.artifacts[1].name, "report/deep/a.md");
  EXPECT_EQ(done.changed_files, 3);
  EXPECT_EQ(git("show " + done.commit + ":made.txt"), "made");
  for (const char* text : {"task build attempt 1 of r1 says hi there\n", "\"depth\":5",
                           "\"output\":{\"n\":3}", "one\n", "echo made\n"}) {
    EXPECT_NE(log_.text().find(text), std::string::npos) << text << " in " << log_.text();
  }
  const std::size_t logged = log_.text().size();
  const TaskResult merged = run(merge_item(done, "test -f made.txt && echo checked"));
  ASSERT_EQ(merged.outcome, Outcome::kSucceeded) << merged.error_code << " " << merged.error_message;
  EXPECT_TRUE(merged.merged);
  EXPECT_EQ(git("rev-parse ez/r1"), merged.head);
  EXPECT_NE(log_.text().find("checked\n", logged), std::string::npos);  // appended to the same log
  const TaskResult again = run(merge_item(done));
  EXPECT_EQ(again.outcome, Outcome::kSucceeded);
  EXPECT_FALSE(again.merged);
}

TEST_F(ExecRunnerTest, AFailingCommandKeepsItsWork) {
  const TaskResult done = run(item("t", "echo half > half.txt; false | true; echo not reached"));
  EXPECT_EQ(done.outcome, Outcome::kFailed);
  EXPECT_EQ(done.error_code, "COMMAND_FAILED");
  EXPECT_EQ(done.exit_code, 1);
  EXPECT_EQ(log_.text().find("not reached"), std::string::npos);
  EXPECT_EQ(git("show " + done.branch + ":half.txt"), "half");
}

TEST_F(ExecRunnerTest, VerifyDecides) {
  WorkItem work = item("t", "echo x > x.txt");
  work.verify = "test -f y.txt";
  const TaskResult done = run(work);
  EXPECT_EQ(done.error_code, "VERIFY_FAILED");
  WorkItem good = item("u", "echo x > x.txt");
  const TaskResult ready = run(good);
  const std::string head = git("rev-parse ez/r1");
  const TaskResult refused = run(merge_item(ready, "exit 4"));
  EXPECT_EQ(refused.outcome, Outcome::kFailed);
  EXPECT_EQ(refused.error_code, "VERIFY_FAILED");
  EXPECT_EQ(refused.exit_code, 4);
  EXPECT_EQ(git("rev-parse ez/r1"), head);
}

TEST_F(ExecRunnerTest, ConflictIsAnOutcome) {
  const TaskResult a = run(item("a", "sed -i s/3/A/ src/a.txt"));
  const TaskResult b = run(item("b", "sed -i s/3/B/ src/a.txt"));
  EXPECT_EQ(run(merge_item(a)).outcome, Outcome::kSucceeded);
  const TaskResult conflict = run(merge_item(b));
  EXPECT_EQ(conflict.outcome, Outcome::kConflict);
  EXPECT_EQ(conflict.error_code, "MERGE_CONFLICT");
  EXPECT_NE(conflict.conflict.find("=======\nB\n"), std::string::npos) << conflict.conflict;
}

TEST_F(ExecRunnerTest, LinksAndOddFilesNeverBecomeArtifacts) {
  spill(dir_ / "secret", "top secret");
  for (const std::string& script :
       {"ln -s " + (dir_ / "secret") + " $EZ_ARTIFACTS/x", std::string("ln -s /etc/passwd out.md"),
        std::string("mkfifo $EZ_ARTIFACTS/pipe"), std::string("ln -s /etc/passwd $EZ_OUTPUT"),
        std::string("ln -s nowhere $EZ_OUTPUT"), std::string("mkdir $EZ_OUTPUT")}) {
    WorkItem work = item("t", script, "none");
    work.artifacts = {"*.md"};
    const TaskResult done = run(work);
    EXPECT_EQ(done.outcome, Outcome::kFailed) << script;
    EXPECT_EQ(done.error_code, "ARTIFACT_INVALID") << script << " " << done.error_message;
    EXPECT_TRUE(done.artifacts.empty());
  }
  // A folder that is a link is not entered.
  WorkItem work = item("t", "ln -s /etc etc; mkdir d; echo y > d/passwd", "none");
  work.artifacts = {"*/passwd"};
  const TaskResult done = run(work);
  ASSERT_EQ(done.artifacts.size(), 1U);
  EXPECT_EQ(artifacts_.get(done.artifacts[0].sha256), "y\n");
}

TEST_F(ExecRunnerTest, OutputIsCheckedAndLargeOutputBecomesABlob) {
  EXPECT_EQ(run(item("t", "echo '{oops' > $EZ_OUTPUT", "none")).error_code, "JSON_INVALID");
  EXPECT_EQ(run(item("t", "head -c 1100000 /dev/zero | tr '\\0' ' ' > $EZ_OUTPUT", "none")).error_code,
            "PAYLOAD_TOO_LARGE");
  const TaskResult large =
      run(item("t", "(printf '\"'; head -c 40000 /dev/zero | tr '\\0' x; printf '\"') > $EZ_OUTPUT", "none"));
  EXPECT_EQ(large.outcome, Outcome::kSucceeded) << large.error_message;
  EXPECT_TRUE(large.output.is_null());
  EXPECT_EQ(artifacts_.get(large.output_blob).size(), 40'002U);
}

TEST_F(ExecRunnerTest, TimeAndLimitsHaveNames) {
  WorkItem slow = item("t", "echo began > f; exec sleep 600");
  slow.start_to_close_ms = 1500;
  const TaskResult timeout = run(slow);
  EXPECT_EQ(timeout.error_code, "COMMAND_TIMEOUT");
  EXPECT_LT(timeout.duration_ms, 30'000);
  WorkItem big = item("t", "head -c 30000000 /dev/zero > f");
  big.sandbox.disk_mb = 10;
  const TaskResult disk = run(big);
  EXPECT_EQ(disk.error_code, "DISK_LIMIT");
  EXPECT_EQ(disk.commit, "");  // what broke the limit does not go into the repository
  WorkItem loud = item("t", "yes", "none");
  loud.sandbox.output_mb = 1;
  EXPECT_EQ(run(loud).error_code, "OUTPUT_LIMIT");
  WorkItem other = item("t", "true", "none");
  other.agent_type = "claude";
  EXPECT_EQ(run(other).error_code, "REQUEST_INVALID");
}

TEST_F(ExecRunnerTest, CancelKeepsTheWorkAndSaysCancelled) {
  std::thread canceller;
  WorkItem work = item("t", "echo some > some.txt; sync; echo ready; exec sleep 600");
  canceller = std::thread([this] {
    while (log_.text().find("ready") == std::string::npos) std::this_thread::yield();
    cancel_.cancel();
  });
  const TaskResult done = run(work);
  canceller.join();
  EXPECT_EQ(done.outcome, Outcome::kCancelled);
  EXPECT_EQ(done.error_code, "TASK_CANCELLED");
  EXPECT_EQ(git("show " + done.branch + ":some.txt"), "some");
}

// Whatever it was stopped for: what is more than allowed does not go into the repository.
TEST_F(ExecRunnerTest, WhatFillsTheDiskWhileItIsStoppedIsNotKept) {
  WorkItem work = item("t",
                       "trap 'fallocate -l 9M one; fallocate -l 9M two; echo filled; exit' TERM\n"
                       "echo some > some.txt; echo ready; while :; do :; done");
  work.sandbox.disk_mb = 10;
  std::thread canceller([this] {
    while (log_.text().find("ready") == std::string::npos) std::this_thread::yield();
    cancel_.cancel();
  });
  const TaskResult done = run(work);
  canceller.join();
  EXPECT_EQ(done.error_code, "TASK_CANCELLED");
  EXPECT_NE(log_.text().find("filled"), std::string::npos);
  EXPECT_EQ(done.commit, "");
  EXPECT_EQ(git("log --all --format=%s -- some.txt"), "");
}

TEST_F(ExecRunnerTest, TheLogArrivesWholeOverABadWire) {
  log_.fail_next(5);
  const TaskResult done = run(item("t", "seq 1 60000", "none"));
  EXPECT_EQ(done.outcome, Outcome::kSucceeded);
  std::string expected;
  for (int i = 1; i <= 60'000; ++i) expected += std::to_string(i) + "\n";
  EXPECT_EQ(log_.text(), expected);
}

TEST_F(ExecRunnerTest, WithoutASandboxNothingRuns) {
  const Sandbox broken(Sandbox::Options{"/bin/false", {}});
  ExecRunner runner(broken, workspaces_, artifacts_);
  const TaskResult done = runner.run(item("t", "touch " + (dir_ / "ran"), "none"), log_, cancel_);
  EXPECT_EQ(done.error_code, "SANDBOX_UNAVAILABLE");
  EXPECT_NE(::access((dir_ / "ran").c_str(), F_OK), 0);
}

TEST(Globs, Match) {
  EXPECT_TRUE(matches_glob("report/*.md", "report/a.md"));
  EXPECT_FALSE(matches_glob("report/*.md", "report/deep/a.md"));
  EXPECT_TRUE(matches_glob("report/**/*.md", "report/a.md"));
  EXPECT_TRUE(matches_glob("**", "a/b/c"));
  EXPECT_TRUE(matches_glob("**/x/**/y", "x/1/2/y"));
  EXPECT_FALSE(matches_glob("**/x/**/y", "z/1/2/y"));
  EXPECT_TRUE(matches_glob("[ab]?.txt", "b1.txt"));
  EXPECT_FALSE(matches_glob("a", "a/b"));
  EXPECT_FALSE(
      matches_glob("**/a/**/a/**/a/**/a/**/a/**/b", std::string(400, 'a') + "/a/a/a/a/a/a/a/a/a/a/a/a/a/a"));
}

TEST(WorkItems, ReadBackAndRefuseWhatIsWrong) {
  const auto parse = [](const std::string& text) { return parse_work_item(*parse_json(text)); };
  const std::string good =
      R"({"run":"r12","task":"convert.3","attempt":2,"fence":99,"kind":"execute","namespace":"default",
    "workflow":"w","workflow_version":3,"lease":{"heartbeat_ms":30000,"start_to_close_ms":60000},
    "agent":{"type":"exec"},
    "run_command":"make","env":{"A":"b"},"verify":"make test","inputs":{"x":[1,2.5,null]},
    "item":"i","index":3,
    "dependencies":{"a":{"state":"succeeded","output":1,"artifacts":[]}},
    "workspace":{"mode":"write","repository":"/r","base":"main","run_branch":"b","branch":"c"},
    "artifacts":["*.md"],
    "sandbox":{"network":true,"memory_mb":1,"processes":2,"output_mb":3,"disk_mb":4,"cpu_s":5},
    "files":[],"traceparent":"00-1-2-03"})";
  const auto item = parse(good);
  ASSERT_TRUE(item.ok()) << item.error().to_string();
  EXPECT_EQ(item->sandbox, (SandboxLimits{true, 1, 2, 3, 4, 5}));
  EXPECT_EQ(to_json(to_value(*item)), to_json(*parse_json(good)));
  const std::pair<const char*, const char*> bad[] = {
      {R"([])", "object"},
      {R"({"run":"12","task":"t","attempt":1,"fence":1})", "run"},
      {R"({"run":"r1","task":"../t","attempt":1,"fence":1})", "task"},
      {R"({"run":"r1","task":"t","attempt":0,"fence":1})", "attempt"},
      {R"({"run":"r1","task":"t","attempt":1,"fence":-1})", "fence"},
      {R"({"run":"r1","task":"t","attempt":1,"fence":1,"kind":"other"})", "kind"},
      {R"({"run":"r1","task":"t","attempt":1,"fence":1,"kind":"merge"})", "merge"},
      {R"({"run":"r1","task":"t","attempt":1,"fence":1,"sandbox":{"memory_mb":"2"}})", "sandbox.memory_mb"},
      {R"({"run":"r1","task":"t","attempt":1,"fence":1,"artifacts":["../x"]})", "artifacts[0]"},
      {R"({"run":"r1","task":"t","attempt":1,"fence":1,"files":[{"path":"/x","sha256":"00"}]})",
       "files[0].path"},
      {R"({"run":"r1","task":"t","attempt":1,"fence":1,"workspace":{"mode":"all"}})", "workspace.mode"}};
  for (const auto& [text, where] : bad) {
    const auto refused = parse(text);
    ASSERT_FALSE(refused.ok()) << text;
    EXPECT_EQ(refused.error().code(), Code::RequestInvalid);
    EXPECT_NE(refused.error().message().find(where), std::string::npos) << refused.error().message();
  }
  for (const char* path : {"", "/a", "a/", "a//b", "..", "a/../b", ".", "a/."})
    EXPECT_FALSE(is_safe_path(path)) << path;
  for (const char* path : {"a", "a/b", "..a", ".git/x"}) EXPECT_TRUE(is_safe_path(path)) << path;
}

}  // namespace
}  // namespace ez::agents
