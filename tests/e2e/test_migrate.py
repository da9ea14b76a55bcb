"""ez migrate on the real binary: preview, one run, all of a version, refusals, kill -9, the example."""
import json
import unittest

from harness import ROOT, Problem, Sandbox, Server, ez, wait_until

OLD = "name: w\ntasks:\n  - {id: a, approval: {}}\n  - {id: b, dependencies: [a], run: 'exit 3'}\n"
NEW = ("name: w\ntasks:\n  - {id: first, run: 'true'}\n  - {id: a, approval: {}}\n"
       "  - {id: b, dependencies: [a, first], run: 'true'}\n")
OTHER = "name: w\ntasks:\n  - {id: a, run: 'true'}\n"


class Migrate(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)
        self.server = Server(self.box.data, agents=2).start()
        self.addCleanup(self.server.stop)

    def ez(self, *arguments: str, status: int = 0) -> str:
        done = ez(*arguments, data=self.box.data)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout if status <= 1 else done.stderr

    def test_all_runs_of_a_version(self):
        self.server.register(OLD)
        runs = [self.server.start_run("w") for _ in range(3)]
        self.server.call("POST", f"/v1/runs/{runs[2]}/tasks/a/approve", {})
        wait_until(lambda: self.server.run(runs[2])["tasks"][1]["state"] != "waiting", "the task after it")
        self.server.register(NEW)
        preview = self.ez("migrate", "--workflow", "w", "--from", "1", "--to", "2", "--preview", status=1)
        self.assertIn(f"{runs[0]}: version 1 to 2, added first, changed b", preview)
        self.assertIn("task b has begun", preview)
        self.assertIn("2 can move, 1 cannot", preview)
        self.assertEqual({self.server.run(run)["version"] for run in runs}, {1})
        view = json.loads(self.ez("migrate", "--workflow", "w", "--from", "1", "--to", "2", "--json", status=1))
        self.assertEqual([item["run"] for item in view["refused"]], [runs[2]])
        self.assertEqual(view["refused"][0]["code"], "MIGRATION_REFUSED")
        self.server.kill()
        self.server.start()
        for run in runs[:2]:
            self.server.call("POST", f"/v1/runs/{run}/tasks/a/approve", {})
            done = self.server.wait_for_run(run)
            self.assertEqual((done["state"], done["version"]), ("succeeded", 2))
            self.assertEqual([(m["from"], m["to"]) for m in done["migrations"]], [(1, 2)])
            self.assertEqual([task["id"] for task in done["tasks"]], ["first", "a", "b"])

    def test_refusals(self):
        self.server.register(OLD)
        run = self.server.start_run("w")
        self.assertIn("WRONG_STATE", self.ez("migrate", run, status=3))
        self.assertIn("WORKFLOW_NOT_FOUND", self.ez("migrate", run, "--to", "7", status=3))
        self.server.register(OTHER)
        self.assertIn("its run is another one there", self.ez("migrate", run, status=3))
        self.assertIn("INVALID_ARGUMENT", self.ez("migrate", status=2))
        self.assertIn("INVALID_ARGUMENT", self.ez("migrate", "--workflow", "w", status=2))
        self.assertIn("RUN_NOT_FOUND", self.ez("migrate", "r99", status=3))
        with self.assertRaises(Problem) as problem:
            self.server.call("POST", f"/v1/runs/{run}/migrate", {"version": 2, "from": 9})
        self.assertEqual(problem.exception.code, "WRONG_STATE")
        self.server.call("POST", f"/v1/runs/{run}/cancel", {})
        self.assertIn("WRONG_STATE", self.ez("migrate", run, status=3))

    def test_the_example(self):
        self.ez("run", str(ROOT / "examples/migrate/version-1.yaml"))
        wait_until(lambda: self.server.run("r1")["waiting_for_person"] == 1, "the approval")
        self.ez("workflow", "register", str(ROOT / "examples/migrate/version-2.yaml"))
        self.assertIn("added check, changed publish", self.ez("migrate", "r1", "--preview"))
        self.ez("migrate", "r1")
        self.ez("approve", "r1", "go")
        self.assertEqual(self.server.wait_for_run("r1")["state"], "succeeded")
        self.assertIn("moved  from version 1 to 2", self.ez("show", "r1"))
        self.assertIn("after the check", self.ez("logs", "r1", "publish"))


if __name__ == "__main__":
    unittest.main()
