#include "agents/workspace.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <atomic>
#include <thread>

#include "agents/file_lock.h"
#include "agents/test_support.h"

namespace ez::agents {
namespace {

class WorkspaceTest : public ::testing::Test {
 protected:
  WorkspaceManager::Options options() {
    WorkspaceManager::Options options;
    options.root = dir_ / "workspaces";
    options.reserve_bytes = 1 << 20;
    options.max_idle = 0;
    return options;
  }
  WorkspaceRequest request(const std::string& task, std::uint64_t attempt = 1) {
    return {WorkspaceMode::kWrite,
            "r1",
            task,
            attempt,
            repository_,
            "main",
            "ez/r1",
            "ez/r1/" + task + "." + std::to_string(attempt),
            ""};
  }
  std::string git(const std::string& arguments) { return user_shell(repository_, "git " + arguments); }
  std::string leftovers() {
    return user_shell(dir_.path(), "ls workspaces repo/.git/worktrees 2>/dev/null | grep ^ez- || true");
  }
  // Runs a whole attempt: a script in the tree, commit, removal. Gives the commit.
  std::string attempt(const std::string& task, const std::string& script) {
    auto workspace = manager_.create(request(task));
    EXPECT_TRUE(workspace.ok()) << workspace.error().to_string();
    user_shell(workspace->tree(), script);
    auto commit = manager_.commit(*workspace, "work of " + task);
    EXPECT_TRUE(commit.ok()) << commit.error().to_string();
    last_branch_ = workspace->branch();
    EXPECT_TRUE(manager_.remove(std::move(*workspace)).ok());
    return commit->id;
  }
  MergeRequest merge_of(const std::string& task, const std::string& commit) {
    return {"r1", task, 1, repository_, "ez/r1", commit, last_branch_, ""};
  }

  TempDir dir_;
  std::string repository_ = make_repository(dir_);
  WorkspaceManager manager_{options()};
  std::string last_branch_;
};

TEST_F(WorkspaceTest, CreatesCommitsAndRemoves) {
  auto workspace = manager_.create(request("build"));
  ASSERT_TRUE(workspace.ok()) << workspace.error().to_string();
  EXPECT_EQ(slurp(workspace->tree() + "/README"), "hello\n");
  EXPECT_EQ(workspace->branch(), "ez/r1.tasks/build.1");  // git cannot hold ez/r1 and ez/r1/build.1 together
  EXPECT_EQ(git("rev-parse ez/r1"), git("rev-parse main"));
  spill(workspace->tree() + "/new file\n", "x");
  spill(workspace->tree() + "/.gitignore", "*.o\n");
  spill(workspace->tree() + "/ignored.o", "x");
  auto commit = manager_.commit(*workspace, "made things");
  ASSERT_TRUE(commit.ok()) << commit.error().to_string();
  EXPECT_EQ(commit->changed_files, 2);
  EXPECT_EQ(git("rev-parse " + workspace->branch()), commit->id);
  EXPECT_EQ(git("log -1 --format='%an <%ae>|%s|%(trailers:separator=%x2C)' " + commit->id),
            "Ez Aigent <ez@localhost>|made things|Ez-Run: r1,Ez-Task: build,Ez-Attempt: 1");
  EXPECT_EQ(git("ls-tree --name-only " + commit->id + " ignored.o"), "");
  const std::string branch = workspace->branch();
  ASSERT_TRUE(manager_.remove(std::move(*workspace)).ok());
  EXPECT_EQ(leftovers(), "");
  EXPECT_EQ(git("rev-parse " + branch), commit->id);  // unmerged work stays
  EXPECT_EQ(git("status --porcelain"), "");
  EXPECT_EQ(git("fsck --strict 2>&1"), "");
}

TEST_F(WorkspaceTest, NothingChangedMeansNoCommitAndNoBranchLeft) {
  auto workspace = manager_.create(request("look"));
  ASSERT_TRUE(workspace.ok());
  auto commit = manager_.commit(*workspace, "nothing");
  ASSERT_TRUE(commit.ok());
  EXPECT_EQ(commit->id, "");
  ASSERT_TRUE(manager_.remove(std::move(*workspace)).ok());
  EXPECT_EQ(git("branch --list 'ez/*' --format='%(refname:short)'"), "ez/r1");
}

TEST_F(WorkspaceTest, ReadAndScratchWorkspaces) {
  WorkspaceRequest read = request("look");
  read.mode = WorkspaceMode::kRead;
  auto looking = manager_.create(read);
  ASSERT_TRUE(looking.ok()) << looking.error().to_string();
  EXPECT_EQ(slurp(looking->tree() + "/README"), "hello\n");
  auto scratch = manager_.create({WorkspaceMode::kNone, "r1", "t", 1, "", "", "", "", ""});
  ASSERT_TRUE(scratch.ok());
  EXPECT_EQ(user_shell(scratch->tree(), "ls -A"), "");
  EXPECT_TRUE(manager_.remove(std::move(*looking)).ok());
  EXPECT_TRUE(manager_.remove(std::move(*scratch)).ok());
  EXPECT_EQ(leftovers(), "");
}

TEST_F(WorkspaceTest, RefusesWhatIsNoRepositoryAndBadNames) {
  WorkspaceRequest bad = request("t");
  bad.repository = dir_.path();
  EXPECT_EQ(manager_.create(bad).error().code(), Code::RepositoryInvalid);
  bad.repository = "relative";
  EXPECT_EQ(manager_.create(bad).error().code(), Code::RepositoryInvalid);
  bad = request("t");
  bad.base = "no-such-branch";
  EXPECT_EQ(manager_.create(bad).error().code(), Code::RepositoryInvalid);
  bad = request("t");
  bad.base = "--upload-pack=touch /tmp/ez-evil";
  EXPECT_EQ(manager_.create(bad).error().code(), Code::RepositoryInvalid);
  bad = request("t");
  bad.run_branch = "../evil";
  EXPECT_EQ(manager_.create(bad).error().code(), Code::InvalidArgument);
  user_shell(dir_.path(), "git init -q empty");
  bad = request("t");
  bad.repository = dir_ / "empty";
  EXPECT_EQ(manager_.create(bad).error().code(), Code::RepositoryInvalid);
  EXPECT_EQ(leftovers(), "");
}

TEST_F(WorkspaceTest, MergesCleanlyOnceAndTwice) {
  const std::string a = attempt("a", "echo a > a.txt");
  const MergeRequest merge_a = merge_of("a", a);
  const std::string b = attempt("b", "echo b > b.txt; rm README");
  const MergeRequest merge_b = merge_of("b", b);
  const auto first = manager_.merge(merge_a, nullptr);
  ASSERT_TRUE(first.ok()) << first.error().to_string();
  EXPECT_TRUE(first->merged);
  EXPECT_EQ(first->changed_files, 1);
  const auto second = manager_.merge(merge_b, nullptr);
  ASSERT_TRUE(second.ok());
  EXPECT_TRUE(second->merged);
  EXPECT_EQ(second->changed_files, 2);
  EXPECT_EQ(second->base, first->head);
  EXPECT_EQ(git("ls-tree -r --name-only ez/r1"), "a.txt\nb.txt\nsrc/a.txt");
  EXPECT_EQ(git("rev-list --count --merges ez/r1"),
            "2");  // also the first, which could have been a fast-forward
  EXPECT_EQ(git("branch --list 'ez/*' --format='%(refname:short)'"), "ez/r1");
  const auto again = manager_.merge(merge_a, nullptr);
  ASSERT_TRUE(again.ok());
  EXPECT_FALSE(again->merged);
  EXPECT_EQ(again->conflict, "");
  EXPECT_EQ(again->head, second->head);
  EXPECT_EQ(leftovers(), "");
  EXPECT_EQ(git("status --porcelain"), "");
}

TEST_F(WorkspaceTest, ConflictChangesNothingAndShowsTheHunks) {
  const std::string a = attempt("a", "sed -i s/3/three-a/ src/a.txt; echo a > both");
  const MergeRequest merge_a = merge_of("a", a);
  const std::string b = attempt("b", "sed -i s/3/three-b/ src/a.txt; rm README");
  const MergeRequest merge_b = merge_of("b", b);
  ASSERT_TRUE(manager_.merge(merge_a, nullptr)->merged);
  const std::string head = git("rev-parse ez/r1");
  const auto conflict = manager_.merge(merge_b, nullptr);
  ASSERT_TRUE(conflict.ok()) << conflict.error().to_string();
  EXPECT_FALSE(conflict->merged);
  for (const char* text :
       {"CONFLICT (content)", "--- src/a.txt", "three-a", "=======", "three-b", ">>>>>>>"}) {
    EXPECT_NE(conflict->conflict.find(text), std::string::npos) << text << "\n" << conflict->conflict;
  }
  EXPECT_LE(conflict->conflict.size(), kMaxConflictBytes);
  EXPECT_EQ(git("rev-parse ez/r1"), head);
  EXPECT_EQ(git("rev-parse " + merge_b.branch), b);
  EXPECT_EQ(leftovers(), "");
}

TEST_F(WorkspaceTest, HugeConflictIsCut) {
  const std::string a = attempt("a", "seq 1 9000 > big");
  const MergeRequest merge_a = merge_of("a", a);
  const std::string b = attempt("b", "seq 9000 -1 1 > big");
  ASSERT_TRUE(manager_.merge(merge_a, nullptr)->merged);
  EXPECT_EQ(manager_.merge(merge_of("b", b), nullptr)->conflict.size(), kMaxConflictBytes);
}

TEST_F(WorkspaceTest, AttributesSayHowToMerge) {
  user_shell(repository_,
             "mkdir d && echo 'LOG merge=union' > d/.gitattributes && echo base > d/LOG && git add -A && git "
             "commit -qm attr");
  const std::string a = attempt("a", "echo a >> d/LOG");
  const MergeRequest merge_a = merge_of("a", a);
  const std::string b = attempt("b", "echo b >> d/LOG");
  ASSERT_TRUE(manager_.merge(merge_a, nullptr)->merged);
  const auto second = manager_.merge(merge_of("b", b), nullptr);
  EXPECT_TRUE(second->merged) << second->conflict;
  EXPECT_EQ(git("show ez/r1:d/LOG"), "base\na\nb");
}

TEST_F(WorkspaceTest, VerifySeesTheMergedTreeAndMayRefuse) {
  const std::string a = attempt("a", "echo a > a.txt");
  const MergeRequest merge_a = merge_of("a", a);
  const std::string b = attempt("b", "echo b > b.txt");
  const MergeRequest merge_b = merge_of("b", b);
  ASSERT_TRUE(manager_.merge(merge_a, nullptr)->merged);
  const std::string head = git("rev-parse ez/r1");
  const auto refused = manager_.merge(merge_b, [](Workspace& merged) -> Status {
    EXPECT_EQ(slurp(merged.tree() + "/a.txt") + slurp(merged.tree() + "/b.txt"), "a\nb\n");
    return Error(Code::VerifyFailed, "no");
  });
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::VerifyFailed);
  EXPECT_EQ(git("rev-parse ez/r1"), head);
  EXPECT_EQ(leftovers(), "");
  // The branch moves while the check runs: the merge is made again on the new head and checked again.
  int checks = 0;
  const auto merged = manager_.merge(merge_b, [&](Workspace&) -> Status {
    if (++checks == 1) {
      git("update-ref refs/heads/ez/r1 $(git commit-tree -p ez/r1 -m between ez/r1^{tree})");
    }
    return {};
  });
  ASSERT_TRUE(merged.ok()) << merged.error().to_string();
  EXPECT_TRUE(merged->merged);
  EXPECT_EQ(checks, 2);
  EXPECT_EQ(git("log --format=%s -1 ez/r1^1"), "between");
}

TEST_F(WorkspaceTest, ACrashBetweenMergeAndMoveLeavesARepeatableMerge) {
  const std::string a = attempt("a", "echo a > a.txt");
  const MergeRequest request = merge_of("a", a);
  const std::string head = git("rev-parse ez/r1");
  const pid_t worker = ::fork();
  if (worker == 0) {
    WorkspaceManager own(options());
    [[maybe_unused]] auto never = own.merge(request, [](Workspace&) -> Status {
      ::kill(::getpid(), SIGKILL);
      return {};
    });
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(worker, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(git("rev-parse ez/r1"), head);
  EXPECT_NE(leftovers(), "");
  const auto recovered = manager_.recover();
  ASSERT_TRUE(recovered.ok()) << recovered.error().to_string();
  EXPECT_EQ(*recovered, 1U);
  EXPECT_EQ(leftovers(), "");
  EXPECT_TRUE(manager_.merge(request, nullptr)->merged);
}

TEST_F(WorkspaceTest, WorkOfADeadWorkerIsKeptAndItsWorkspaceRemoved) {
  const pid_t worker = ::fork();
  if (worker == 0) {
    WorkspaceManager own(options());
    auto workspace = own.create(request("build"));
    spill(workspace->tree() + "/unfinished.txt", "half a thought\n");
    ::kill(::getpid(), SIGKILL);
  }
  ::waitpid(worker, nullptr, 0);
  auto living = manager_.create(request("other"));
  ASSERT_TRUE(living.ok());
  EXPECT_EQ(*manager_.recover(), 1U);
  EXPECT_EQ(git("show ez/r1.tasks/build.1:unfinished.txt"), "half a thought");
  EXPECT_EQ(slurp(living->tree() + "/README"), "hello\n");
  EXPECT_TRUE(manager_.remove(std::move(*living)).ok());
  EXPECT_EQ(leftovers(), "");
  // The attempt is given out again under its old name: the first one's work stays on a branch aside.
  auto second = manager_.create(request("build"));
  ASSERT_TRUE(second.ok()) << second.error().to_string();
  EXPECT_NE(git("branch --list 'ez/r1.tasks/build.1-kept-*'"), "");
  EXPECT_TRUE(manager_.remove(std::move(*second)).ok());
}

TEST_F(WorkspaceTest, AWorkerMayDieAtAnyMomentOfATidyUp) {
  for (int round = 0; round < 24; ++round) {
    const pid_t worker = ::fork();
    if (worker == 0) {
      WorkspaceManager::Options own_options = options();
      own_options.max_idle = 0;
      WorkspaceManager own(own_options);
      const itimerval end{{0, 0}, {0, 1 + round * 1500}};
      for (int n = 0; n < 1000; ++n) {
        auto workspace = own.create(request("tidy" + std::to_string(round)));
        if (n == 0) ::setitimer(ITIMER_REAL, &end, nullptr);
        if (!workspace.ok() || !own.remove(std::move(*workspace)).ok()) ::_exit(1);
      }
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(worker, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));  // by SIGALRM, as sudden as any
    // A child of it that has not become git yet holds its workspace for a moment longer.
    const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    do {
      const auto recovered = manager_.recover();
      ASSERT_TRUE(recovered.ok()) << recovered.error().to_string();
    } while (leftovers() != "" && std::chrono::steady_clock::now() < patience);
    EXPECT_EQ(leftovers(), "");
    // It changed nothing, so nothing may look like its work.
    EXPECT_EQ(git("log --all --format=%s --grep='unfinished work'"), "");
  }
}

TEST_F(WorkspaceTest, ATreeThatIsGoneHoldsNoWork) {
  const pid_t worker = ::fork();
  if (worker == 0) {
    WorkspaceManager own(options());
    auto workspace = own.create(request("build"));
    user_shell(workspace->root(), "rm -rf " + workspace->tree());
    ::kill(::getpid(), SIGKILL);
  }
  ::waitpid(worker, nullptr, 0);
  const auto recovered = manager_.recover();
  ASSERT_TRUE(recovered.ok()) << recovered.error().to_string();
  EXPECT_EQ(*recovered, 1U);
  EXPECT_EQ(leftovers(), "");
}

TEST_F(WorkspaceTest, ACheckedOutRunBranchIsNamed) {
  const std::string a = attempt("a", "echo a > a.txt");
  git("checkout -q ez/r1");
  const auto merge = manager_.merge(merge_of("a", a), nullptr);
  ASSERT_FALSE(merge.ok());
  EXPECT_EQ(merge.error().code(), Code::BranchCheckedOut);
  EXPECT_NE(merge.error().message().find(repository_), std::string::npos);
  EXPECT_EQ(manager_.create(request("b")).error().code(), Code::BranchCheckedOut);
  git("checkout -q main");
  EXPECT_TRUE(manager_.merge(merge_of("a", a), nullptr)->merged);
}

TEST_F(WorkspaceTest, NothingThatAnAgentPlantsRunsOutside) {
  const std::string evidence = dir_ / "evidence";
  const std::string evil = "#!/bin/sh\necho $0 >> " + evidence + "\nexit 0\n";
  // The repository's own configuration names programs by paths inside the tree, which an agent may then
  // write.
  git("config filter.evil.clean ./evil.sh && git config filter.evil.smudge ./evil.sh && git config "
      "merge.evil.driver './evil.sh %A'");
  git("config core.fsmonitor ./evil.sh && git config diff.evil.textconv ./evil.sh && git config "
      "commit.gpgsign true && git config gpg.program ./evil.sh");
  for (const char* hook :
       {"post-checkout", "pre-commit", "post-commit", "reference-transaction", "post-merge"}) {
    spill(repository_ + "/.git/hooks/" + hook, evil);
    user_shell(repository_, "chmod +x .git/hooks/" + std::string(hook));
  }
  std::remove(evidence.c_str());
  auto workspace = manager_.create(request("t"));
  ASSERT_TRUE(workspace.ok()) << workspace.error().to_string();
  const std::string tree = workspace->tree();
  spill(tree + "/evil.sh", evil);
  spill(tree + "/.gitattributes", "* filter=evil diff=evil merge=evil\n");
  spill(tree + "/.gitmodules", "[submodule \"s\"]\n path = sub\n url = ./sub\n ignore = none\n");
  user_shell(tree,
             "chmod +x evil.sh; mkdir sub; cd sub; git init -q .; "
             "echo f > file; git add -A; git commit -qm x; git config core.fsmonitor ../evil.sh; mkdir -p "
             "../src/.GIT; ln -s /etc/passwd ../link");
  // Replaces the tree's own pointer by a whole repository with hooks and an fsmonitor.
  user_shell(tree,
             "rm .git; cp -r sub/.git .git; cp ../../../repo/.git/hooks/pre-commit .git/hooks/; git config "
             "core.fsmonitor ./evil.sh");
  ASSERT_EQ(slurp(evidence), "");
  auto commit = manager_.commit(*workspace, "evil");
  ASSERT_TRUE(commit.ok()) << commit.error().to_string();
  EXPECT_EQ(commit->notes.size(), 2U);
  EXPECT_EQ(git("-c core.fsmonitor=false show " + commit->id + ":sub/file"), "f");
  EXPECT_EQ(git("-c core.fsmonitor=false ls-tree " + commit->id + " link").substr(0, 6), "120000");
  const MergeRequest merge{"r1", "t", 1, repository_, "ez/r1", commit->id, workspace->branch(), ""};
  ASSERT_TRUE(manager_.remove(std::move(*workspace)).ok());
  const auto merged = manager_.merge(merge, [](Workspace&) { return Status(); });
  ASSERT_TRUE(merged.ok()) << merged.error().to_string();
  EXPECT_TRUE(merged->merged) << merged->conflict;
  EXPECT_EQ(slurp(evidence), "");
}

TEST_F(WorkspaceTest, GitWorksInsideTheSandboxButChangesNothing) {
  EZ_NEED_SANDBOX();
  git("remote add origin https://user:password@localhost/repo.git");
  auto workspace = manager_.create(request("t"));
  ASSERT_TRUE(workspace.ok());
  SandboxSpec spec;
  spec.environment = {{"PATH", "/usr/bin:/bin"}, {"HOME", "/home/ez"}};
  workspace->show_in(spec);
  spec.directory = "/workspace";
  spec.timeout = std::chrono::milliseconds(60'000);
  spec.argv = {
      "/bin/sh", "-c",
      "git log --format=%s; git ls-files; echo more >> README; git diff --stat; git status --short; "
      "cat /git/config /git/worktrees/*/config 2>/dev/null; "
      "git config core.hooksPath /workspace; echo x > /git/hooks/pre-commit; echo x > /git/refs/heads/evil; "
      "mv .git git2; rm -f .git; git commit -qam evil; git branch evil; true"};
  std::string said;
  const auto outcome = Sandbox().run(spec, [&said](std::string_view bytes) { said += bytes; });
  ASSERT_TRUE(outcome.ok()) << outcome.error().to_string();
  for (const char* text : {"first\n", "README\nsrc/a.txt\n", "1 file changed", " M README"}) {
    EXPECT_NE(said.find(text), std::string::npos) << text << "\n" << said;
  }
  EXPECT_EQ(said.find("password"), std::string::npos) << said;
  EXPECT_EQ(git("branch --list evil"), "");
  EXPECT_EQ(git("config --get core.hooksPath || true"), "");
  EXPECT_EQ(git("log --format=%s ez/r1.tasks/t.1"), "first");
  EXPECT_EQ(manager_.commit(*workspace, "real")->changed_files, 1);
  ASSERT_TRUE(manager_.remove(std::move(*workspace)).ok());
}

TEST_F(WorkspaceTest, ThirteenAtOnceOverSeveralRounds) {
  constexpr int kWorkers = 13;
  constexpr int kRounds = 4;
  std::atomic<int> merged{0};
  std::mutex mutex;
  std::string failures;
  std::vector<std::thread> threads;
  for (int w = 0; w < kWorkers; ++w) {
    threads.emplace_back([&, w] {
      WorkspaceManager own(
          options());  // as if each were a process of its own: only the file locks are shared
      for (int round = 0; round < kRounds; ++round) {
        const std::string task = "t" + std::to_string(w) + "-" + std::to_string(round);
        const auto fail = [&](const Error& error) {
          std::lock_guard lock(mutex);
          failures += task + ": " + error.to_string() + "\n";
        };
        auto workspace = own.create(request(task));
        if (!workspace.ok()) return fail(workspace.error());
        spill(workspace->tree() + "/" + task + ".txt", task);
        auto commit = own.commit(*workspace, task);
        if (!commit.ok()) return fail(commit.error());
        const MergeRequest merge{"r1", task, 1, repository_, "ez/r1", commit->id, workspace->branch(), ""};
        if (const Status gone = own.remove(std::move(*workspace)); !gone.ok()) return fail(gone.error());
        auto result = own.merge(merge, nullptr);
        if (!result.ok()) return fail(result.error());
        if (result->merged) merged.fetch_add(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, "");
  EXPECT_EQ(merged.load(), kWorkers * kRounds);
  EXPECT_EQ(git("ls-tree --name-only ez/r1 | grep -c '^t'"), std::to_string(kWorkers * kRounds));
  EXPECT_EQ(leftovers(), "");
  EXPECT_EQ(git("fsck --strict 2>&1 | grep -v dangling || true"), "");
}

TEST_F(WorkspaceTest, ABusyRepositoryIsReportedAfterTheWait) {
  const auto held = FileLock::acquire(repository_ + "/.git/ez.lock", std::chrono::milliseconds(0));
  ASSERT_TRUE(held.ok());
  WorkspaceManager::Options impatient = options();
  impatient.lock_wait = std::chrono::milliseconds(30);
  const auto workspace = WorkspaceManager(impatient).create(request("t"));
  ASSERT_FALSE(workspace.ok());
  EXPECT_EQ(workspace.error().code(), Code::RepositoryBusy);
}

// A git that looks at the records of all worktrees gives up at one that another git is just making.
TEST_F(WorkspaceTest, ARecordThatIsBeingMadeIsWaitedFor) {
  git("worktree add -q ../other -b other");
  const std::string record = repository_ + "/.git/worktrees/other/commondir";
  for (const bool merges : {false, true}) {
    const std::string commit = attempt("t", "echo t > t");
    auto held = FileLock::acquire(repository_ + "/.git/ez.lock", std::chrono::milliseconds(0));
    ASSERT_TRUE(held.ok());
    spill(record, "");
    const UniqueFd watch(::inotify_init1(IN_CLOEXEC));
    ASSERT_GE(::inotify_add_watch(watch.get(), record.c_str(), IN_CLOSE_NOWRITE), 0);
    std::string failure;
    std::thread worker([&] {
      if (merges) {
        const auto merged = manager_.merge(merge_of("t", commit), nullptr);
        if (!merged.ok()) failure = merged.error().to_string();
        return;
      }
      auto workspace = manager_.create(request("a"));
      failure = workspace.ok() ? "" : workspace.error().to_string();
      if (workspace.ok() && !manager_.remove(std::move(*workspace)).ok()) failure = "not removed";
    });
    pollfd met{watch.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&met, 1, 60'000), 1);
    spill(record, "../..\n");
    { const FileLock released = std::move(*held); }
    worker.join();
    EXPECT_EQ(failure, "") << merges;
  }
}

TEST_F(WorkspaceTest, TheBudgetOfTheDiskIsHeld) {
  WorkspaceManager::Options small = options();
  small.budget_bytes = 1 << 20;
  WorkspaceManager manager(small);
  auto first = manager.create(request("a"));
  ASSERT_TRUE(first.ok());
  EXPECT_GT(manager.used_bytes(), 0U);
  manager.note_usage(*first, 1 << 20);
  const auto second = manager.create(request("b"));
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code(), Code::WorkspaceBudget);
  ASSERT_TRUE(manager.remove(std::move(*first)).ok());
  auto third = manager.create(request("b"));
  ASSERT_TRUE(third.ok()) << third.error().to_string();
  EXPECT_TRUE(manager.remove(std::move(*third)).ok());
}

TEST_F(WorkspaceTest, AUsedWorktreeIsAsGoodAsNew) {
  WorkspaceManager::Options reusing = options();
  reusing.max_idle = 2;
  {
    WorkspaceManager manager(reusing);
    auto first = manager.create(request("a"));
    ASSERT_TRUE(first.ok()) << first.error().to_string();
    const std::string place = first->tree();
    // Same size and modification time as before: only the change time tells.
    user_shell(
        place,
        "cp -p src/a.txt /tmp/ez-ref-$$ && printf '1\\n2\\nX\\n4\\n5\\n' > src/a.txt && touch -r "
        "/tmp/ez-ref-$$ src/a.txt && "
        "rm /tmp/ez-ref-$$; echo '*.o' > .gitignore; touch b.o; mkdir -p deep/er src/.git; touch deep/er/x; "
        "rm README; ln -s /etc README");
    spill(first->home() + "/.bashrc", "evil");
    spill(first->tmp() + "/left", "over");
    const auto commit = manager.commit(*first, "work");
    ASSERT_TRUE(commit.ok());
    const std::string branch = first->branch();
    ASSERT_TRUE(manager.remove(std::move(*first)).ok());
    EXPECT_EQ(git("rev-parse " + branch), commit->id);
    git("branch -D " + branch);  // not held by the idle worktree
    auto second = manager.create(request("b"));
    ASSERT_TRUE(second.ok()) << second.error().to_string();
    EXPECT_EQ(second->tree(), place);
    EXPECT_EQ(
        user_shell(
            place,
            "git status --porcelain --ignored; git symbolic-ref HEAD; ls -A . src; cat README src/a.txt"),
        "refs/heads/ez/r1.tasks/b.1\n.:\n.git\nREADME\nsrc\n\nsrc:\na.txt\nhello\n1\n2\n3\n4\n5");
    EXPECT_EQ(user_shell(place, "ls -A ../home ../tmp"), "../home:\n\n../tmp:");
    // What git cannot put back makes it unfit.
    user_shell(place, "ln README hard && git -c core.hooksPath=/dev/null add hard && chmod 700 src");
    ASSERT_TRUE(manager.remove(std::move(*second)).ok());
    WorkspaceRequest read = request("c");
    read.mode = WorkspaceMode::kRead;
    auto third = manager.create(read);
    ASSERT_TRUE(third.ok());
    EXPECT_NE(third->tree(), place);
    const std::string newer = third->tree();
    ASSERT_TRUE(manager.remove(std::move(*third)).ok());
    user_shell(
        repository_,
        "echo two > two && git add two && git commit -qm second && git update-ref refs/heads/ez/r1 main");
    auto fourth = manager.create(request("d"));
    ASSERT_TRUE(fourth.ok()) << fourth.error().to_string();
    EXPECT_EQ(fourth->tree(), newer);
    EXPECT_EQ(slurp(newer + "/two"), "two\n");
    ASSERT_TRUE(manager.remove(std::move(*fourth)).ok());
    EXPECT_NE(leftovers(), "");
  }
  EXPECT_EQ(leftovers(), "");
}

TEST_F(WorkspaceTest, RemovesWhatIsHardToRemove) {
  auto workspace = manager_.create(request("t"));
  ASSERT_TRUE(workspace.ok());
  user_shell(workspace->tmp(),
             "mkdir locked && touch locked/f && chmod 000 locked; ln -s / root; mkfifo pipe; "
             "i=0; while [ $i -lt 900 ]; do mkdir d && cd d && i=$((i+1)); done; touch deep");
  ASSERT_TRUE(manager_.remove(std::move(*workspace)).ok());
  EXPECT_EQ(leftovers(), "");
}

}  // namespace
}  // namespace ez::agents
