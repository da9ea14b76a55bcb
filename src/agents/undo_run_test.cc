#include "agents/undo_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agents/test_support.h"
#include "agents/workspace.h"

namespace ez::agents {
namespace {

using testing::HasSubstr;
using testing::Not;

class UndoRunTest : public ::testing::Test {
 protected:
  WorkspaceManager::Options options() {
    WorkspaceManager::Options options;
    options.root = dir_ / "workspaces";
    options.reserve_bytes = 1 << 20;
    options.max_idle = 0;
    return options;
  }
  void merge(const std::string& task, const std::string& script, const std::string& run = "r1",
             const std::string& into = "ez/r1", std::uint64_t attempt = 1) {
    const std::string name = "ez/" + run + "/" + task + "." + std::to_string(attempt);
    auto workspace =
        manager_.create({WorkspaceMode::kWrite, run, task, attempt, repository_, "main", into, name, ""});
    ASSERT_TRUE(workspace.ok()) << workspace.error().to_string();
    user_shell(workspace->tree(), script);
    auto commit = manager_.commit(*workspace, "work of " + task);
    ASSERT_TRUE(commit.ok()) << commit.error().to_string();
    const std::string branch = workspace->branch();
    ASSERT_TRUE(manager_.remove(std::move(*workspace)).ok());
    auto merged = manager_.merge({run, task, attempt, repository_, into, commit->id, branch, ""}, {});
    ASSERT_TRUE(merged.ok()) << merged.error().to_string();
    if (run == "r1") record_.push_back({task, commit->id, merged->head});
  }
  // A person's commit on a branch that is checked out nowhere.
  void person(const std::string& script, const std::string& branch = "ez/r1") {
    user_shell(repository_, "git worktree add -q ../person " + branch + " && cd ../person && " + script +
                                " && git add -A && git commit -qm \"a person's change\" && cd ../repo && git "
                                "worktree remove ../person");
  }
  UndoRequest request() {
    return {"r1", repository_, "ez/r1", "", record_, 0, false, std::chrono::seconds(5)};
  }
  std::string git(const std::string& arguments) { return user_shell(repository_, "git " + arguments); }
  std::string tree(const std::string& commit) { return git("rev-parse " + commit + "^{tree}"); }

  TempDir dir_;
  std::string repository_ = make_repository(dir_);
  WorkspaceManager manager_{options()};
  std::vector<MergedTask> record_;
};

TEST_F(UndoRunTest, GivesTheTreeBeforeTheRunAndKeepsHistory) {
  merge("a", "echo a > a && printf '1\\n2\\nthree\\n4\\n5\\n' > src/a.txt");
  merge("b", "rm README && chmod +x src/a.txt && printf '1\\n2\\nTHREE\\n4\\n5\\n' > src/a.txt");
  const std::string before = git("rev-parse ez/r1");
  UndoRequest look = request();
  look.dry_run = true;
  auto planned = undo_run(look);
  ASSERT_TRUE(planned.ok()) << planned.error().to_string();
  EXPECT_TRUE(planned->exact);
  EXPECT_EQ(git("rev-parse ez/r1"), before);

  auto done = undo_run(request());
  ASSERT_TRUE(done.ok()) << done.error().to_string();
  EXPECT_TRUE(done->exact);
  ASSERT_EQ(done->steps.size(), 2u);
  EXPECT_EQ(done->steps[0].task, "b");
  EXPECT_EQ(done->steps[0].changed_files, 2);
  EXPECT_EQ(git("rev-parse ez/r1"), done->after);
  EXPECT_EQ(tree("ez/r1"), tree("main"));
  EXPECT_EQ(git("rev-parse ez/r1~2"), before);
  EXPECT_THAT(git("log -1 --format=%B ez/r1"), HasSubstr("Ez-Undoes: " + done->steps[1].merge));
  EXPECT_EQ(user_shell(repository_, "ls .git | grep -c ez-merge || true"), "0");

  auto again = undo_run(request());
  ASSERT_TRUE(again.ok()) << again.error().to_string();
  EXPECT_EQ(again->after, again->before);
  EXPECT_EQ(again->steps[0].commit, "");
  // Whoever takes an undoing back has the work again, and may undo it again.
  user_shell(repository_,
             "git worktree add -q ../person ez/r1 && cd ../person && git revert --no-edit HEAD HEAD~1 && "
             "cd ../repo && git worktree remove ../person");
  EXPECT_EQ(tree("ez/r1"), tree(before));
  auto third = undo_run(request());
  ASSERT_TRUE(third.ok()) << third.error().to_string();
  EXPECT_EQ(third->steps[0].changed_files, 2);
  EXPECT_EQ(tree("ez/r1"), tree("main"));
}

TEST_F(UndoRunTest, KeepsWhatOthersDidLater) {
  merge("a", "echo a > a");
  merge("other", "echo other > other", "r2");
  merge("b", "echo b > b");
  person("echo mine > mine && sed -i s/5/five/ src/a.txt");
  auto done = undo_run(request());
  ASSERT_TRUE(done.ok()) << done.error().to_string();
  EXPECT_FALSE(done->exact);
  EXPECT_EQ(git("ls-tree -r --name-only ez/r1"), "README\nmine\nother\nsrc/a.txt");
  EXPECT_THAT(git("show ez/r1:src/a.txt"), HasSubstr("five"));
}

TEST_F(UndoRunTest, RefusesAndNamesWhoChangedTheSameLines) {
  merge("a", "sed -i s/3/three/ src/a.txt");
  merge("b", "echo b > b");
  person("sed -i s/5/five/ src/a.txt");
  const std::string harmless = git("rev-parse --short=12 ez/r1");
  person("sed -i 's/three/3 again/' src/a.txt");
  const std::string culprit = git("rev-parse --short=12 ez/r1");
  person("echo more > more");
  const std::string before = git("rev-parse ez/r1");
  auto done = undo_run(request());
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().code(), Code::RollbackRefused);
  EXPECT_THAT(done.error().message(), HasSubstr(culprit + " \"a person's change\""));
  EXPECT_THAT(done.error().message(), HasSubstr("src/a.txt"));
  EXPECT_THAT(done.error().message(), Not(HasSubstr(harmless)));
  EXPECT_EQ(git("rev-parse ez/r1"), before);
  // When the change in the way is taken back, it goes.
  person("sed -i 's/3 again/three/' src/a.txt");
  EXPECT_TRUE(undo_run(request()).ok());
  EXPECT_EQ(git("ls-tree -r --name-only ez/r1"), "README\nmore\nsrc/a.txt");
}

TEST_F(UndoRunTest, WorksOnABranchThatHasMergedTheRun) {
  merge("a", "echo a > a");
  merge("b", "echo b > b");
  user_shell(repository_,
             "echo mine > mine && git add -A && git commit -qm mine && git merge -q ez/r1 -m took");
  UndoRequest on_main = request();
  on_main.branch = "main";
  auto refused = undo_run(on_main);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::BranchCheckedOut);
  on_main.into = "undo-r1";
  auto done = undo_run(on_main);
  ASSERT_TRUE(done.ok()) << done.error().to_string();
  EXPECT_EQ(git("ls-tree -r --name-only undo-r1"), "README\nmine\nsrc/a.txt");
  EXPECT_EQ(git("merge-base main undo-r1"), git("rev-parse main"));
  EXPECT_EQ(undo_run(on_main).error().code(), Code::RollbackRefused);  // the branch is there now
}

TEST_F(UndoRunTest, RefusesABranchWithoutTheRun) {
  merge("a", "echo a > a");
  UndoRequest other = request();
  other.branch = "main";
  auto refused = undo_run(other);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message(), HasSubstr("is not part of main"));
  other.branch = "nowhere";
  EXPECT_EQ(undo_run(other).error().code(), Code::RollbackRefused);
  other.branch = "--force";
  EXPECT_EQ(undo_run(other).error().code(), Code::InvalidArgument);
}

TEST_F(UndoRunTest, UndoesBothMergesOfATaskThatWasDoneAgain) {
  merge("a", "echo a > a");
  merge("a", "echo A > a", "r1", "ez/r1", 2);
  record_.erase(record_.begin());
  auto done = undo_run(request());
  ASSERT_TRUE(done.ok()) << done.error().to_string();
  EXPECT_TRUE(done->exact);
  EXPECT_EQ(tree("ez/r1"), tree("main"));
}

}  // namespace
}  // namespace ez::agents
