"""Queues on the real binary: the life of a message, dead letters, bad inputs, and kill -9 under load.

EZ_QUEUE_KILLS (default 4) and EZ_QUEUE_MESSAGES (default 6000) set the size of the last, EZ_CRASH_SEED its sequence.
"""
import base64
import collections
import json
import os
import random
import threading
import unittest

from harness import Problem, Sandbox, Server, ez, wait_until


def published(server: Server, topic: str, **message) -> dict:
    return server.call("POST", f"/v1/queues/{topic}/messages", {"messages": [message]})["receipts"][0]


def taken(server: Server, topic: str, **options) -> list:
    return server.call("POST", f"/v1/queues/{topic}/take", options)["deliveries"]


def settled(server: Server, **what) -> list:
    return server.call("POST", "/v1/deliveries/settle", what)["results"]


class QueueTest(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)
        self.server = Server(self.box.data).start()
        self.addCleanup(self.server.stop)

    def cli(self, *arguments: str, status: int = 0) -> str:
        done = ez(*arguments, data=self.box.data)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout if status == 0 else done.stderr

    def test_the_life_of_a_message(self):
        self.assertEqual(self.cli("queue", "publish", "orders.new", "hello", "--id", "o1", "--key", "c7").strip(), "o1")
        self.assertIn("was published before", self.cli("queue", "publish", "orders.new", "other", "--id", "o1"))
        self.cli("queue", "publish", "orders.new", "later", "--delay", "1h")
        self.cli("queue", "publish", "orders.new", "first", "--priority", "critical")
        topic = json.loads(self.cli("queue", "list", "orders.#", "--json"))["items"][0]
        self.assertEqual((topic["topic"], topic["ready"], topic["delayed"], topic["published"]), ("orders.new", 2, 1, 3))
        self.assertIn("hello", self.cli("queue", "peek", "orders.new"))
        self.assertEqual(self.cli("queue", "take", "orders.*", "--payload", "--max", "5", "--group", "g").split(),
                         ["first", "hello"])
        done = ez("queue", "take", "orders.*", "--group", "g", data=self.box.data)
        self.assertEqual((done.returncode, done.stdout), (1, ""))

        self.cli("queue", "publish", "orders.new", "again")
        self.cli("queue", "pause", "orders.new")
        self.assertIn("QUEUE_PAUSED", self.cli("queue", "take", "orders.new", "--group", "g", status=3))
        self.assertIn("goes on", self.cli("queue", "resume", "orders.new"))
        delivery = json.loads(self.cli("queue", "take", "orders.new", "--group", "g", "--nack", "--json"))
        self.assertEqual(delivery["attempt"], 1)
        delivery = json.loads(self.cli("queue", "take", "orders.new", "--group", "g", "--wait", "10s", "--json"))
        self.assertEqual((delivery["payload"], delivery["attempt"]), ("again", 2))

        self.assertIn("is gone", self.cli("queue", "purge", "orders.new", status=2))
        self.assertIn("1 messages removed", self.cli("queue", "purge", "orders.new", "--yes"))

    def test_a_message_outlives_the_server(self):
        binary = bytes(range(256))
        published(self.server, "jobs", id="a", payload_base64=base64.b64encode(binary).decode(), headers={"kind": "raw"})
        delivery = taken(self.server, "jobs")[0]
        self.server.kill()
        self.server.start()
        self.assertTrue(published(self.server, "jobs", id="a", payload="again")["duplicate"])
        # It was out, and its lease ended with the server.
        again = taken(self.server, "jobs", wait_ms=10_000)[0]
        self.assertEqual((base64.b64decode(again["payload_base64"]), again["headers"]), (binary, {"kind": "raw"}))
        results = settled(self.server, ack=[delivery["tag"], again["tag"], "no-tag"])
        self.assertEqual([result["ok"] for result in results if result["tag"] == again["tag"]], [True])
        self.assertEqual(results[2]["error"]["code"], "LEASE_STALE")
        self.server.kill()
        self.server.start()
        self.assertEqual(taken(self.server, "jobs"), [])

    def test_dead_letters(self):
        published(self.server, "jobs", id="poison", payload="p")
        for attempt in range(20):
            delivery = taken(self.server, "jobs", group="g", wait_ms=10_000)[0]
            self.assertEqual(delivery["attempt"], attempt + 1)
            settled(self.server, nack=[{"tag": delivery["tag"], "reason": f"failed {attempt}"}])
        self.assertEqual(taken(self.server, "jobs", group="g"), [])
        letters = json.loads(self.cli("dlq", "list", "--json"))["items"]
        self.assertEqual([(letter["attempts"], letter["message"]["id"]) for letter in letters], [(20, "poison")])
        self.assertEqual(len(letters[0]["history"]), 10)
        number = str(letters[0]["number"])
        self.assertIn("failed 19", self.cli("dlq", "show", number))
        self.server.kill()
        self.server.start()
        self.assertIn("1 dead letters redriven", self.cli("dlq", "redrive", number))
        delivery = taken(self.server, "jobs", group="g", wait_ms=10_000)[0]
        self.assertEqual((delivery["id"], delivery["attempt"]), ("poison", 1))
        settled(self.server, bury=[{"tag": delivery["tag"], "reason": "no hope"}])
        self.assertIn("no dead letter is named", self.cli("dlq", "discard", status=2))
        self.assertIn("1 dead letters discarded", self.cli("dlq", "discard", "--reason", "no hope"))
        self.assertIn("MESSAGE_NOT_FOUND", self.cli("dlq", "show", number, status=3))

    def test_tail_sees_what_is_published(self):
        seen: list = []

        def follow():
            seen.append(ez("queue", "tail", "news.#", "--max", "2", "--payload", data=self.box.data, timeout=60))
        published(self.server, "news.early", payload="before it listens")
        thread = threading.Thread(target=follow)
        thread.start()
        wait_until(lambda: self.groups_of("news.#")[0]["groups"], "the follower")
        published(self.server, "news.today", payload="one")
        published(self.server, "news.today", payload="two")
        thread.join(60)
        self.assertEqual(seen[0].returncode, 0, seen[0].stderr)
        self.assertEqual(seen[0].stdout.split(), ["one", "two"])

    def groups_of(self, pattern: str) -> list:
        return self.server.call("GET", "/v1/queues?pattern=" + pattern.replace("#", "%23"))["items"]

    def test_a_message_starts_one_run(self):
        self.server.register("name: ship\ninputs: {order: {type: int}}\ntasks:\n  - {id: a, approval: {}}\n")
        self.cli("trigger", "set", "orders", "--topic", "orders.*", "--workflow", "ship",
                 "--input", "order=${{ message.payload.id }}", "--when", "message.topic != 'orders.test'")
        published(self.server, "orders.new", id="m1", payload={"id": 7})
        published(self.server, "orders.test", id="m2", payload={"id": 8})
        published(self.server, "orders.new", id="m3", payload={"id": "no number"})
        published(self.server, "orders.new", id="m4", payload="no json")

        def counts(**wanted):
            view = self.server.call("GET", "/v1/triggers/orders")
            return all(view[name] == value for name, value in wanted.items())
        wait_until(lambda: counts(started=1, skipped=1, failed=2), "the trigger")
        runs = self.server.call("GET", "/v1/runs?workflow=ship")["items"]
        self.assertEqual(len(runs), 1)
        self.assertEqual(self.server.run(runs[0]["id"])["inputs"], {"order": 7})
        letters = self.server.call("GET", "/v1/dead-letters?group=trigger-orders")["items"]
        self.assertEqual({letter["message"]["id"] for letter in letters}, {"m3", "m4"})
        self.assertTrue(any("INPUT_INVALID" in letter["reason"] for letter in letters), letters)
        self.assertRegex(self.cli("trigger", "list"), r"orders +orders\.\* +ship +1 +0 +1 +2 +(INPUT_INVALID|inputs\.order)")

        # Redelivered after it had started its run, as when the server dies before the acknowledgement.
        self.cli("trigger", "pause", "orders")
        published(self.server, "orders.new", id="m5", payload={"id": 9})
        self.server.kill()
        self.server.start()
        self.assertEqual(len(self.server.call("GET", "/v1/runs?workflow=ship")["items"]), 1)
        self.server.call("POST", "/v1/runs", {"workflow": "ship", "inputs": {"order": 9},
                                              "idempotency_key": "trigger/orders/m5"})
        self.cli("trigger", "resume", "orders")
        wait_until(lambda: counts(repeated=1), "the message whose run is there")
        self.assertEqual(len(self.server.call("GET", "/v1/runs?workflow=ship")["items"]), 2)

        self.assertIn("is removed", self.cli("trigger", "remove", "orders"))
        self.assertIn("TRIGGER_NOT_FOUND", self.cli("trigger", "show", "orders", status=3))
        self.assertIn("EXPRESSION_INVALID", self.cli("trigger", "set", "bad", "--topic", "a", "--workflow", "ship",
                                                     "--when", "run.id == 1", status=2))

    def test_bad_inputs_are_answered(self):
        call = self.server.call
        for method, path, body, status, code in (
                ("POST", "/v1/queues/a..b/messages", {"messages": [{"payload": "x"}]}, 400, "INVALID_ARGUMENT"),
                ("POST", "/v1/queues/jobs/messages", {}, 400, "REQUEST_INVALID"),
                ("POST", "/v1/queues/jobs/messages", {"messages": ["x"]}, 400, "REQUEST_INVALID"),
                ("POST", "/v1/queues/jobs/messages", {"messages": [{"payload_base64": "*"}]}, 400, "REQUEST_INVALID"),
                ("POST", "/v1/queues/jobs/messages", {"messages": [{"priority": "urgent"}]}, 400, "REQUEST_INVALID"),
                ("POST", "/v1/queues/jobs/messages", {"messages": [{"payload": "x" * 1048577}]}, 413, "PAYLOAD_TOO_LARGE"),
                ("POST", "/v1/queues/jobs/messages", {"messages": [{"id": "a b"}]}, 400, "INVALID_ARGUMENT"),
                ("POST", "/v1/queues/jobs/take", {"group": "no good"}, 400, "INVALID_ARGUMENT"),
                ("POST", "/v1/queues/jobs/take", {"max": 0}, 400, "REQUEST_INVALID"),
                ("POST", "/v1/deliveries/settle", {}, 400, "REQUEST_INVALID"),
                ("GET", "/v1/queues/nowhere", None, 404, "TOPIC_NOT_FOUND"),
                ("POST", "/v1/queues/nowhere/pause", {}, 404, "TOPIC_NOT_FOUND"),
                ("POST", "/v1/queues/nowhere/purge", {"confirm": "nowhere"}, 404, "TOPIC_NOT_FOUND"),
                ("POST", "/v1/queues/jobs/purge", {"confirm": "other"}, 400, "REQUEST_INVALID"),
                ("GET", "/v1/dead-letters/x", None, 404, "MESSAGE_NOT_FOUND"),
                ("POST", "/v1/dead-letters/redrive", {}, 400, "REQUEST_INVALID"),
                ("POST", "/v1/dead-letters/discard", {"numbers": [7]}, 404, "MESSAGE_NOT_FOUND")):
            with self.subTest(path=path, body=str(body)[:60]):
                with self.assertRaises(Problem) as problem:
                    call(method, path, body)
                self.assertEqual((problem.exception.status, problem.exception.code), (status, code))

    def test_namespaces_do_not_meet(self):
        self.server.call("POST", "/v1/queues/jobs/messages?namespace=team-a", {"messages": [{"payload": "theirs"}]})
        published(self.server, "jobs", payload="ours")
        self.assertEqual([one["payload"] for one in taken(self.server, "%23", max=10)], ["ours"])
        theirs = self.server.call("POST", "/v1/queues/jobs/take?namespace=team-a", {})["deliveries"]
        self.assertEqual([(one["payload"], one["namespace"]) for one in theirs], [("theirs", "team-a")])
        # The tag of one namespace is nothing in another.
        self.assertEqual(settled(self.server, ack=[theirs[0]["tag"]])[0]["error"]["code"], "LEASE_STALE")


class QueueCrash(unittest.TestCase):
    """Publishers and consumers go on while the server dies again and again."""

    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)

    def test_nothing_is_lost_and_the_order_of_a_key_holds(self):
        kills = int(os.environ.get("EZ_QUEUE_KILLS", "4"))
        wanted = int(os.environ.get("EZ_QUEUE_MESSAGES", "6000"))
        chance = random.Random(int(os.environ.get("EZ_CRASH_SEED", "1")))
        server = Server(self.box.data).start()
        self.addCleanup(server.stop)
        lock = threading.Lock()
        receipts: set[str] = set()
        acknowledged: collections.Counter = collections.Counter()
        unsure: set[str] = set()
        disorder: list = []
        done_of_key: dict[str, int] = {}
        over = threading.Event()
        pause = threading.Event()

        def publish(publisher: int):
            for first in range(publisher, wanted, 2 * 25):
                batch = [{"id": f"m{n}", "key": f"p{publisher}k{n // 2 % 7}", "payload": str(n)}
                         for n in range(first, min(first + 2 * 25, wanted), 2)]
                while not over.is_set():
                    try:  # the same ids again until there is an answer
                        answer = server.call("POST", "/v1/queues/load/messages", {"messages": batch})
                        break
                    except (OSError, Problem, ValueError):
                        pause.wait(0.02)
                with lock:
                    for message, receipt in zip(batch, answer["receipts"]):
                        self.assertNotIn("error", receipt)
                        receipts.add(message["id"])

        def consume():
            while not over.is_set():
                try:
                    deliveries = taken(server, "load", group="g", max=100, wait_ms=200)
                except (OSError, Problem, ValueError):
                    pause.wait(0.02)
                    continue
                if not deliveries:
                    with lock:
                        if len(receipts) == wanted and len(set(acknowledged) | unsure) >= wanted:
                            return
                    continue
                with lock:
                    for one in deliveries:
                        # Everything of its key before it was acknowledged, or its acknowledgement got no answer.
                        if int(one["payload"]) < done_of_key.get(one["key"], -1):
                            disorder.append((one["key"], one["payload"], done_of_key[one["key"]]))
                        if acknowledged[one["id"]]:
                            disorder.append(("again", one["id"]))
                try:
                    results = settled(server, ack=[one["tag"] for one in deliveries])
                except (OSError, Problem, ValueError):
                    with lock:
                        unsure.update(one["id"] for one in deliveries)
                    continue
                with lock:
                    for one, result in zip(deliveries, results):
                        if result["ok"]:
                            acknowledged[one["id"]] += 1
                            key = one["key"]
                            done_of_key[key] = max(done_of_key.get(key, -1), int(one["payload"]))

        threads = [threading.Thread(target=publish, args=(n,)) for n in (0, 1)]
        threads += [threading.Thread(target=consume) for _ in range(2)]
        for thread in threads:
            thread.start()
        self.addCleanup(over.set)
        for n in range(kills):
            goal = wanted * (n + 1) // (kills + 2) + chance.randrange(wanted // (kills + 2) // 2)
            wait_until(lambda goal=goal: len(receipts) >= goal, f"{goal} receipts", 120)
            server.kill()
            server.start()
        wait_until(lambda: not any(thread.is_alive() for thread in threads), "everything to be consumed", 180)
        self.assertEqual(disorder, [])
        self.assertEqual(len(receipts), wanted)
        self.assertEqual(len(set(acknowledged) | unsure), wanted)
        self.assertEqual([n for n, times in acknowledged.items() if times > 1], [])
        topic = server.call("GET", "/v1/queues/load")
        self.assertEqual((topic["published"], topic["ready"], topic["in_flight"]), (wanted, 0, 0))
        server.stop()
        server.start()
        self.assertEqual(taken(server, "load", group="g"), [])


if __name__ == "__main__":
    unittest.main()
