#include "agents/run_merges.h"

#include <gtest/gtest.h>

#include "agents/test_support.h"
#include "agents/workspace.h"

namespace ez::agents {
namespace {

class RunMergesTest : public ::testing::Test {
 protected:
  WorkspaceManager::Options options() {
    WorkspaceManager::Options options;
    options.root = dir_ / "workspaces";
    options.reserve_bytes = 1 << 20;
    options.max_idle = 0;
    return options;
  }
  // An attempt of a task of r1, merged. Gives what the record of the run has of it.
  MergedTask merge(const std::string& task, const std::string& script, std::uint64_t attempt = 1) {
    const std::string name = "ez/r1/" + task + "." + std::to_string(attempt);
    auto workspace =
        manager_.create({WorkspaceMode::kWrite, "r1", task, attempt, repository_, "main", "ez/r1", name, ""});
    EXPECT_TRUE(workspace.ok()) << workspace.error().to_string();
    user_shell(workspace->tree(), script);
    auto commit = manager_.commit(*workspace, "work of " + task);
    EXPECT_TRUE(commit.ok()) << commit.error().to_string();
    const std::string branch = workspace->branch();
    EXPECT_TRUE(manager_.remove(std::move(*workspace)).ok());
    auto merged = manager_.merge({"r1", task, attempt, repository_, "ez/r1", commit->id, branch, ""}, {});
    EXPECT_TRUE(merged.ok()) << merged.error().to_string();
    return {task, commit->id, merged->head};
  }
  RunMerges find(const std::vector<MergedTask>& tasks, std::int64_t since_s = 0) {
    auto git = Git::open(repository_);
    EXPECT_TRUE(git.ok());
    auto found = find_run_merges(*git, "r1", tasks, since_s);
    EXPECT_TRUE(found.ok()) << found.error().to_string();
    return std::move(*found);
  }

  TempDir dir_;
  std::string repository_ = make_repository(dir_);
  WorkspaceManager manager_{options()};
};

TEST_F(RunMergesTest, FindsEachMergeNewestFirst) {
  const MergedTask a = merge("a", "echo a > a");
  const MergedTask b = merge("b", "echo b > b");
  const RunMerges found = find({a, b});
  ASSERT_EQ(found.merges.size(), 2u);
  EXPECT_TRUE(found.missing.empty());
  EXPECT_EQ(found.merges[0].task, "b");
  EXPECT_EQ(found.merges[0].commit, b.head);
  EXPECT_EQ(found.merges[0].before, a.head);
  EXPECT_EQ(found.merges[1].work, a.commit);
}

// A lost agent's merge is found again as done: the recorded head is then somebody else's.
TEST_F(RunMergesTest, BelievesTheParentsAndNotTheRecordedHead) {
  MergedTask a = merge("a", "echo a > a");
  const MergedTask b = merge("b", "echo b > b");
  const std::string own = a.head;
  a.head = b.head;
  const RunMerges found = find({a, b});
  ASSERT_EQ(found.merges.size(), 2u);
  EXPECT_EQ(found.merges[1].commit, own);
}

TEST_F(RunMergesTest, ATaskThatWasDoneAgainHasTwoMerges) {
  const MergedTask first = merge("a", "echo a > a");
  const MergedTask again = merge("a", "echo A > a", 2);
  EXPECT_EQ(find({again}).merges.size(), 2u);
  // But a run of the same name that was before this one is another run.
  EXPECT_EQ(find({again}, 4'000'000'000).merges.size(), 1u);
}

TEST_F(RunMergesTest, SaysWhatIsMissing) {
  const MergedTask a = merge("a", "echo a > a");
  MergedTask none = a;
  none.task = "none";
  none.commit = std::string(40, '1');
  none.head = std::string(40, '2');
  const RunMerges found = find({a, none});
  EXPECT_EQ(found.merges.size(), 1u);
  EXPECT_EQ(found.missing, std::vector<std::string>{"none"});
  none.commit = "--all";
  auto git = Git::open(repository_);
  EXPECT_EQ(find_run_merges(*git, "r1", {none}, 0).error().code(), Code::InvalidArgument);
}

}  // namespace
}  // namespace ez::agents
