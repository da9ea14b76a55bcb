"""Events of runs as CloudEvents on the real binary: their form, and kill -9 in between: each event is there, once, in order."""
import json
import os
import random
import re
import threading
import unittest
from datetime import datetime

from harness import Sandbox, Server, ez, wait_until

WAITS = """
name: waits
labels: {team: core}
tasks:
  - {id: one, wait: {for: 20ms}}
  - {id: two, dependencies: [one], wait: {for: 20ms}}
"""
WHOLE = ["ez.run.running", "ez.task.timer", "ez.task.succeeded", "ez.task.timer", "ez.task.succeeded", "ez.run.succeeded"]
CONFIG = "events: {topic: ez.events, source: 'https://ez.example/fleet'}\n"


def check(case: unittest.TestCase, event: dict):
    """CloudEvents 1.0.2, chapter 2 and the JSON format: what every event has to be."""
    for name in ("specversion", "id", "source", "type"):
        case.assertIsInstance(event[name], str)
        case.assertNotEqual(event[name], "")
    case.assertEqual(event["specversion"], "1.0")
    for name, value in event.items():
        case.assertRegex(name, r"^[a-z0-9]{1,20}$")
        if name != "data":
            case.assertIsInstance(value, (str, int, bool))
    case.assertNotIn("data_base64", event)
    case.assertRegex(event["source"], r"^[^\s\"<>\\^`{|}]+$")
    case.assertRegex(event["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")
    datetime.fromisoformat(event["time"].replace("Z", "+00:00"))
    case.assertRegex(event["datacontenttype"], r"^[\w.+-]+/[\w.+-]+(;.*)?$")
    case.assertIsInstance(event["data"], dict)


class EventsTest(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)
        self.box.data.mkdir()
        (self.box.data / "queues.yaml").write_text(CONFIG)
        self.server = Server(self.box.data).start()
        self.addCleanup(lambda: self.server.stop())
        self.received: list[dict] = []

    def receive(self, at_least: int = 0) -> list[dict]:
        """Takes and acknowledges what there is, until there are so many in all."""
        def more():
            got = self.server.call("POST", "/v1/queues/ez.events/take", {"group": "test", "max": 1000})["deliveries"]
            if got:
                self.server.call("POST", "/v1/deliveries/settle", {"ack": [one["tag"] for one in got]})
            for one in got:
                self.assertEqual(one["headers"]["content-type"], "application/cloudevents+json; charset=utf-8")
                event = json.loads(one["payload"])
                self.assertEqual(one["id"], "event-" + event["id"])
                self.received.append(event)
            return not got and len(self.received) >= at_least
        wait_until(more, f"{at_least} events")
        return self.received

    def of(self, run: str) -> list[str]:
        return [event["type"] for event in self.received
                if event["subject"] == run or event["subject"].startswith(run + "/")]

    def test_the_form_of_events(self):
        self.server.register(WAITS)
        run = self.server.start_run("waits")
        self.server.wait_for_run(run)
        events = self.receive(len(WHOLE))
        for event in events:
            check(self, event)
        self.assertEqual(self.of(run), WHOLE)
        last = events[-1]
        self.assertEqual((last["source"], last["subject"]), ("https://ez.example/fleet", run))
        self.assertEqual((last["data"]["state"], last["data"]["workflow"], last["data"]["labels"]),
                         ("succeeded", "waits", {"team": "core"}))
        self.assertTrue(re.match(r"\d{4}-", last["data"]["finished_at"]))

    def test_a_dead_letter_and_a_failed_run_are_told(self):
        self.server.register("name: never\ntasks:\n  - {id: a, wait: {signal: x, timeout: 50ms}, on_failure: fail}\n")
        run = self.server.start_run("never")
        self.assertEqual(self.server.wait_for_run(run)["state"], "failed")
        self.server.call("POST", "/v1/queues/jobs/messages", {"messages": [{"id": "j1", "payload": "x"}]})
        tag = self.server.call("POST", "/v1/queues/jobs/take", {"wait_ms": 5000})["deliveries"][0]["tag"]
        self.server.call("POST", "/v1/deliveries/settle", {"bury": [{"tag": tag, "reason": "broken"}]})
        wait_until(lambda: any(one["type"] == "ez.queue.dead_letter" for one in self.receive()), "the dead letter")
        letter = next(one for one in self.received if one["type"] == "ez.queue.dead_letter")
        check(self, letter)
        self.assertEqual((letter["data"]["message"], letter["data"]["reason"]), ("j1", "broken"))
        failed = next(one for one in self.received if one["type"] == "ez.run.failed")
        self.assertTrue(failed["data"]["error_code"])

    def test_kill_9_loses_and_repeats_no_event(self):
        seed = int(os.environ.get("EZ_CRASH_SEED", "7"))
        dice = random.Random(seed)
        self.server.register(WAITS)
        runs = []
        for _ in range(4):
            for _ in range(15):
                runs.append(self.server.start_run("waits"))
            threading.Event().wait(dice.uniform(0, 0.15))  # somewhere in the middle
            self.server.kill()
            self.server.start()
            self.receive()
        for run in runs:
            self.server.wait_for_run(run)
        self.receive(len(runs) * len(WHOLE))
        ids = [event["id"] for event in self.received]
        self.assertEqual(len(ids), len(set(ids)), f"seed {seed}")
        for run in runs:
            self.assertEqual(self.of(run), WHOLE, f"{run}, seed {seed}")

    def test_wrong_settings_are_refused(self):
        for text, what in (("events: {}\n", "events.topic: is missing"),
                           ("events: {topic: 'a/b'}\n", "events.topic: "),
                           ("events: {topic: a, source: 'a b'}\n", "events.source: "),
                           ("events: {topic: a, tasks: some}\n", "events.tasks: ")):
            file = self.box.root / "queues.yaml"
            file.write_text(text)
            done = ez("up", "--data", str(self.box.root / "other"), "--listen", "127.0.0.1:0", "--agents", "0",
                      "--queues", str(file))
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(what, done.stderr)


if __name__ == "__main__":
    unittest.main()
