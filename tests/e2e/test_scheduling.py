"""Who is served next, through the API and the command line of the real binary."""
import unittest
from datetime import datetime

from harness import Problem, Sandbox, Server, ez

ONE = "name: {name}\nnamespace: {space}\ntasks:\n  - id: a\n    run: 'true'\n"


def stamp(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Hand:
    """A worker over the API that takes and reports when it is told to."""

    def __init__(self, server: Server, capacity: int, capabilities: list[str] | None = None, name: str = "hand"):
        self.server = server
        self.id = server.call("POST", "/v1/agents", {"name": name, "type": "exec", "capacity": capacity,
                                                     "capabilities": capabilities or []})["agent"]

    def take(self, want: int = 1, results: list | None = None, wait_ms: int = 2000) -> list[dict]:
        return self.server.call("POST", "/v1/work", {"agent": self.id, "want": want, "wait_ms": wait_ms,
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

    def state(self, run: str, task: str = "a") -> str:
        return next(t["state"] for t in self.server.run(run)["tasks"] if t["id"] == task)

    def test_runs_wait_for_their_key_or_take_its_place(self):
        for policy in ("wait", "cancel_oldest", "cancel_newest", "reject"):
            self.server.register(f"name: {policy.replace('_', '-')}\nconcurrency: {{key: k, when_full: {policy}}}\n"
                                 "tasks:\n  - id: a\n    run: 'true'\n")
        first = self.start("default", "wait")
        second = self.start("default", "wait")
        self.assertEqual(self.server.run(second)["state"], "queued")
        self.assertIn("queued", self.ez("ps"))
        self.assertIn("concurrency key k", self.ez("show", second))
        self.assertIn(second, self.ez("ps", "--state", "queued"))
        self.assertIn(f"held by {first}", self.ez("why", second, "a"))
        self.assertIn("No agent of the type exec is registered", self.ez("why", first, "a"))
        hand = Hand(self.server, 1)
        self.assertIn("have room", self.ez("why", first, "a"))
        tasks = hand.take()
        self.assertIn("Agent hand has had attempt 1", self.ez("why", first, "a"))
        hand.report(tasks)
        self.assertEqual(self.server.call("GET", f"/v1/runs/{first}/tasks/a/why")["reasons"][0]["kind"], "succeeded")
        self.assertIn("TASK_NOT_FOUND", self.ez("why", first, "none", status=3))
        self.assertEqual(self.server.wait_for_run(first)["state"], "succeeded")
        self.assertEqual(self.server.run(second)["state"], "running")
        third = self.start("default", "cancel-oldest")
        self.assertEqual(self.server.wait_for_run(second)["state"], "cancelled")
        self.assertEqual(self.server.run(second)["error"]["code"], "CONCURRENCY_FULL")
        fourth = self.start("default", "cancel-newest")
        self.assertEqual(self.server.wait_for_run(fourth)["state"], "cancelled")
        with self.assertRaises(Problem) as refused:
            self.start("default", "reject")
        self.assertEqual((refused.exception.status, refused.exception.code), (409, "CONCURRENCY_FULL"))
        self.assertEqual(self.server.run(third)["state"], "running")

    def test_a_rate_spreads_starts(self):
        self.server.register("name: w\ntasks:\n  - id: a\n    run: 'true'\n"
                             "    rate: {key: k, limit: 2, per: 1s}\n")
        runs = [self.start("default") for _ in range(4)]
        hand = Hand(self.server, 10)
        tasks = []
        while len(tasks) < 4:
            tasks += hand.take(10, wait_ms=100)
        hand.report(tasks)
        begun = []
        for run in runs:
            view = self.server.wait_for_run(run)
            begun.append((view["created_at"], view["tasks"][0]["started_at"]))
        # Two start at once, the others half a second and a second after the first was made.
        started = sorted(stamp(at) for _, at in begun)
        self.assertGreaterEqual(started[3] - stamp(begun[0][0]), 0.99)
        self.assertGreaterEqual(started[2] - stamp(begun[0][0]), 0.49)

    def test_pauses_hold_and_are_shown_and_outlive_a_restart(self):
        self.server.register(ONE.format(name="w", space="default"))
        self.server.register(ONE.format(name="v", space="default"))
        run = self.start("default")
        self.assertIn("is paused", self.ez("pause", "--workflow", "w", "-m", "repairs"))
        self.assertEqual(self.server.stop(), 0)
        self.server = Server(self.box.data).start()
        hand = Hand(self.server, 10)
        self.assertEqual(hand.take(wait_ms=100), [])
        view = self.server.run(run)
        self.assertEqual((view["state"], view["held_by"]["name"], view["held_by"]["comment"]),
                         ("running", "w", "repairs"))
        self.assertIn("running (held)", self.ez("ps"))
        self.assertIn("repairs", self.ez("show", run))
        other = self.start("default", "v")
        tasks = hand.take()
        self.assertEqual([task["run"] for task in tasks], [other])
        hand.report(tasks)
        self.ez("resume", "--workflow", "w")
        tasks = hand.take()
        self.assertEqual([task["run"] for task in tasks], [run])
        # What runs goes on while its agents are paused.
        self.ez("pause", "--agent-type", "exec")
        self.assertIn("(held)", self.ez("agents"))
        again = self.start("default")
        self.assertEqual(hand.report(tasks, want=1), [])
        self.assertEqual(self.server.wait_for_run(run)["state"], "succeeded")
        self.ez("pause", "--namespace", "default")
        self.ez("resume", "--agent-type", "exec")
        self.assertEqual(hand.take(wait_ms=100), [])
        self.assertIn("paused", self.ez("namespace", "list"))
        self.assertEqual([pause["kind"] for pause in self.server.call("GET", "/v1/pauses")["items"]], ["namespace"])
        self.ez("resume", "--namespace", "default")
        hand.report(hand.take())
        self.assertEqual(self.server.wait_for_run(again)["state"], "succeeded")
        self.assertIn("WRONG_STATE", self.ez("resume", "--namespace", "default", status=3))
        self.assertIn("WORKFLOW_NOT_FOUND", self.ez("pause", "--workflow", "none", status=3))
        self.assertIn("AGENT_NOT_FOUND", self.ez("pause", "--agent-type", "none", status=3))
        self.assertIn("INVALID_ARGUMENT", self.ez("pause", status=2))


if __name__ == "__main__":
    unittest.main()
