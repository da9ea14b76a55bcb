"""Schedules on the real binary: ticks, kill -9 in the middle of them, overlap, backfill, bad input, the example."""
import collections
import datetime
import json
import time
import unittest

from harness import ROOT, Sandbox, Server, ez, wait_until

QUICK = "name: quick\ninputs: {n: {type: int, default: 1}}\ntasks:\n  - {id: a, run: 'true'}\n"
HELD = "name: held\ntasks:\n  - {id: a, approval: {}}\n"


class Schedules(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)
        self.server = Server(self.box.data, agents=2).start()
        self.addCleanup(self.server.stop)
        self.server.register(QUICK)
        self.server.register(HELD)

    def ez(self, *arguments: str, status: int = 0) -> str:
        done = ez("schedule", *arguments, data=self.box.data)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout if status == 0 else done.stderr

    def show(self, name: str) -> dict:
        return self.server.call("GET", f"/v1/schedules/{name}")

    def runs(self, name: str) -> list[dict]:
        items = self.server.call("GET", "/v1/runs?limit=500")["items"]
        # Lines of finished runs in the list are short: the run itself says which schedule started it.
        views = [self.server.run(item["id"]) for item in items]
        return [view for view in views if view["schedule"] == name]

    def test_kill_9_loses_no_tick_and_repeats_none(self):
        self.ez("set", "each", "--workflow", "quick", "--every", "1s", "--input", "n=7", "--overlap", "allow")
        for kills in range(4):
            before = self.show("each")["started"]
            wait_until(lambda: self.show("each")["started"] >= before + 2, "two more ticks")
            self.server.kill()
            self.server.start()
        wait_until(lambda: self.show("each")["started"] > 8, "a tick after the last start")
        self.ez("pause", "each")
        view = self.show("each")
        self.assertEqual(view["failed"], 0)
        self.assertEqual(view["skipped"], 0)
        started = wait_until(lambda: (found := self.runs("each")) and len(found) == view["started"] and found,
                             "as many runs as the schedule says")
        instants = collections.Counter(run["scheduled_at"] for run in started)
        self.assertEqual([instant for instant, times in instants.items() if times > 1], [])
        for run in started:
            self.assertEqual(self.server.wait_for_run(run["id"])["inputs"], {"n": 7})
        # Every second between the first tick and the last is accounted for.
        first, last = min(instants), max(instants)
        seconds = (self.seconds(last) - self.seconds(first)) + 1
        self.assertEqual(len(instants) + view["missed"], seconds)

    @staticmethod
    def seconds(text: str) -> int:
        return round(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())

    def test_a_server_that_was_away_runs_once(self):
        self.ez("set", "late", "--workflow", "held", "--every", "1s", "--overlap", "queue")
        wait_until(lambda: self.show("late")["started"] == 1, "the first tick")
        self.server.kill()
        away_until = time.monotonic() + 5
        wait_until(lambda: time.monotonic() > away_until, "ticks while nobody is there")
        self.server.start()
        view = wait_until(lambda: (seen := self.show("late"))["missed"] >= 3 and seen, "what was missed")
        self.assertEqual(view["started"], 1)
        self.assertIn("runs once", json.dumps(view["events"]))

    def test_overlap_backfill_and_explanations(self):
        self.ez("set", "one", "--workflow", "held", "--cron", "@yearly")
        preview = self.ez("backfill", "one", "--from", "2019-06-01", "--to", "2024-06-01", "--preview")
        self.assertIn("5 ticks in that time", preview)
        self.assertIn("2020-01-01T00:00:00", preview)
        self.assertEqual(self.runs("one"), [])
        self.ez("backfill", "one", "--from", "2019-06-01", "--to", "2024-06-01", "--yes")
        view = self.show("one")
        self.assertEqual((view["started"], view["queued"]), (1, 4))
        self.server.kill()
        self.server.start()
        for year in range(2020, 2025):
            run = self.runs("one")[0]
            self.assertEqual(run["scheduled_at"], f"{year}-01-01T00:00:00.000Z")
            self.assertIn(f"{run['id']} live", self.ez("show", "one"))
            self.server.call("POST", f"/v1/runs/{run['id']}/cancel", {})
        view = self.show("one")
        self.assertEqual((view["started"], view["queued"], view["live"]), (5, 0, []))
        self.assertIn("waits for its next tick", self.ez("show", "one"))
        self.ez("pause", "one", "-m", "freeze")
        self.assertIn("paused", self.ez("list"))
        self.assertIn(": freeze;", self.ez("show", "one"))
        self.assertIn("run r6", self.ez("trigger", "one"))
        self.ez("resume", "one")
        self.ez("delete", "one")
        self.assertIn("No schedules here", self.ez("list"))

    def test_bad_input(self):
        for arguments, code in ((["--cron", "61 * * * *"], "INVALID_ARGUMENT"), ([], "INVALID_ARGUMENT"),
                                (["--cron", "0 0 30 2 *"], "INVALID_ARGUMENT"),
                                (["--every", "soon"], "INVALID_ARGUMENT"),
                                (["--every", "1h", "--cron", "@daily"], "INVALID_ARGUMENT"),
                                (["--cron", "@daily", "--zone", "Mars/Base"], "INVALID_ARGUMENT"),
                                (["--cron", "@daily", "--overlap", "never"], "REQUEST_INVALID"),
                                (["--cron", "@daily", "--input", "m=1"], "INPUT_INVALID")):
            self.assertIn(code, self.ez("set", "bad", "--workflow", "quick", *arguments, status=2))
        self.assertIn("WORKFLOW_NOT_FOUND", self.ez("set", "bad", "--workflow", "none", "--every", "1h", status=3))
        self.assertIn("SCHEDULE_NOT_FOUND", self.ez("show", "bad", status=3))
        self.ez("set", "good", "--workflow", "quick", "--cron", "@daily")
        self.assertIn("INVALID_ARGUMENT",
                      self.ez("backfill", "good", "--from", "2010-01-01", "--to", "2020-01-01", "--yes", status=2))

    def test_the_example(self):
        done = ez("workflow", "register", str(ROOT / "examples/nightly/workflow.yaml"), data=self.box.data)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.ez("set", "nightly", "--workflow", "nightly", "--cron", "0 3 * * *", "--zone", "Europe/Berlin",
                "--jitter", "5m")
        self.ez("backfill", "nightly", "--from", "2026-03-28", "--to", "2026-03-31", "--yes")
        wait_until(lambda: self.show("nightly")["started"] == 3 and not self.show("nightly")["live"],
                   "three reports")
        days = {run["scheduled_at"]: self.server.run(run["id"])["tasks"][0]["output"]["day"]
                for run in self.runs("nightly")}
        self.assertEqual(days, {"2026-03-28T02:00:00.000Z": "2026-03-28",
                                "2026-03-29T01:00:00.000Z": "2026-03-29",
                                "2026-03-30T01:00:00.000Z": "2026-03-30"})


if __name__ == "__main__":
    unittest.main()
