"""Who is served next, through the API and the command line of the real binary."""
import unittest

from harness import Problem, Sandbox, Server, ez

ONE = "name: {name}\nnamespace: {space}\ntasks:\n  - id: a\n    run: 'true'\n"


class Hand:
    """A worker over the API that takes and reports when it is told to."""

    def __init__(self, server: Server, capacity: int, capabilities: list[str] | None = None, name: str = "hand"):
        self.server = server
        self.id = server.call("POST", "/v1/agents", {"name": name, "type": "exec", "capacity": capacity,
                                                     "capabilities": capabilities or []})["agent"]

    def take(self, want: int = 1, results: list | None = None) -> list[dict]:
        return self.server.call("POST", "/v1/work", {"agent": self.id, "want": want, "wait_ms": 100,
                                                     "results": results or []})["tasks"]

    def report(self, tasks: list[dict], want: int = 0) -> list[dict]:
        results = [{key: task[key] for key in ("run", "task", "attempt", "fence", "kind")} | {"outcome": "succeeded"}
                   for task in tasks]
        return self.take(want, results)


class Scheduling(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)
        self.server = Server(self.box.data).start()
        self.addCleanup(lambda: self.server.stop())

    def ez(self, *arguments: str, status: int = 0, **more) -> str:
        done = ez(*arguments, data=self.box.data, cwd=self.box.root, **more)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def start(self, space: str, workflow: str = "w", **more) -> str:
        return self.server.call("POST", "/v1/runs", {"workflow": workflow, "namespace": space, **more})["run"]

    def test_namespaces_share_by_weight_and_keep_their_limit(self):
        for space in ("big", "small"):
            self.server.register(ONE.format(name="w", space=space))
        self.assertIn("weight 3, limit -", self.ez("namespace", "set", "big", "--weight", "3"))
        for space in ("small", "big"):
            for _ in range(60):
                self.start(space)
        hand = Hand(self.server, 4)
        spaces = {}
        tasks = hand.take(4)
        for _ in range(20):
            for task in tasks:
                space = self.server.run(task["run"])["namespace"]
                spaces[space] = spaces.get(space, 0) + 1
            tasks = hand.report(tasks, want=4)
        self.assertAlmostEqual(spaces["big"], 60, delta=3)
        self.assertAlmostEqual(spaces["small"], 20, delta=3)
        hand.report(tasks)
        # A limit holds, and outlives a restart.
        self.ez("namespace", "set", "small", "--max-running", "2")
        self.assertEqual(self.server.stop(), 0)
        self.server = Server(self.box.data).start()
        view = self.server.call("GET", "/v1/namespaces/small")
        self.assertEqual((view["weight"], view["max_running"]), (1, 2))
        hand = Hand(self.server, 100)
        tasks = hand.take(100)
        running = [self.server.run(task["run"])["namespace"] for task in tasks]
        self.assertEqual(running.count("small"), 2)
        view = self.server.call("GET", "/v1/namespaces/small")
        self.assertEqual(view["running"], 2)
        self.assertGreater(view["ready"], 10)
        table = self.ez("namespace", "list")
        self.assertIn("small", table)
        self.assertIn("LIMIT", table)

    def test_the_namespace_of_a_run_comes_from_option_file_or_environment(self):
        (self.box.root / "plain.yaml").write_text("name: plain\ntasks:\n  - {id: a, run: 'true'}\n")
        (self.box.root / "own.yaml").write_text(ONE.format(name="own", space="mine"))
        self.ez("run", "plain.yaml")
        self.ez("run", "plain.yaml", "--namespace", "given")
        self.ez("run", "plain.yaml", env={"EZ_NAMESPACE": "around"})
        self.ez("run", "own.yaml", env={"EZ_NAMESPACE": "around"})
        spaces = [self.server.run(f"r{n}")["namespace"] for n in range(1, 5)]
        self.assertEqual(spaces, ["default", "given", "around", "mine"])
        self.assertIn("r2", self.ez("ps", "--namespace", "given"))
        self.assertNotIn("r1", self.ez("ps", "--namespace", "given"))
        everything = self.ez("ps", "--namespace", "*")
        self.assertIn("NAMESPACE", everything)
        for run in ("r1", "r2", "r3", "r4"):
            self.assertIn(run, everything)

    def test_bad_namespaces_are_refused(self):
        for body, code in (({"weight": 1001}, "REQUEST_INVALID"), ({}, "REQUEST_INVALID"),
                           ({"max_running": -1}, "REQUEST_INVALID"), ({"wait": 1}, "REQUEST_INVALID")):
            with self.subTest(body=body), self.assertRaises(Problem) as refused:
                self.server.call("POST", "/v1/namespaces/a", body)
            self.assertEqual(refused.exception.code, code)
        with self.assertRaises(Problem) as refused:
            self.server.call("POST", "/v1/namespaces/Bad", {"weight": 1})
        self.assertEqual(refused.exception.code, "INVALID_ARGUMENT")
        with self.assertRaises(Problem) as refused:
            self.server.call("GET", "/v1/namespaces/none")
        self.assertEqual(refused.exception.code, "NAMESPACE_NOT_FOUND")
        self.assertIn("neither", self.ez("namespace", "set", "a", status=2))


if __name__ == "__main__":
    unittest.main()
