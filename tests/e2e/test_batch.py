"""`ez batch` on the real binary: preview, no without --yes, the end, bad filters, a restart."""
import json
import unittest

from harness import Problem, Sandbox, Server, ez

WAITING = "name: waiting\ninputs: {n: {type: int, default: 1}}\ntasks:\n  - {id: a, approval: {}}\n"


class BatchTest(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)
        self.server = Server(self.box.data).start()
        self.addCleanup(self.server.stop)
        self.server.register(WAITING)
        self.runs = [self.server.start_run("waiting", {"n": n}) for n in range(30)]

    def states(self) -> dict:
        items = self.server.call("GET", "/v1/runs?limit=100")["items"]
        return {item["id"]: item["state"] for item in items}

    def test_preview_then_yes(self):
        preview = ez("batch", "pause", "--filter", "inputs.n < 25", data=self.box.data)
        self.assertEqual(preview.returncode, 1, preview.stderr)
        self.assertIn("25 of 30 live runs match", preview.stdout)
        self.assertIn("and 5 more", preview.stdout)
        self.assertEqual(set(self.states().values()), {"running"})

        done = ez("batch", "pause", "--filter", "inputs.n < 25", "--yes", "--json", data=self.box.data)
        self.assertEqual(done.returncode, 0, done.stderr)
        view = json.loads(done.stdout)
        self.assertEqual((view["state"], view["done"], view["refused"]), ("done", 25, 0))
        self.assertEqual(sum(state == "paused" for state in self.states().values()), 25)

        self.server.kill()
        self.server.start()
        with self.assertRaises(Problem) as problem:
            self.server.call("GET", f"/v1/batches/{view['batch']}")
        self.assertEqual(problem.exception.code, "BATCH_NOT_FOUND")
        self.assertEqual(sum(state == "paused" for state in self.states().values()), 25)
        ended = ez("batch", "cancel", "--filter", 'state == "paused"', "--yes", data=self.box.data)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertIn("25 done, 0 refused", ended.stdout)

    def test_bad_input(self):
        for arguments, code in ((["explode", "--filter", "true"], "REQUEST_INVALID"),
                                (["cancel", "--filter", "state =="], "EXPRESSION_INVALID"),
                                (["cancel"], "INVALID_ARGUMENT")):
            answer = ez("batch", *arguments, "--yes", data=self.box.data)
            self.assertEqual(answer.returncode, 2, answer.stderr)
            self.assertIn(code, answer.stderr)
        self.assertEqual(set(self.states().values()), {"running"})


if __name__ == "__main__":
    unittest.main()
