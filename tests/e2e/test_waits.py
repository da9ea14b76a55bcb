"""Waits for time and for signals on the real binary: a crash in between, early and repeated signals, bad ones."""
import json
import unittest
from datetime import datetime, timedelta, timezone

from harness import ROOT, Problem, Sandbox, Server, ez, wait_until

SOURCE = """name: w
inputs: {{at: {{type: string}}}}
tasks:
  - {{id: short, wait: {{for: 1500ms}}}}
  - {{id: moment, wait: {{until: "${{{{ inputs.at }}}}"}}}}
  - {{id: first, wait: {{signal: go}}}}
  - {{id: second, dependencies: [first], wait: {{signal: go, timeout: {timeout}}}, on_failure: {policy}}}
"""


def source(timeout: str = "1h", policy: str = "pause") -> str:
    return SOURCE.format(timeout=timeout, policy=policy)


class Waits(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)
        self.server = Server(self.box.data, agents=1).start()
        self.addCleanup(lambda: self.server.stop())

    def ez(self, *arguments: str, status: int = 0) -> str:
        done = ez(*arguments, data=self.box.data, cwd=self.box.root)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def task(self, run: str, task: str) -> dict:
        return self.server.call("GET", f"/v1/runs/{run}/tasks/{task}")

    def test_the_example(self):
        self.ez("run", str(ROOT / "examples/waits/workflow.yaml"))
        # Early: nothing waits for it before `prepare` is done; either way it is taken once.
        self.ez("signal", "r1", "reviewed", "--payload", '{"approved": true, "by": "Ada"}', "--id", "x")
        self.assertIn("has this signal already",
                      self.ez("signal", "r1", "reviewed", "--payload", '{"approved": true, "by": "Ada"}', "--id", "x"))
        view = self.server.wait_for_run("r1")
        self.assertEqual(view["state"], "succeeded")
        self.assertEqual(self.task("r1", "publish")["output"], {"by": "Ada"})
        settle = self.task("r1", "settle")
        self.assertGreaterEqual(settle["duration_ms"], 3000)
        self.assertIsNone(settle["agent_type"])

    def test_queries_of_a_live_and_of_a_finished_run(self):
        self.server.register(source() + "queries:\n  waits: tasks.first.state\n  answer: tasks.second.output.n * 2\n")
        run = self.server.start_run("w", {"at": "2020-01-01T00:00:00Z"})
        self.assertIn("tasks.first.state", self.ez("query", run))
        self.assertEqual(self.ez("query", run, "waits"), "signal\n")
        self.assertIn("EXPRESSION_FAILED", self.ez("query", run, "answer", status=1))
        self.assertIn("QUERY_NOT_FOUND", self.ez("query", run, "none", status=3))
        for n in range(2):
            self.ez("signal", run, "go", "--payload", json.dumps({"n": n + 20}))
        self.server.wait_for_run(run)
        self.assertEqual(self.ez("query", run, "answer"), "42\n")
        view = json.loads(self.ez("query", run, "waits", "--json"))
        self.assertEqual(view, {"run": run, "query": "waits", "state": "succeeded", "value": "succeeded"})

    def test_waits_outlive_a_crash_and_are_explained(self):
        self.server.register(source())
        at = (datetime.now(timezone.utc) + timedelta(seconds=1)).isoformat(timespec="milliseconds")
        run = self.server.start_run("w", {"at": at})
        self.assertIn("It waits until", self.ez("why", run, "short"))
        self.assertIn(f"`ez signal {run} go` sends it", self.ez("why", run, "first"))
        self.assertIn("signal", self.ez("show", run))
        self.server.kill()
        self.server.start()
        wait_until(lambda: self.task(run, "short")["state"] == "succeeded", "the end of a wait over a crash")
        wait_until(lambda: self.task(run, "moment")["state"] == "succeeded", "the moment")
        self.assertGreaterEqual(self.task(run, "short")["duration_ms"], 1500)
        answer = self.box.root / "answer.json"
        answer.write_text('["from", "a", "file"]')
        self.assertIn(f"{run}/first took", self.ez("signal", run, "go", "--payload", f"@{answer}"))
        self.assertEqual(self.task(run, "first")["output"], ["from", "a", "file"])
        self.ez("pause", run)
        self.assertIn("keeps the signal", self.ez("signal", run, "go"))
        self.assertEqual([one["name"] for one in self.server.run(run)["signals"]], ["go"])
        self.server.kill()
        self.server.start()
        self.ez("resume", run)
        view = self.server.wait_for_run(run)
        self.assertEqual(view["state"], "succeeded")
        self.assertIsNone(self.task(run, "second")["output"])

    def test_a_timeout_does_as_the_policy_says(self):
        for policy, state in (("continue", "succeeded"), ("fail", "failed")):
            with self.subTest(policy=policy):
                self.server.register(source("200ms", policy))
                run = self.server.start_run("w", {"at": "2020-01-01T00:00:00Z"})
                self.server.call("POST", f"/v1/runs/{run}/signals/go", {})
                self.assertEqual(self.server.wait_for_run(run)["state"], state)
                self.assertEqual(self.task(run, "second")["error"]["code"], "TASK_TIMEOUT")

    def test_bad_signals(self):
        self.server.register(source())
        run = self.server.start_run("w", {"at": "2020-01-01T00:00:00Z"})
        self.assertIn("SIGNAL_NOT_FOUND", self.ez("signal", run, "stop", status=3))
        self.assertIn("RUN_NOT_FOUND", self.ez("signal", "r99", "go", status=3))
        self.assertIn("INVALID_ARGUMENT", self.ez("signal", run, "go", "--payload", "{", status=2))
        self.assertIn("IO_FAILED", self.ez("signal", run, "go", "--payload", "@none.json", status=6))
        large = self.box.root / "large.json"
        large.write_text(json.dumps("x" * 16 * 1024))
        self.assertIn("PAYLOAD_TOO_LARGE", self.ez("signal", run, "go", "--payload", f"@{large}", status=2))
        self.ez("pause", run)
        for number in range(100):
            self.server.call("POST", f"/v1/runs/{run}/signals/go", {"payload": number})
        with self.assertRaises(Problem) as full:
            self.server.call("POST", f"/v1/runs/{run}/signals/go", {"payload": 100})
        self.assertEqual((full.exception.status, full.exception.code), (409, "SIGNALS_FULL"))
        # Full as it is, it goes on and ends.
        self.ez("resume", run)
        self.assertEqual(self.server.wait_for_run(run)["state"], "succeeded")
        self.assertEqual((self.task(run, "first")["output"], self.task(run, "second")["output"]), (0, 1))
        self.assertIn("WRONG_STATE", self.ez("signal", run, "go", status=3))

    def test_a_batch_signals_those_who_match(self):
        self.server.register(source())
        runs = [self.server.start_run("w", {"at": "2020-01-01T00:00:00Z"}) for _ in range(5)]
        preview = self.ez("batch", "signal", "--filter", "workflow == 'w'", "--signal", "go", status=1)
        self.assertIn("5 of 5 live runs match", preview)
        for _ in range(2):
            done = self.ez("batch", "signal", "--filter", "workflow == 'w'", "--signal", "go", "--payload", "[1]",
                           "--id", "once", "--yes")
            self.assertIn("5 done, 0 refused", done)
        for run in runs:
            self.assertEqual(self.task(run, "first")["output"], [1])
            self.assertEqual(self.task(run, "second")["state"], "signal")
        self.assertIn("REQUEST_INVALID", self.ez("batch", "signal", "--filter", "true", "--yes", status=2))


if __name__ == "__main__":
    unittest.main()
