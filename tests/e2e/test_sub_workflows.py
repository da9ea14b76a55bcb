"""Runs that start runs, on the real binary: the example, a crash in between, cancel and pause, bad ones."""
import unittest

from harness import ROOT, Sandbox, Server, ez, wait_until

CHILD = """name: child
inputs: {n: {type: int}}
outputs: {n: inputs.n, double: inputs.n * 2}
tasks:
  - {id: a, wait: {signal: go}}
"""
PARENT = """name: parent
tasks:
  - id: sub
    for_each: ${{ [1, 2] }}
    workflow: {name: child, inputs: {n: "${{ item }}"}}
    retry: {max_attempts: 1}
  - id: after
    dependencies: [sub]
    wait: {for: 1ms}
"""


class SubWorkflows(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)
        self.server = Server(self.box.data, agents=2).start()
        self.addCleanup(lambda: self.server.stop())

    def ez(self, *arguments: str, status: int = 0) -> str:
        done = ez(*arguments, data=self.box.data, cwd=self.box.root)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def task(self, run: str, task: str) -> dict:
        return self.server.call("GET", f"/v1/runs/{run}/tasks/{task}")

    def test_the_example(self):
        folder = ROOT / "examples/sub-workflow"
        self.ez("workflow", "register", str(folder / "package.yaml"))
        done = self.ez("run", str(folder / "release.yaml"), "--input", "version=1.2", "--follow")
        self.assertIn("succeeded", done)
        view = self.server.run("r1")
        self.assertEqual(view["outputs"], {"files": ["tool-1.2.deb", "tool-1.2.rpm", "tool-1.2.tar.gz"]})
        self.assertIsNone(view["parent"])
        child = self.task("r1", "packages.1")["child"]
        self.assertEqual(self.server.run(child)["parent"], {"run": "r1", "task": "packages.1"})
        self.assertIn(f"packages.1 = {child}", self.ez("show", "r1"))
        self.assertIn("parent r1/packages.1", self.ez("show", child))
        self.assertEqual(len(self.server.call("GET", "/v1/runs?limit=10")["items"]), 4)

    def test_a_crash_starts_nothing_twice(self):
        self.server.register(CHILD)
        self.server.register(PARENT)
        run = self.server.start_run("parent")
        children = [self.task(run, f"sub.{n}")["child"] for n in range(2)]
        self.assertIn(f"waits for {children[0]}, a run of child", self.ez("why", run, "sub.0"))
        self.server.kill()
        self.server.start()
        self.assertEqual([self.task(run, f"sub.{n}")["child"] for n in range(2)], children)
        self.ez("signal", children[0], "go")
        self.assertEqual(self.task(run, "sub.0")["output"], {"n": 1, "double": 2})
        self.server.kill()
        self.server.start()
        self.ez("signal", children[1], "go")
        self.assertEqual(self.server.wait_for_run(run)["state"], "succeeded")
        self.assertEqual(len(self.server.call("GET", "/v1/runs?limit=10")["items"]), 3)

    def test_cancel_and_pause_reach_the_children(self):
        self.server.register(CHILD)
        self.server.register(PARENT)
        run = self.server.start_run("parent")
        child = self.task(run, "sub.0")["child"]
        self.ez("pause", run)
        self.assertEqual(self.server.run(child)["state"], "paused")
        self.ez("resume", run)
        self.assertEqual(self.server.run(child)["state"], "running")
        self.ez("cancel", child)
        wait_until(lambda: self.task(run, "sub.0")["state"] == "paused", "the question about a cancelled child")
        self.assertEqual(self.task(run, "sub.0")["error"]["code"], "TASK_CANCELLED")
        self.ez("retry", run, "sub.0")
        again = self.task(run, "sub.0")["child"]
        self.assertNotEqual(again, child)
        self.ez("cancel", run)
        for one in (again, self.task(run, "sub.1")["child"]):
            self.assertEqual(self.server.wait_for_run(one)["state"], "cancelled")

    def test_bad_children_are_answered(self):
        self.server.register("name: lost\ntasks:\n  - {id: a, on_failure: fail, retry: {max_attempts: 1}, "
                             "workflow: {name: none}}\n")
        run = self.server.wait_for_run(self.server.start_run("lost"))
        self.assertEqual((run["state"], run["error"]["code"]), ("failed", "WORKFLOW_NOT_FOUND"))
        for one, other in (("x", "y"), ("y", "x")):
            self.server.register(f"name: {one}\ntasks:\n  - {{id: a, on_failure: fail, retry: {{max_attempts: 1}}, "
                                 f"workflow: {{name: {other}}}}}\n")
        run = self.server.wait_for_run(self.server.start_run("x"))
        self.assertEqual(run["error"]["code"], "SUB_WORKFLOW_TOO_DEEP")
        self.assertIn("x → y → x", run["error"]["message"])
        (self.box.root / "self.yaml").write_text("name: w\ntasks:\n  - {id: a, workflow: {name: w}}\n")
        self.assertIn("would start itself", self.ez("workflow", "validate", "self.yaml", status=2))


if __name__ == "__main__":
    unittest.main()
