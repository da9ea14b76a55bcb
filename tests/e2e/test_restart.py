"""Tasks done again on the real binary: in a live run, and of a finished one with the branch at the right commit."""
import unittest

from harness import Problem, Sandbox, Server, ez, git, make_repository, wait_until

REPOSITORY = """
name: steps
inputs: {repo: {type: git}}
repository: ${{ inputs.repo }}
defaults: {retry: {max_attempts: 1}, on_failure: fail}
tasks:
  - {id: a, run: "echo a >> a.txt"}
  - {id: b, dependencies: [a], run: "echo b >> b.txt"}
  - {id: c, dependencies: [b], run: "echo c >> c.txt"}
"""
LIVE = """
name: live
tasks:
  - {id: a, run: "echo '{\\"n\\": 1}' > $EZ_OUTPUT"}
  - {id: b, dependencies: [a], run: "true"}
  - {id: gate, dependencies: [b], approval: {message: "go on?"}}
"""


class RestartTest(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)
        self.server = Server(self.box.data, agents=2).start()
        self.addCleanup(self.server.stop)

    def task(self, run: str, task: str) -> dict:
        return self.server.call("GET", f"/v1/runs/{run}/tasks/{task}")

    def test_of_a_finished_run_the_branch_starts_at_the_last_merge_that_is_kept(self):
        repo = make_repository(self.box.root / "repo")
        self.server.register(REPOSITORY)
        first = self.server.start_run("steps", {"repo": str(repo)})
        self.assertEqual(self.server.wait_for_run(first)["state"], "succeeded")
        after_a = self.task(first, "a")["merged_head"]

        answer = ez("run", "--from", first, "--task", "b", "--redo", "--follow", data=self.box.data)
        self.assertEqual(answer.returncode, 0, answer.stderr + answer.stdout)
        second = answer.stdout.split()[1]
        view = self.server.run(second)
        self.assertEqual((view["resumed_from"], view["state"]), (first, "succeeded"))
        self.assertEqual({task["id"]: task["seeded"] for task in view["tasks"]}, {"a": True, "b": False, "c": False})
        self.assertEqual(git(repo, "show", f"{view['branch']}:b.txt"), "b\n")
        self.assertEqual(git(repo, "merge-base", view["branch"], after_a).strip(), after_a)

        kept = ez("retry", first, "b", "--keep", "--json", data=self.box.data)
        self.assertEqual(kept.returncode, 0, kept.stderr)
        third = self.server.wait_for_run("r3")
        self.assertEqual({task["id"]: task["seeded"] for task in third["tasks"]}, {"a": True, "b": False, "c": True})
        # c was merged last and is kept, so the branch has all of it, and b worked on top.
        self.assertEqual(git(repo, "show", f"{third['branch']}:b.txt"), "b\nb\n")
        self.assertEqual(git(repo, "show", f"{third['branch']}:c.txt"), "c\n")

    def test_in_a_live_run(self):
        self.server.register(LIVE)
        run = self.server.start_run("live")
        wait_until(lambda: self.task(run, "gate")["state"] == "approval", "the approval")
        self.assertEqual(ez("retry", run, "a", "--keep", data=self.box.data).returncode, 0)
        wait_until(lambda: self.task(run, "a")["attempt"] == 2 and self.task(run, "a")["state"] == "succeeded",
                   "the second attempt of a")
        self.assertEqual(self.task(run, "b")["attempt"], 1)
        self.assertEqual(self.task(run, "gate")["state"], "approval")
        self.server.kill()
        self.server.start()
        self.assertEqual(ez("retry", run, "a", "--redo", data=self.box.data).returncode, 0)
        wait_until(lambda: self.task(run, "b")["attempt"] == 2 and self.task(run, "gate")["state"] == "approval",
                   "the second attempt of b and the approval that is asked again")
        self.assertEqual(self.task(run, "a")["attempt"], 3)
        self.assertEqual(ez("approve", run, "gate", data=self.box.data).returncode, 0)
        self.assertEqual(self.server.wait_for_run(run)["state"], "succeeded")

    def test_refusals_have_codes(self):
        self.server.register(LIVE)
        run = self.server.start_run("live")
        wait_until(lambda: self.task(run, "gate")["state"] == "approval", "the approval")
        for path, body, code in ((f"/v1/runs/{run}/tasks/gate/retry", {"mode": "redo"}, "WRONG_STATE"),
                                 (f"/v1/runs/{run}/tasks/a/retry", {"mode": "again"}, "REQUEST_INVALID"),
                                 (f"/v1/runs/{run}/tasks/z/retry", {"mode": "keep"}, "TASK_NOT_FOUND"),
                                 (f"/v1/runs/{run}/retry", {"tasks": ["a"]}, "WRONG_STATE"),
                                 (f"/v1/runs/{run}/retry", {"mode": "keep"}, "REQUEST_INVALID")):
            with self.assertRaises(Problem) as problem:
                self.server.call("POST", path, body)
            self.assertEqual(problem.exception.code, code, path)
        self.assertEqual(ez("retry", run, "--redo", data=self.box.data).returncode, 2)
        self.assertEqual(ez("run", "--from", run, data=self.box.data).returncode, 2)
        self.assertEqual(ez("run", data=self.box.data).returncode, 2)


if __name__ == "__main__":
    unittest.main()
