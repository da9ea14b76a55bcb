"""`ez validate RUN` and `ez test RUN` on the real binary: checks of a finished run once more, as the repository is now."""
import json
import signal
import subprocess
import unittest

from harness import EZ, Sandbox, Server, ez, git, make_repository

WORKFLOW = """
name: made
inputs: {repo: {type: git}, word: {type: string, default: hello}, letters: {type: list, default: [a, b]}}
repository: ${{ inputs.repo }}
defaults: {on_failure: fail, retry: {max_attempts: 1}}
tasks:
  - id: first
    workspace: write
    run: |
      echo ${{ inputs.word }} > first.txt
      echo '{"lines": 1}' > "$EZ_OUTPUT"
      echo from-first > "$EZ_ARTIFACTS/note.txt"
    verify: test "$(cat first.txt)" = ${{ inputs.word }} && test "$(ls *.txt | wc -l)" = 2
  - id: each
    dependencies: [first]
    for_each: ${{ inputs.letters }}
    max_parallel: 1
    workspace: write
    env: {LETTER: "${{ item }}"}
    run: echo "$LETTER" > "each-$LETTER.txt"
    verify: |
      grep -q "$LETTER" "each-$LETTER.txt"
      test "$(cat "$EZ_DEPENDENCIES/first/note.txt")" = from-first
      test ${{ tasks.first.output.lines }} = 1
  - id: plain
    dependencies: [each]
    workspace: write
    run: echo plain > plain.txt
  - {id: look, dependencies: [plain], workspace: read, run: "true"}
"""


class ChecksTest(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)
        self.repository = make_repository(self.box.root / "repo")
        self.server = Server(self.box.data, agents=2).start()
        self.addCleanup(self.server.stop)

    def finished(self, source: str = WORKFLOW, **inputs) -> str:
        name = self.server.register(source)["name"]
        run = self.server.start_run(name, {"repo": str(self.repository), **inputs})
        self.assertEqual(self.server.wait_for_run(run)["state"], "succeeded", self.server.run(run)["tasks"])
        return run

    def check(self, *arguments: str, status: int = 0) -> dict:
        done = ez(*arguments, "--json", data=self.box.data)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def commit_on(self, branch: str, name: str, text: str):
        """A commit on a branch that is checked out nowhere, as a person makes it in a tree beside."""
        beside = self.box.root / "beside"
        git(self.repository, "worktree", "add", "-q", str(beside), branch)
        (beside / name).write_text(text)
        git(beside, "add", "-A")
        git(beside, "commit", "-qm", "a person's change")
        git(self.repository, "worktree", "remove", str(beside))

    def workspaces(self) -> set:
        """Those of the server's worker, which keeps some for its next tasks, and of checks that are under way."""
        return {path.name for path in (self.box.data / "workspaces").glob("ez-*.owner")}

    def verdicts(self, report: dict) -> dict:
        return {check["task"]: check["verdict"] for check in report["checks"]}

    def test_validate_looks_at_each_merge_and_test_at_the_whole(self):
        run = self.finished()
        before = self.workspaces()
        report = self.check("validate", run)
        self.assertEqual(self.verdicts(report), {"first": "passed", "each.0": "passed", "each.1": "passed",
                                                 "plain": "unchecked"})
        self.assertEqual(len({check["commit"] for check in report["checks"]}), 4)
        # `first` counted the files of its own moment: on the whole that does not hold.
        report = self.check("test", run, status=1)
        self.assertEqual(self.verdicts(report), {"first": "failed", "each.0": "passed", "each.1": "passed",
                                                 "plain": "unchecked"})
        failed = report["checks"][0]
        self.assertEqual((failed["error"]["code"], failed["exit_code"], failed["commit"]),
                         ("VERIFY_FAILED", 1, report["head"]))
        self.assertEqual(report["head"], git(self.repository, "rev-parse", f"ez/{run}").strip())
        self.assertEqual(self.verdicts(self.check("test", run, "--task", "each")),
                         {"each.0": "passed", "each.1": "passed"})
        text = ez("validate", run, data=self.box.data)
        self.assertIn(f"{run}: 3 passed, 0 failed, 1 without a check, each on the tree of its own merge", text.stdout)
        # Nothing is left behind, and nothing has moved.
        self.assertEqual(self.workspaces(), before)
        self.assertEqual(git(self.repository, "status", "--porcelain"), "")

    def test_what_changed_since_is_seen(self):
        run = self.finished(WORKFLOW.replace(' && test "$(ls *.txt | wc -l)" = 2', ""))
        self.assertEqual(self.check("test", run)["failed"], 0)
        self.commit_on(f"ez/{run}", "first.txt", "spoiled\n")
        self.assertEqual(self.verdicts(self.check("test", run, status=1))["first"], "failed")
        self.assertEqual(self.check("validate", run)["passed"], 3)
        shown = ez("test", run, "--task", "first", "--verbose", data=self.box.data)
        self.assertEqual(shown.returncode, 1)
        # On a branch of one's own, named by --at.
        self.assertEqual(self.check("test", run, "--at", f"ez/{run}~1")["failed"], 0)
        self.assertEqual(self.check("test", run, "--at", "main", status=1)["failed"], 3)
        # History rewritten: the merges are not part of the branch any more.
        git(self.repository, "branch", "-f", f"ez/{run}", "main")
        self.assertEqual(set(self.verdicts(self.check("validate", run, status=1)).values()), {"missing"})
        # The branch is gone, the commits are still there.
        git(self.repository, "branch", "-D", f"ez/{run}")
        self.assertEqual(self.check("validate", run)["passed"], 3)
        gone = self.check("test", run, status=3)
        self.assertEqual(gone["code"], "GIT_FAILED")
        self.assertIn("--at main", gone["hint"])

    def test_a_clone_elsewhere_and_a_repository_that_is_gone(self):
        run = self.finished()
        clone = self.box.root / "clone"
        subprocess.run(["git", "clone", "-q", "--bare", str(self.repository), str(clone)], check=True)
        self.repository.rename(self.box.root / "moved")
        refused = self.check("validate", run, status=2)
        self.assertEqual(refused["code"], "REPOSITORY_INVALID")
        self.assertIn("not on this machine", refused["detail"])
        self.assertEqual(self.check("validate", run, "--repository", str(clone))["passed"], 3)

    def test_what_cannot_be_checked_is_refused(self):
        run = self.finished("name: bare\ninputs: {repo: {type: git}}\nrepository: ${{ inputs.repo }}\n"
                            "tasks: [{id: a, workspace: write, run: echo > a.txt}]\n")
        self.assertEqual(self.check("validate", run, status=3)["code"], "NOTHING_TO_CHECK")
        self.assertEqual(self.check("validate", run, "--task", "b", status=3)["code"], "TASK_NOT_FOUND")
        self.server.register("name: waits\ntasks: [{id: a, wait: {for: 1h}}]\n")
        live = self.server.start_run("waits")
        self.assertEqual(self.check("validate", live, status=3)["code"], "WRONG_STATE")
        self.assertEqual(self.check("test", "r999", status=3)["code"], "RUN_NOT_FOUND")
        self.assertEqual(self.check("validate", "made.yaml", status=2)["code"], "INVALID_ARGUMENT")
        self.assertEqual(self.check("test", run, "--junit", "x.xml", status=2)["code"], "INVALID_ARGUMENT")
        self.assertEqual(self.check("test", ".", "--at", "main", status=2)["code"], "INVALID_ARGUMENT")
        # A file with the name of a run is a file.
        folder = self.box.root / "files"
        folder.mkdir()
        (folder / run).write_text("name: x\ntasks: [{id: a, run: 'true'}]\n")
        named = ez("test", run, cwd=folder, data=self.box.data)
        self.assertEqual(named.returncode, 2)
        self.assertIn("has no tests beside it", named.stderr)

    def test_a_signal_ends_it_and_leaves_nothing(self):
        run = self.finished(WORKFLOW.replace("run: echo plain > plain.txt", """run: echo plain > plain.txt
    verify: test ! -e slow || { echo it takes long; sleep 600; }"""))
        self.commit_on(f"ez/{run}", "slow", "")
        before = self.workspaces()
        check = subprocess.Popen([EZ, "test", run, "--task", "plain", "--verbose", "--data", str(self.box.data)],
                                 stdout=subprocess.PIPE, text=True)
        self.addCleanup(check.stdout.close)
        self.assertEqual(check.stdout.readline(), "it takes long\n")
        self.assertEqual(len(self.workspaces()), len(before) + 1)
        check.send_signal(signal.SIGINT)
        self.assertEqual(check.wait(timeout=60), 130)
        self.assertEqual(self.workspaces(), before)


if __name__ == "__main__":
    unittest.main()
