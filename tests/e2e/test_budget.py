"""Budget and deadline on the real binary: reserves, the pause that asks, the raise, warnings that followers see."""
import subprocess
import unittest

from harness import EZ, Problem, Sandbox, Server, ez, wait_until

WORKFLOW = """
name: paid
budget: {cost_usd: 10, warn_at: 50%}
tasks:
  - {id: a, agent: {type: claude}, prompt: x, budget: {cost_usd: 6}, retry: {max_attempts: 1}}
  - {id: b, agent: {type: claude}, prompt: x, budget: {cost_usd: 6}, retry: {max_attempts: 1}}
"""
DOLLAR = 1_000_000


class PaidAgent:
    """An agent of the worker API that says what its work cost."""

    def __init__(self, server: Server):
        self.server = server
        self.id = server.call("POST", "/v1/agents", {"name": "payer", "type": "claude", "capacity": 4})["agent"]

    def work(self, want: int = 4, results: list | None = None) -> dict:
        return self.server.call("POST", "/v1/work", {"agent": self.id, "want": want, "wait_ms": 200,
                                                     "results": results or []})

    def take(self, count: int) -> list:
        items: list = []

        def enough():
            items.extend(self.work()["tasks"])
            return len(items) >= count
        wait_until(enough, f"{count} tasks")
        return items

    def report(self, item: dict, cost: int, outcome: str = "succeeded") -> list:
        result = {key: item[key] for key in ("run", "task", "attempt", "fence", "kind")}
        return self.work(0, [{**result, "outcome": outcome, "cost_microusd": cost}])["accepted"]


class BudgetTest(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)
        self.server = Server(self.box.data).start()
        self.addCleanup(self.server.stop)
        self.server.register(WORKFLOW)
        self.agent = PaidAgent(self.server)

    def test_it_pauses_asks_and_goes_on(self):
        run = self.server.start_run("paid")
        follower = subprocess.Popen([EZ, "follow", run, "--plain", "--data", str(self.box.data)],
                                    stdout=subprocess.PIPE, text=True)
        self.addCleanup(follower.stdout.close)
        wait_until(lambda: self.server.call("GET", "/v1/status").get("event_streams"), "the follower")
        first = self.agent.take(1)
        self.assertEqual([item["budget_microusd"] for item in first], [6 * DOLLAR])
        self.assertEqual(self.server.run(run)["reserved_microusd"], 6 * DOLLAR)
        self.agent.report(first[0], 5 * DOLLAR)
        view = wait_until(lambda: (lambda v: v if v["state"] == "paused" else None)(self.server.run(run)),
                          "the pause for want of money")
        self.assertEqual(view["error"]["code"], "BUDGET_EXCEEDED")
        self.assertEqual((view["cost_microusd"], view["warnings"]), (5 * DOLLAR, ["cost"]))
        self.assertIn("ez budget " + run, ez("show", run, data=self.box.data).stdout)

        self.assertEqual(ez("budget", run, "--add", "-1", data=self.box.data).returncode, 2)
        raised = ez("budget", run, "--add", "1", data=self.box.data)
        self.assertEqual(raised.returncode, 0, raised.stderr)
        self.assertIn("$5.00 of $11.00", raised.stdout)
        self.agent.report(self.agent.take(1)[0], 6 * DOLLAR)
        self.assertEqual(self.server.wait_for_run(run)["cost_microusd"], 11 * DOLLAR)
        told = follower.communicate(timeout=60)[0]
        self.assertIn("warning: run " + run + " has spent", told)
        self.assertIn("no money left", told)

    def test_reserves_survive_a_crash_and_claims_over_them_are_refused(self):
        run = self.server.start_run("paid")
        item = self.agent.take(1)[0]
        self.server.kill()
        self.server.start()
        self.assertEqual(self.server.run(run)["reserved_microusd"], 6 * DOLLAR)
        self.agent.report(item, 7 * DOLLAR)
        view = self.server.run(run)
        self.assertEqual(view["cost_microusd"], 6 * DOLLAR)
        task = next(task for task in view["tasks"] if task["id"] == item["task"])
        self.assertEqual((task["state"], task["error"]["code"]), ("paused", "BUDGET_EXCEEDED"))

    def test_a_budget_without_parts_is_warned_of(self):
        file = self.box.root / "parts.yaml"
        file.write_text("name: parts\nbudget: {cost_usd: 10}\ntasks:\n"
                        "  - {id: a, agent: {type: claude}, prompt: x}\n  - {id: b, agent: {type: claude}, prompt: x}\n")
        for words in (("workflow", "validate"), ("workflow", "register"), ("run",)):
            done = ez(*words, str(file), data=self.box.data)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("parts.yaml: warning: the run has a budget and no task has one", done.stderr, words)

    def test_what_cannot_be_raised_is_refused_with_a_code(self):
        self.server.register("name: free\ntasks: [{id: a, run: x}]\n")
        run = self.server.start_run("free")
        for body, code in (({"add_microusd": 5}, "WRONG_STATE"), ({"extend_ms": 5}, "WRONG_STATE"),
                           ({}, "INVALID_ARGUMENT"), ({"add_microusd": -5}, "REQUEST_INVALID")):
            with self.assertRaises(Problem) as problem:
                self.server.call("POST", f"/v1/runs/{run}/budget", body)
            self.assertEqual(problem.exception.code, code)


if __name__ == "__main__":
    unittest.main()
