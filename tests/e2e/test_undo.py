"""`ez rollback RUN` on the real binary: merges of a finished run undone by commits, or a clear refusal."""
import json
import unittest

from harness import Sandbox, Server, ez, git, make_repository

WORKFLOW = """
name: changes
inputs: {repo: {type: git}}
repository: ${{ inputs.repo }}
defaults: {on_failure: fail, retry: {max_attempts: 1}}
tasks:
  - {id: first, workspace: write, run: "sed -i s/^7$/seven/ numbers.txt && echo a > a.txt"}
  - {id: second, workspace: write, dependencies: [first], run: "sed -i s/^seven$/SEVEN/ numbers.txt && rm README.md"}
"""


class UndoTest(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)
        self.repository = make_repository(self.box.root / "repo")
        self.server = Server(self.box.data, agents=2).start()
        self.addCleanup(self.server.stop)
        self.server.register(WORKFLOW)
        self.run_id = self.server.start_run("changes", {"repo": str(self.repository)})
        self.assertEqual(self.server.wait_for_run(self.run_id)["state"], "succeeded")
        self.branch = self.server.run(self.run_id)["branch"]

    def rollback(self, *arguments: str, status: int = 0) -> dict:
        done = ez("rollback", *(arguments or (self.run_id,)), "--json", data=self.box.data)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def tree(self, commit: str) -> str:
        return git(self.repository, "rev-parse", commit + "^{tree}").strip()

    def commit_on(self, branch: str, name: str, text: str) -> str:
        beside = self.box.root / "beside"
        git(self.repository, "worktree", "add", "-q", str(beside), branch)
        (beside / name).write_text(text)
        git(beside, "add", "-A")
        git(beside, "commit", "-qm", f"a person wrote {name}")
        git(self.repository, "worktree", "remove", str(beside))
        return git(self.repository, "rev-parse", branch).strip()

    def test_the_tree_is_the_one_before_the_run(self):
        before = git(self.repository, "rev-parse", self.branch).strip()
        planned = self.rollback(self.run_id, "--dry-run")
        self.assertEqual((planned["dry_run"], planned["exact"], planned["before"]), (True, True, before))
        self.assertEqual(git(self.repository, "rev-parse", self.branch).strip(), before)
        done = self.rollback()
        self.assertEqual([merge["task"] for merge in done["merges"]], ["second", "first"])
        self.assertTrue(done["exact"])
        self.assertEqual(self.tree(self.branch), self.tree("main"))
        self.assertEqual(git(self.repository, "rev-parse", self.branch + "~2").strip(), before)
        self.assertEqual(git(self.repository, "status", "--porcelain"), "")
        again = ez("rollback", self.run_id, data=self.box.data)
        self.assertEqual((again.returncode, again.stdout),
                         (0, f"Nothing of {self.run_id} is left on {self.branch}: it was undone already.\n"))
        self.assertEqual(self.server.run(self.run_id)["state"], "succeeded")

    def test_later_work_stays_and_its_lines_are_safe(self):
        self.commit_on(self.branch, "mine.txt", "mine\n")
        text = git(self.repository, "show", self.branch + ":numbers.txt").replace("SEVEN", "7 is mine")
        culprit = self.commit_on(self.branch, "numbers.txt", text)
        refused = self.rollback(status=3)
        self.assertEqual(refused["code"], "ROLLBACK_REFUSED")
        self.assertIn(f'{culprit[:12]} "a person wrote numbers.txt"', refused["detail"])
        self.assertNotIn("mine.txt", refused["detail"])
        self.assertEqual(git(self.repository, "rev-parse", self.branch).strip(), culprit)
        self.commit_on(self.branch, "numbers.txt", text.replace("7 is mine", "SEVEN"))
        self.assertFalse(self.rollback()["exact"])
        self.assertEqual(git(self.repository, "ls-tree", "--name-only", self.branch).split(),
                         ["README.md", "mine.txt", "numbers.txt"])
        self.assertIn("\n7\n", git(self.repository, "show", self.branch + ":numbers.txt"))

    def test_a_branch_that_is_checked_out(self):
        git(self.repository, "merge", "-q", "--no-ff", "-m", "take it", self.branch)
        refused = self.rollback(self.run_id, "--branch", "main", status=3)
        self.assertEqual(refused["code"], "BRANCH_CHECKED_OUT")
        self.assertIn("--into", refused["hint"])
        text = ez("rollback", self.run_id, "--branch", "main", "--into", "undo", data=self.box.data)
        self.assertEqual(text.returncode, 0, text.stderr)
        self.assertIn(f"Undid {self.run_id} on undo", text.stdout)
        git(self.repository, "merge", "-q", "--ff-only", "undo")
        self.assertEqual(self.tree("main"), self.tree("main~3"))
        self.assertTrue((self.repository / "README.md").exists())

    def test_what_cannot_be_undone_is_refused(self):
        self.assertEqual(self.rollback(self.run_id, "--branch", "main", status=3)["code"], "ROLLBACK_REFUSED")
        self.assertEqual(self.rollback("r999", status=3)["code"], "RUN_NOT_FOUND")
        self.assertEqual(self.rollback("main", status=2)["code"], "INVALID_ARGUMENT")
        self.server.register("name: waits\ntasks: [{id: a, wait: {for: 1h}}]\n")
        self.assertEqual(self.rollback(self.server.start_run("waits"), status=3)["code"], "WRONG_STATE")
        self.server.register("name: idle\ntasks: [{id: a, run: 'true'}]\n")
        idle = self.server.start_run("idle")
        self.server.wait_for_run(idle)
        self.assertEqual(self.rollback(idle, status=3)["code"], "ROLLBACK_REFUSED")
        self.repository.rename(self.box.root / "moved")
        self.assertEqual(self.rollback(status=2)["code"], "REPOSITORY_INVALID")
        self.assertEqual(self.rollback(self.run_id, "--repository", str(self.box.root / "moved"))["exact"], True)


if __name__ == "__main__":
    unittest.main()
