"""on_failure: rollback on the real binary: order, kill -9 in the middle, a compensation that fails, the example."""
import unittest

from harness import ROOT, Sandbox, Server, Worker, ez, wait_until

STEPS = """name: steps
defaults: {on_failure: rollback, retry: {max_attempts: 1}}
tasks:
"""


def step(name: str, after: str) -> str:
    return (f"  - id: {name}\n    dependencies: [{after}]\n    run: 'true'\n"
            f"    compensate: {{run: 'printf \"[\\\"{name}\\\"]\" > \"$EZ_OUTPUT\"', retry: {{max_attempts: 3, backoff: 1s}}}}\n")


class Rollback(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)
        self.server = Server(self.box.data).start()
        self.addCleanup(self.server.stop)

    def worker(self) -> Worker:
        # Always the same name: what it held before is given out again at once.
        worker = Worker(self.server, "worker", 4, self.box.root / "workspaces").start()
        self.addCleanup(worker.stop)
        return worker

    def tasks(self, run: str) -> dict:
        return {task["id"]: task for task in self.server.run(run)["tasks"]}

    def test_kill_9_in_a_rollback_undoes_everything_once(self):
        names = [f"s{i}" for i in range(8)]
        source = STEPS + "".join(step(name, names[i - 1] if i else "") for i, name in enumerate(names))
        source += "  - {id: last, dependencies: [s7], run: 'false'}\n"
        self.server.register(source)
        worker = self.worker()
        run = self.server.start_run("steps")
        for begun in (1, 3, 5):
            wait_until(lambda: (self.server.run(run)["rollback"] or {}).get("begun", 0) >= begun, "a compensation")
            self.server.kill()
            worker.kill()
            self.server.start()
            worker = self.worker()
        view = self.server.wait_for_run(run)
        self.assertEqual(view["state"], "failed")
        self.assertEqual(view["rollback"], {"state": "done", "begun": 8,
                                            "tasks": [f"undo-{name}" for name in reversed(names)]})
        self.assertEqual(view["error"]["code"], "COMMAND_FAILED")
        tasks = self.tasks(run)
        ends = [tasks[f"undo-{name}"]["finished_at"] for name in reversed(names)]
        self.assertEqual(ends, sorted(ends))
        for name in names:
            self.assertEqual(tasks[f"undo-{name}"]["output"], [name])

    def test_a_compensation_that_fails_asks(self):
        self.server.register(
            "name: asks\ndefaults: {on_failure: rollback, retry: {max_attempts: 1}}\ntasks:\n"
            "  - {id: a, run: 'true', compensate: {run: 'true'}}\n"
            "  - {id: b, dependencies: [a], run: 'true', compensate: {run: 'false'}}\n"
            "  - {id: c, dependencies: [b], run: 'false'}\n")
        self.worker()
        run = self.server.start_run("asks")
        wait_until(lambda: self.tasks(run)["undo-b"]["state"] == "paused", "the question")
        self.assertIn("rollback  under_way, 1 of 2", ez("show", run, data=self.box.data).stdout)
        done = ez("reject", run, "undo-b", data=self.box.data)
        self.assertEqual(done.returncode, 0, done.stderr)
        view = self.server.wait_for_run(run)
        self.assertEqual((view["state"], view["rollback"]["state"]), ("failed", "incomplete"))
        self.assertEqual(self.tasks(run)["undo-a"]["state"], "succeeded")
        again = ez("retry", run, data=self.box.data)
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual(self.server.run("r2")["tasks"][0]["seeded"], False)

    def test_the_example(self):
        self.worker()
        done = ez("run", str(ROOT / "examples/rollback/workflow.yaml"), "--follow", data=self.box.data)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        view = self.server.run("r1")
        self.assertEqual(view["rollback"]["tasks"], ["stop-servers", "undo-first"])
        self.assertEqual(view["rollback"]["state"], "done")
        done = ez("run", str(ROOT / "examples/rollback/workflow.yaml"), "--input", "works=true", "--follow",
                  data=self.box.data)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
