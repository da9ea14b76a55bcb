#include "agents/resolver.h"

#include <gtest/gtest.h>

#include <thread>

#include "agents/exec_runner.h"
#include "agents/test_ports.h"
#include "base/json.h"

namespace ez::agents {
namespace {

// Two tasks that change the same line (or fit as texts and not as a whole), merged one after the other.
class ResolverTest : public ::testing::Test {
 protected:
  void SetUp() override { EZ_NEED_SANDBOX(); }
  static WorkspaceManager::Options places(const TempDir& dir) {
    WorkspaceManager::Options options;
    options.root = dir / "workspaces";
    options.reserve_bytes = 1 << 20;
    return options;
  }
  WorkItem item(const std::string& task, const std::string& command) {
    WorkItem item;
    item.run = "r1";
    item.task = task;
    item.attempt = 1;
    item.fence = Fence{7};
    item.run_command = command;
    item.start_to_close_ms = 60'000;
    item.workspace.mode = "write";
    item.workspace.repository = repository_;
    item.workspace.run_branch = "ez/r1";
    item.workspace.branch = "ez/r1/" + task + ".1";
    return item;
  }
  // Through JSON, as a real item comes and a real result goes.
  TaskResult run(const WorkItem& item) {
    auto parsed = parse_work_item(*parse_json(to_json(to_value(item))));
    EXPECT_TRUE(parsed.ok()) << parsed.error().to_string();
    auto result = parse_task_result(*parse_json(to_json(to_value(runner_.run(*parsed, log_, cancel_)))));
    EXPECT_TRUE(result.ok()) << result.error().to_string();
    return *result;
  }
  // Does both tasks, merges the first, and gives the item that merges the second with a resolver.
  WorkItem second_merge(const std::string& first, const std::string& second, const std::string& resolver,
                        const std::string& verify = "") {
    const TaskResult a = run(item("a", first));
    const TaskResult b = run(item("b", second));
    EXPECT_EQ(run(merge_item(a, "")).outcome, Outcome::kSucceeded) << log_.text();
    head_ = git("rev-parse ez/r1");
    WorkItem merge = merge_item(b, verify);
    ResolverNeed need;
    need.run_command = resolver;
    need.tries = 2;
    merge.merge.resolver = need;
    return merge;
  }
  WorkItem merge_item(const TaskResult& done, const std::string& verify) {
    EXPECT_EQ(done.outcome, Outcome::kSucceeded) << log_.text();
    WorkItem merge = item(done.task, "");
    merge.kind = WorkKind::kMerge;
    merge.merge = {done.branch, done.commit, "ez/r1", "Merge " + done.task, verify};
    return merge;
  }
  WorkItem conflict(const std::string& resolver, const std::string& verify = "") {
    return second_merge("sed -i s/3/A/ src/a.txt; echo a > of-a", "sed -i s/3/B/ src/a.txt; echo b > of-b",
                        resolver, verify);
  }
  // Everything as before the merge, and a person is asked.
  void expect_untouched(const TaskResult& result, const std::vector<std::string>& codes) {
    EXPECT_EQ(result.outcome, Outcome::kConflict) << log_.text();
    EXPECT_EQ(git("rev-parse ez/r1"), head_);
    EXPECT_EQ(codes_of(result), codes) << log_.text();
    expect_nothing_left();
  }
  void expect_merged(const TaskResult& result, const std::vector<std::string>& codes) {
    EXPECT_EQ(result.outcome, Outcome::kSucceeded) << log_.text();
    EXPECT_TRUE(result.merged);
    EXPECT_EQ(git("rev-parse ez/r1"), result.head);
    EXPECT_EQ(git("rev-parse ez/r1^1"), head_);
    EXPECT_EQ(codes_of(result), codes) << log_.text();
    expect_nothing_left();
  }
  void expect_nothing_left() {
    EXPECT_EQ(user_shell(repository_, "find .git -name MERGE_HEAD -o -name '*.lock' ! -name ez.lock"), "");
    EXPECT_EQ(git("status --porcelain"), "");
  }
  static std::vector<std::string> codes_of(const TaskResult& result) {
    std::vector<std::string> codes;
    for (const ResolverTry& one : result.resolver_tries) codes.push_back(one.error_code);
    return codes;
  }
  std::string git(const std::string& arguments) { return user_shell(repository_, "git " + arguments); }
  bool logged(const std::string& text) { return log_.text().find(text) != std::string::npos; }

  TempDir dir_;
  std::string repository_ = make_repository(dir_);
  std::string head_;
  Sandbox sandbox_;
  WorkspaceManager workspaces_{places(dir_)};
  FolderArtifacts artifacts_{dir_ / "blobs"};
  ExecRunner runner_{sandbox_, workspaces_, artifacts_};
  MemoryLog log_;
  CancelToken cancel_;
};

TEST_F(ResolverTest, GetsTheThreeSidesAndTheMergeInProgress) {
  const TaskResult done = run(conflict(R"sh(
cd /workspace
for side in base ours theirs; do echo "$side: $(sed -n 3p $EZ_MERGE/$side/src/a.txt)"; done
echo "status: $(git status --porcelain src/a.txt)"
echo "theirs again: $(git show :3:src/a.txt | sed -n 3p)"
echo "asked: $(cat $EZ_MERGE/merge.json)"
grep -c CONFLICT $EZ_MERGE/conflict.txt
sed -n '/^<<<<<<</,/^>>>>>>>/p' src/a.txt
sed -i -e '/^<<<<<<< ours$/d' -e '/^=======$/d' -e '/^>>>>>>> theirs$/d' src/a.txt
)sh",
                                       "test -f of-a && test -f of-b && ! grep -q '<<<' src/a.txt"));
  expect_merged(done, {""});
  EXPECT_EQ(done.resolver_type, "exec");
  EXPECT_EQ(git("show ez/r1:src/a.txt"), "1\n2\nA\nB\n4\n5");
  for (const char* text :
       {"base: 3\n", "ours: A\n", "theirs: B\n", "status: UU src/a.txt\n", "theirs again: B\n",
        R"("files":[{"base":true,"ours":true,"path":"src/a.txt","theirs":true}])",
        R"("allowed":["src/a.txt"])", R"("tries":2,"try":1)", "<<<<<<< ours\nA\n=======\nB\n>>>>>>> theirs\n",
        "[ez] resolver exec, try 1 of 2: the merge conflicts in src/a.txt"}) {
    EXPECT_TRUE(logged(text)) << text << " in " << log_.text();
  }
}

TEST_F(ResolverTest, MarkersThatAreLeftAreNotTaken) {
  expect_untouched(run(conflict("true")), {"MERGE_CONFLICT", "MERGE_CONFLICT"});
  EXPECT_TRUE(logged("a conflict marker is left in src/a.txt, line 3"));
}

TEST_F(ResolverTest, OneOfTheThreeMarkersIsEnough) {
  for (const char* sign : {"<<<<<<<", "=======", ">>>>>>>"}) {
    const std::string keep = std::string("sed -i -e '/^[<=>]\\{7\\}/{/^") + sign + "/!d}' src/a.txt";
    expect_untouched(run(conflict(keep)), {"MERGE_CONFLICT", "MERGE_CONFLICT"});
    git("update-ref -d refs/heads/ez/r1");
    git("branch --list 'ez/*' --format='%(refname:short)' | xargs -r git branch -qD");
  }
}

TEST_F(ResolverTest, OtherFilesStayAsTheyAre) {
  const std::string settle = "sed -i '/^[<=>]\\{7\\}/d' src/a.txt; ";
  // The second try is told why the first was not taken, and behaves.
  const TaskResult done = run(conflict(settle + R"sh(
if ! grep -q '"try":1' $EZ_MERGE/merge.json; then cat $EZ_MERGE/merge.json; exit; fi
echo x > README; echo y > of-b
)sh"));
  expect_merged(done, {"MERGE_CONFLICT", ""});
  EXPECT_TRUE(logged("no part of this: README, of-b")) << log_.text();
  EXPECT_TRUE(logged(R"("earlier":[{"code":"MERGE_CONFLICT","message":"it changed files)"));
  EXPECT_EQ(git("show ez/r1:README"), "hello");
  EXPECT_EQ(git("show ez/r1:of-b"), "b");
}

TEST_F(ResolverTest, WhatBothSidesHaveIsNotDeletedOrMadeALink) {
  const TaskResult done = run(conflict(R"sh(
if grep -q '"try":1' $EZ_MERGE/merge.json; then rm src/a.txt; else ln -sf /etc/passwd src/a.txt; fi
)sh"));
  expect_untouched(done, {"MERGE_CONFLICT", "MERGE_CONFLICT"});
  EXPECT_TRUE(logged("it deleted src/a.txt, which both sides have"));
  EXPECT_TRUE(logged("src/a.txt is no regular file any more"));
}

TEST_F(ResolverTest, ARepositoryOfItsOwnIsNotTaken) {
  expect_untouched(
      run(conflict("sed -i '/^[<=>]\\{7\\}/d' src/a.txt; git init -q src/evil; echo x > src/evil/x")),
      {"MERGE_CONFLICT", "MERGE_CONFLICT"});
  EXPECT_TRUE(logged("it made a repository of its own: src/evil/.git"));
}

TEST_F(ResolverTest, WhatIsMergedHasPassedTheCheck) {
  // The first result has no markers and fails; the second try sees the check, goes on from there, and may now
  // change what one of the sides changed.
  const TaskResult done = run(conflict(R"sh(
if [ ! -f $EZ_MERGE/check.txt ]; then sed -i '/^[<=>]\{7\}/d' src/a.txt; exit; fi
echo "told: $(cat $EZ_MERGE/check.txt)"
! grep -q '<<<' src/a.txt
echo "may: $(cat $EZ_MERGE/merge.json)"
echo both > of-b
)sh",
                                       "echo of-b has $(cat of-b); grep -q both of-b"));
  expect_merged(done, {"VERIFY_FAILED", ""});
  EXPECT_TRUE(logged("told: of-b has b\n"));
  EXPECT_TRUE(logged(R"("allowed":["of-a","of-b","src/a.txt"])")) << log_.text();
  EXPECT_EQ(git("show ez/r1:of-b"), "both");
}

TEST_F(ResolverTest, TextsThatMergeAndDoNotFit) {
  const TaskResult done = run(
      second_merge("mkdir lib; echo 'greet() { echo hi; }' > lib/greet.sh; echo keep > other",
                   "echo '. ./lib/greet.sh; hello' > main.sh",
                   "test ! -e $EZ_MERGE/conflict.txt; cat $EZ_MERGE/check.txt; sed -i s/hello/greet/ main.sh",
                   "sh -e main.sh"));
  expect_merged(done, {""});
  EXPECT_TRUE(logged("resolver exec, try 1 of 2: the check fails on the merged tree"));
  EXPECT_EQ(git("show ez/r1:main.sh"), ". ./lib/greet.sh; greet");
}

TEST_F(ResolverTest, AfterTheLastTryAPersonSeesTheCheck) {
  const TaskResult done =
      run(second_merge("echo a > of-a", "echo b > of-b",
                       "grep -q '\"try\":1' $EZ_MERGE/merge.json || echo c > of-b", "echo sad; exit 3"));
  expect_untouched(done, {"MERGE_CONFLICT", "VERIFY_FAILED"});
  EXPECT_EQ(done.error_code, "VERIFY_FAILED");
  EXPECT_NE(done.conflict.find("the check fails on the merged tree.\nsad"), std::string::npos)
      << done.conflict;
  EXPECT_TRUE(logged("it changed nothing, so the check would fail again"));
}

TEST_F(ResolverTest, WithoutAResolverAFailedCheckIsAFailure) {
  WorkItem merge = second_merge("echo a > of-a", "echo b > of-b", "true", "exit 3");
  merge.merge.resolver.reset();
  const TaskResult done = run(merge);
  EXPECT_EQ(done.outcome, Outcome::kFailed);
  EXPECT_EQ(done.error_code, "VERIFY_FAILED");
  EXPECT_TRUE(done.resolver_tries.empty());
}

TEST_F(ResolverTest, OneThatHangsIsStopped) {
  WorkItem merge = conflict("echo begun; sleep 600");
  merge.merge.resolver->timeout_ms = 700;
  const TaskResult done = run(merge);
  expect_untouched(done, {"COMMAND_TIMEOUT", "COMMAND_TIMEOUT"});
  EXPECT_LT(done.duration_ms, 30'000);
  EXPECT_EQ(done.error_code, "MERGE_CONFLICT");
}

TEST_F(ResolverTest, OneThatIsKilledOrFails) {
  expect_untouched(run(conflict("grep -q '\"try\":1' $EZ_MERGE/merge.json && kill -9 $$; exit 9")),
                   {"COMMAND_FAILED", "COMMAND_FAILED"});
}

TEST_F(ResolverTest, TheWholeMergeHasItsTime) {
  WorkItem merge = conflict("sleep 600");
  merge.start_to_close_ms = 1'500;
  const TaskResult done = run(merge);
  EXPECT_EQ(done.outcome, Outcome::kFailed);
  EXPECT_EQ(done.error_code, "COMMAND_TIMEOUT");
  EXPECT_EQ(codes_of(done), std::vector<std::string>{"TASK_CANCELLED"});
  EXPECT_EQ(git("rev-parse ez/r1"), head_);
  expect_nothing_left();
}

TEST_F(ResolverTest, CancellingEndsItAtOnce) {
  const WorkItem merge = conflict("echo begun; sleep 600");
  TaskResult done;
  std::thread work([&] { done = run(merge); });
  while (!logged("begun\n")) std::this_thread::yield();
  cancel_.cancel();
  work.join();
  EXPECT_EQ(done.outcome, Outcome::kCancelled) << done.error_message;
  EXPECT_EQ(git("rev-parse ez/r1"), head_);
  expect_nothing_left();
}

TEST_F(ResolverTest, AFileThatOneSideDeletedHasMarkersToo) {
  const std::string first = "git rm -q --cached src/a.txt 2>/dev/null || true; rm src/a.txt";
  const std::string second = "sed -i s/3/B/ src/a.txt";
  const TaskResult kept = run(second_merge(first, second, "cat src/a.txt"));
  expect_untouched(kept, {"MERGE_CONFLICT", "MERGE_CONFLICT"});
  EXPECT_TRUE(logged("<<<<<<< ours (deleted)\n=======\n1\n2\nB\n4\n5\n>>>>>>> theirs\n")) << log_.text();
  git("update-ref -d refs/heads/ez/r1");
  git("branch --list 'ez/*' --format='%(refname:short)' | xargs -r git branch -qD");
  expect_merged(run(second_merge(first, second, "rm src/a.txt")), {""});
  EXPECT_EQ(git("ls-tree ez/r1 src/a.txt"), "");
}

TEST_F(ResolverTest, ABinaryFileIsTakenWholeFromOneSide) {
  user_shell(repository_, "printf 'a\\0b' > data.bin; chmod +x data.bin; git add -A; git commit -qm binary");
  const TaskResult done = run(second_merge("printf 'a\\0A' > data.bin", "printf 'a\\0B' > data.bin",
                                           "cat data.bin; cp $EZ_MERGE/theirs/data.bin data.bin"));
  expect_merged(done, {""});
  EXPECT_TRUE(logged("binary: /ez/merge/ours/data.bin\n")) << log_.text();
  EXPECT_EQ(git("show ez/r1:data.bin | od -c | head -1"), "0000000   a  \\0   B");
  EXPECT_EQ(git("ls-tree --format='%(objectmode)' ez/r1 data.bin"), "100755");
}

TEST_F(ResolverTest, WhatOnlyAPersonSettlesIsNotTried) {
  const TaskResult done = run(second_merge("ln -sf A link", "ln -sf B link", "touch never"));
  EXPECT_EQ(done.outcome, Outcome::kConflict);
  EXPECT_TRUE(done.resolver_tries.empty());
  EXPECT_EQ(done.resolver_type, "");
}

TEST_F(ResolverTest, AWorkerThatDoesNotKnowTheTypeSaysSo) {
  WorkItem merge = conflict("");
  merge.merge.resolver->agent_type = "claude";
  const TaskResult done = run(merge);
  expect_untouched(done, {"AGENT_TYPE_UNKNOWN"});  // a second try would say the same
  EXPECT_EQ(done.resolver_type, "claude");
}

TEST_F(ResolverTest, TheBranchMayMoveMeanwhile) {
  WorkItem merge = conflict("sed -i '/^[<=>]\\{7\\}/d' src/a.txt", "");
  // Somebody else moves the run branch during the first round; the tries of all rounds are counted.
  bool moved = false;
  const auto move = [&](const WorkItem& of_try) -> Result<std::unique_ptr<Attempt::Body>> {
    struct Body final : Attempt::Body {
      explicit Body(std::function<void(Attempt&)> work) : work_(std::move(work)) {}
      Status work(Attempt& attempt) override {
        work_(attempt);
        return {};
      }
      std::function<void(Attempt&)> work_;
    };
    EXPECT_EQ(of_try.agent_type, "scripted");
    return std::unique_ptr<Attempt::Body>(new Body([&](Attempt& attempt) {
      user_shell(attempt.workspace().tree(), "sed -i '/^[<=>]\\{7\\}/d' src/a.txt");
      if (moved) return;
      moved = true;
      const std::string tree = git("rev-parse ez/r1^{tree}");
      git("update-ref refs/heads/ez/r1 $(git commit-tree " + tree + " -p ez/r1 -m other)");
      head_ = git("rev-parse ez/r1");
    }));
  };
  merge.merge.resolver->agent_type = "scripted";
  ExecRunner runner(sandbox_, workspaces_, artifacts_, move);
  const TaskResult done = runner.run(merge, log_, cancel_);
  expect_merged(done, {"", ""});
}

TEST(MarkerLine, KnowsMarkersFromLinesThatLookAlike) {
  EXPECT_EQ(marker_line("a\nb\n", {}), 0U);
  EXPECT_EQ(marker_line("a\n<<<<<<< ours\n", {}), 2U);
  EXPECT_EQ(marker_line("a\r\n>>>>>>>\r\n", {}), 2U);
  EXPECT_EQ(marker_line("||||||| base", {}), 1U);
  EXPECT_EQ(marker_line("Title\n=======\n", {}), 2U);
  EXPECT_EQ(marker_line("Title\n=======\n", {"", "Old\n=======\n", ""}), 0U);  // it was there before
  EXPECT_EQ(marker_line("Title\n========\n", {}), 0U);
  EXPECT_EQ(marker_line("<<<<<<\n<<<<<<<x\n  <<<<<<< ours\ncat <<<<<<< x\n", {}), 0U);
  EXPECT_EQ(marker_line("<<<<<<<<<<<<<<< wide", {}), 1U);
}

}  // namespace
}  // namespace ez::agents
