"""`ez queue migrate` between real brokers: what lies at one goes to another, whole, in order and once, also under kill -9.
Skipped, with the reason, where there is no redis-server; the way through RabbitMQ and Kafka where they cannot be had."""
import json
import random
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "servers"))
import kafka  # noqa: E402
import rabbitmq  # noqa: E402
from certificates import Certificates  # noqa: E402
from harness import Problem, Sandbox, Server, ez, wait_until  # noqa: E402
from processes import Unavailable, free_port  # noqa: E402
from redis import PASSWORD, USER, Redis  # noqa: E402

DAY = 24 * 3600 * 1000
KEYS = 7
DELAYED = """
local fields = {'2', 'id', 'late', 'data', 'later', 'published', ARGV[1], 'priority', '2', 'delay', '86400000'}
redis.call('HSET', KEYS[1] .. 'delayed', '900', cmsgpack.pack(fields))
redis.call('ZADD', KEYS[1] .. 'delay', ARGV[2], '900')
return 1
"""


def message(number: int) -> dict:
    """What a number stands for, whole."""
    out = {"id": f"m{number}", "payload": f"payload {number} " + "x" * 200, "headers": {"n": str(number)},
           "priority": ["normal", "high", "low"][number % 3]}
    if number % 4:
        out["key"] = f"k{number % KEYS}"
    if number % 10 == 0:
        out["ttl_ms"] = DAY
    return out


class At:
    """What lies at a Redis, by redis-cli."""

    def __init__(self, redis: Redis):
        self.redis = redis

    def call(self, *words: str):
        return json.loads(self.redis._run(["--json", "-p", str(self.redis.ports[0]), *words]))

    def lane(self, topic: str, lane: int, queue: int = 0) -> list[dict]:
        found = self.call("XRANGE", f"ez:{{{topic}}}:{queue}:{lane}", "-", "+")
        # The stream is the priority, except that of messages with keys.
        return [{"priority": str(lane), **dict(zip(fields[::2], fields[1::2]))} for _, fields in found]

    def all(self, topic: str) -> list[dict]:
        return [one for lane in range(6) for one in self.lane(topic, lane)]


class QueueMigrateTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="ez-e2e-migrate-")
        cls.certificates = Certificates(Path(cls.folder.name) / "tls")
        try:
            cls.old = Redis(cls.certificates, fsync="everysec").start()
            cls.new = Redis(cls.certificates, fsync="everysec").start()
        except Unavailable as reason:
            raise unittest.SkipTest(f"redis-server cannot be had here: {reason}") from None

    @classmethod
    def tearDownClass(cls):
        cls.old.stop()
        cls.new.stop()
        cls.folder.cleanup()

    def setUp(self):
        for redis in (self.old, self.new):
            redis.call(redis.ports[0], "FLUSHALL")
        self.box = Sandbox()
        self.addCleanup(self.box.close)
        self.password = self.box.root / "password"
        self.password.write_text(PASSWORD + "\n")
        self.at_old, self.at_new = At(self.old), At(self.new)
        self.backends = {"old": self.redis_url(self.old), "new": self.redis_url(self.new)}
        self.primary = "old"
        self.routes = [{"topic": "work.#", "primary": "old", "consumers": "broker"}]

    def redis_url(self, redis: Redis) -> str:
        return f"redis://{USER}@127.0.0.1:{redis.ports[0]}?password_file={self.password}"

    def up(self) -> Server:
        self.box.data.mkdir(exist_ok=True)
        (self.box.data / "queues.yaml").write_text(json.dumps({
            "backends": {name: {"url": url} for name, url in self.backends.items()}, "primary": self.primary,
            "routes": self.routes}))
        self.server = Server(self.box.data).start()
        self.addCleanup(self.server.stop)
        return self.server

    def cli(self, *arguments: str, status: int = 0) -> str:
        done = ez(*arguments, data=self.box.data)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def migrate(self, *arguments: str, status: int = 0, source: str = "old", target: str = "new") -> str:
        return self.cli("queue", "migrate", "--from", source, "--to", target, *arguments, status=status)

    def status(self) -> dict:
        return self.server.call("GET", "/v1/queue-migration")

    def publish(self, topic: str, messages: list[dict]):
        for first in range(0, len(messages), 1000):
            answer = self.server.call("POST", f"/v1/queues/{topic}/messages", {"messages": messages[first:first + 1000]})
            for receipt in answer["receipts"]:
                self.assertNotIn("error", receipt)

    def routes_now(self) -> dict:
        return {one["topic"]: one for one in self.server.call("GET", "/v1/queue-backends")["routes"]}

    def lies_at(self, at: At, topic: str, count: int):
        wait_until(lambda: len(at.all(topic)) == count, f"{count} messages of {topic}")

    def check_messages(self, found: list[dict], numbers):
        """Each once, as it was published, those of a key in their order."""
        self.assertEqual(sorted(one["id"] for one in found), sorted(f"m{n}" for n in numbers))
        newest: dict[str, int] = {}
        for one in found:
            want = message(int(one["id"][1:]))
            self.assertEqual(one["data"], want["payload"])
            self.assertEqual(one["h:n"], want["headers"]["n"])
            self.assertEqual(one.get("key"), want.get("key"))
            self.assertEqual(one["priority"], {"high": "1", "normal": "2", "low": "3"}[want["priority"]])
            self.assertEqual("ttl" in one, "ttl_ms" in want)
            if "ttl_ms" in want:
                self.assertTrue(DAY - 600_000 < int(one["ttl"]) <= DAY, one["ttl"])
            if "key" in want:
                self.assertLess(newest.get(want["key"], -1), int(want["headers"]["n"]))
                newest[want["key"]] = int(want["headers"]["n"])

    def check_due(self, due: int):
        """The one delayed message is there, and comes when it would have come."""
        self.assertEqual(self.at_new.call("ZCARD", "ez:{work.a}:delay"), 1)
        [number] = self.at_new.call("ZRANGE", "ez:{work.a}:delay", "0", "-1")
        score = float(self.at_new.call("ZSCORE", "ez:{work.a}:delay", number))
        self.assertTrue(abs(score - due) < 60_000, f"{score} is not {due}")

    def test_everything_goes_from_one_to_the_other_and_the_routes_with_it(self):
        self.up()
        self.publish("work.a", [message(n) for n in range(300)])
        self.lies_at(self.at_old, "work.a", 300)
        due = int(time.time() * 1000) + DAY
        self.at_old.call("EVAL", DELAYED, "1", "ez:{work.a}:", str(due - DAY), str(due))
        # Of a topic that ez consumes: copies of what the log holds, and a message of somebody else.
        wait_until(lambda: self.routes_now()["#"]["active"] == "old", "messages that go to the old one")
        self.publish("orders", [{"id": f"o{n}", "payload": str(n)} for n in range(3)])
        self.lies_at(self.at_old, "orders", 3)
        self.at_old.call("XADD", "ez:{orders}:0:2", "*", "id", "x1", "data", "from outside")

        told = self.migrate(status=1)
        self.assertIn("Nothing was done", told)
        self.assertRegex(told, r"work\.a +301 +1 ")
        self.assertRegex(told, r"orders +1 +0 +\S+ \S+ +3 ")
        self.assertEqual(len(self.at_old.all("work.a")), 300)
        self.assertEqual(self.at_new.all("work.a"), [])

        view = json.loads(self.migrate("--yes", "--json"))
        self.assertEqual((view["state"], view["switched"], view["problem"]), ("done", True, ""))
        self.assertEqual(view["routes"], ["work.#", "#"])
        topics = {one["topic"]: one for one in view["topics"]}
        for topic, count in (("work.a", 301), ("orders", 1)):
            one = topics[topic]
            self.assertEqual((one["messages"], one["copied"], one["verified"], one["left"]), (count, count, True, 0))
            self.assertEqual(one["source_hash"], one["target_hash"])
            self.assertEqual(len(one["source_hash"]), 64)
        self.assertEqual((topics["work.a"]["delayed"], topics["orders"]["own"]), (1, 3))
        self.check_messages(self.at_new.all("work.a"), range(300))
        self.check_due(due)
        for topic in ("work.a", "orders"):
            self.assertEqual(self.at_old.all(topic), [])
        self.assertEqual(self.at_old.call("ZCARD", "ez:{work.a}:delay"), 0)

        # The log's own and the stranger's are consumed here, each once.
        got = [self.cli("queue", "take", "orders", "--payload", "--wait", "15s").strip() for _ in range(4)]
        self.assertEqual(sorted(got), ["0", "1", "2", "from outside"])
        self.assertEqual(ez("queue", "take", "orders", data=self.box.data).returncode, 1)

        # From now on, and in the next life, messages go to the new one.
        for _ in range(2):
            for name in ("work.#", "#"):
                wait_until(lambda: self.routes_now()[name]["active"] == "new", f"{name} that goes to the new one")
                self.assertEqual((self.routes_now()[name]["primary"], self.routes_now()[name]["moved"]), ("new", True))
            self.assertIn("moved by ez queue migrate", self.cli("queue", "backends"))
            self.server.stop()
            self.server.start()
        self.publish("work.a", [message(1000)])
        self.lies_at(self.at_new, "work.a", 301)
        self.assertEqual(self.at_old.all("work.a"), [])
        self.assertIn("Nothing lies at old", self.migrate(status=1))
        # A configuration that says so itself is the configuration again.
        self.server.stop()
        self.primary, self.routes[0]["primary"] = "new", "new"
        self.up()
        self.assertEqual({one["moved"] for one in self.routes_now().values()}, {False})

    def test_a_pattern_moves_its_topics_only(self):
        self.up()
        for topic in ("work.eu", "work.us"):
            self.publish(topic, [message(n) for n in range(20)])
            self.lies_at(self.at_old, topic, 20)
        self.migrate("--topic", "work.eu", "--yes")
        self.check_messages(self.at_new.all("work.eu"), range(20))
        self.assertEqual(self.at_new.all("work.us"), [])
        self.assertEqual(len(self.at_old.all("work.us")), 20)
        self.assertEqual(self.routes_now()["work.eu"]["primary"], "new")
        self.assertEqual(self.routes_now()["work.#"]["primary"], "old")
        # There and back again: nothing is left of it, and Redis takes ids that it had before.
        self.migrate("--topic", "work.eu", "--yes", source="new", target="old")
        self.check_messages(self.at_old.all("work.eu"), range(20))
        self.assertEqual(self.at_new.all("work.eu"), [])
        self.assertEqual({one["moved"] for one in self.routes_now().values()}, {False})

    def test_kill_9_at_any_moment_loses_nothing(self):
        seed = random.randrange(1_000_000)
        chance = random.Random(seed)
        count = 6_000
        self.up()
        self.publish("work.a", [message(n) for n in range(count)])
        self.lies_at(self.at_old, "work.a", count)
        kills = later = 0
        phases = set()
        for _ in range(12):
            try:
                self.server.call("POST", "/v1/queue-migration", {"from": "old", "to": "new", "preview": False})
            except Problem as problem:
                self.fail(f"seed {seed}: {problem}")
            end = time.monotonic() + chance.random() * 1.5
            view = self.status()
            while time.monotonic() < end and view["state"] not in ("done", "stopped"):
                view = self.status()
            phases.add(view["state"])
            if view["state"] == "done":
                break
            self.assertNotEqual(view["state"], "stopped", f"seed {seed}: {view['problem']}")
            self.server.kill()
            kills += 1
            if view["switched"]:
                there = {one["id"] for one in self.at_new.all("work.a")}
                self.assertTrue(there.issuperset(f"m{n}" for n in range(count)), f"seed {seed}")
            self.server.start()
            left = self.status()
            self.assertIn(left["state"], ("stopped", "none"))
            if left["state"] == "none":
                break  # it was through
            there = {one["id"] for at in (self.at_old, self.at_new) for one in at.all("work.a")}
            self.assertTrue(there.issuperset(f"m{n}" for n in range(count)), f"seed {seed}")
            # Life goes on meanwhile: what is published waits in the log.
            self.publish("work.a", [message(count + later)])
            later += 1
        if self.status()["state"] not in ("done", "none"):
            self.migrate("--yes")
        self.lies_at(self.at_new, "work.a", count + later)
        self.check_messages(self.at_new.all("work.a"), range(count + later))
        wait_until(lambda: self.at_old.all("work.a") == [], f"an empty source (seed {seed}, {kills} kills, {phases})")
        self.assertFalse((self.box.data / "queue-migration.manifest").exists())

    def test_one_that_has_stopped_goes_on_or_is_given_up(self):
        self.up()
        self.publish("work.a", [message(n) for n in range(1500)])
        self.lies_at(self.at_old, "work.a", 1500)
        # The target takes a part of it, and then is full.
        self.server.stop()
        self.backends["new"] += "&max_messages=400"
        self.up()
        self.server.call("POST", "/v1/queue-migration", {"from": "old", "to": "new", "preview": False})
        wait_until(lambda: self.routes_now()["work.#"]["held"], "a route that is held")
        self.publish("work.a", [message(1500)])
        with self.assertRaises(Problem) as caught:
            self.server.call("POST", "/v1/queue-migration/give-up", {})
        self.assertEqual(caught.exception.code, "WRONG_STATE")
        wait_until(lambda: self.at_new.all("work.a"), "the first copies")
        self.server.kill()
        self.server.start()
        self.assertIn("Stopped: old to new", self.cli("queue", "migrate", "--status", status=1))
        self.assertIn("held by ez queue migrate", self.cli("queue", "backends"))
        self.assertIn("is unfinished", self.migrate("--yes", status=3, source="new", target="old"))
        self.assertIn("Given up", self.cli("queue", "migrate", "--give-up"))
        self.assertEqual(self.at_new.all("work.a"), [])
        # What waited goes where it went before.
        self.lies_at(self.at_old, "work.a", 1501)
        self.check_messages(self.at_old.all("work.a"), range(1501))
        self.assertEqual({one["held"] or one["moved"] for one in self.routes_now().values()}, {False})

    def test_between_the_log_and_a_broker(self):
        self.primary, self.routes = "embedded", []
        self.up()
        self.publish("orders", [message(n) for n in range(50)])
        view = json.loads(self.migrate("--yes", "--json", source="embedded"))
        self.assertEqual((view["state"], view["topics"][0]["copied"], view["topics"][0]["verified"]), ("done", 50, True))
        self.assertEqual(len(self.at_new.all("orders")), 50)
        self.assertEqual(self.server.call("GET", "/v1/queues/orders")["ready"], 50)
        self.assertEqual(self.routes_now()["#"]["primary"], "new")
        self.at_new.call("XADD", "ez:{orders}:0:2", "*", "id", "x1", "data", "from outside")
        # And back: the log has its own, and takes in the stranger's.
        view = json.loads(self.migrate("--yes", "--json", source="new", target="embedded"))
        self.assertEqual((view["topics"][0]["messages"], view["topics"][0]["own"], view["topics"][0]["removed"]),
                         (1, 50, 51))
        self.assertEqual(self.at_new.all("orders"), [])
        got = self.cli("queue", "take", "orders", "--max", "100", "--wait", "10s", "--json").strip().split("\n")
        more = []
        while len(got) + len(more) < 51:
            more += self.cli("queue", "take", "orders", "--max", "100", "--wait", "10s", "--json").strip().split("\n")
        ids = [json.loads(one)["id"] for one in got + more]
        self.assertEqual(sorted(ids), sorted([f"m{n}" for n in range(50)] + ["x1"]))

    def test_bad_inputs(self):
        self.backends["gone"] = f"redis://127.0.0.1:{free_port()}"
        self.up()
        self.publish("work.a", [message(n) for n in range(5)])
        self.lies_at(self.at_old, "work.a", 5)
        for source, target, status, what in (
                ("none", "new", 2, "there is no backend none"), ("old", "none", 2, "there is no backend none"),
                ("old", "old", 2, "both where messages come from and where they go"),
                ("gone", "new", 4, "QUEUE_UNREACHABLE: gone: "), ("old", "gone", 4, "QUEUE_UNREACHABLE: gone: "),
                ("old", "embedded", 2, "consumers of work.# speak the broker")):
            for more in ([], ["--yes"]):
                with self.subTest(source=source, target=target, more=more):
                    self.assertIn(what, self.migrate(*more, status=status, source=source, target=target))
        self.assertIn("--from and --to", self.cli("queue", "migrate", "--from", "old", status=2))
        self.assertIn("INVALID_ARGUMENT", self.migrate("--topic", "a..b", status=2))
        self.assertIn("there is no unfinished migration", self.cli("queue", "migrate", "--give-up", status=3))
        self.assertIn("Nothing was migrated", self.cli("queue", "migrate", "--status"))
        # The target has some already: they are not mixed by accident.
        self.at_new.call("XADD", "ez:{registry}:log", "*", "event", "topic\x1fwork.a\x1f")
        self.at_new.call("SADD", "ez:{work.a}:queues", "0")
        for lane in range(6):
            self.at_new.call("XGROUP", "CREATE", f"ez:{{work.a}}:0:{lane}", "g", "0", "MKSTREAM")
        self.at_new.call("XADD", "ez:{work.a}:0:2", "*", "id", "z", "data", "theirs")
        self.assertIn("new holds 1 messages of work.a already", self.migrate("--yes", status=3))
        self.assertEqual(len(self.at_old.all("work.a")), 5)
        self.migrate("--yes", "--append")
        self.assertEqual(sorted(one["id"] for one in self.at_new.all("work.a")), ["m0", "m1", "m2", "m3", "m4", "z"])

    def add_rabbitmq_and_kafka(self):
        try:
            rabbit = rabbitmq.RabbitMq(self.certificates).start()
            self.addCleanup(rabbit.stop)
            log = kafka.Kafka(self.certificates).start()
            self.addCleanup(log.stop)
        except Unavailable as reason:
            self.skipTest(f"a broker cannot be had here: {reason}")
        self.backends["rabbit"] = (f"amqp://{rabbitmq.USER}:{rabbitmq.PASSWORD}@127.0.0.1:{rabbit.port}"
                                   "?request_timeout_ms=10000&publish_timeout_ms=20000")
        self.backends["kafka"] = f"kafka://127.0.0.1:{log.port}?request_timeout_ms=10000&publish_timeout_ms=20000"

    def await_up(self, name: str):
        wait_until(lambda: {one["name"]: one["up"] for one in self.server.call("GET", "/v1/queue-backends")["backends"]}
                   [name], f"{name}", 60)

    def test_through_rabbitmq_and_kafka_and_back(self):
        self.add_rabbitmq_and_kafka()
        self.up()
        self.publish("work.a", [message(n) for n in range(200)])
        self.lies_at(self.at_old, "work.a", 200)
        due = int(time.time() * 1000) + DAY
        self.at_old.call("EVAL", DELAYED, "1", "ez:{work.a}:", str(due - DAY), str(due))
        hashes = set()
        for source, target in (("old", "rabbit"), ("rabbit", "kafka"), ("kafka", "new")):
            self.await_up(target)
            view = json.loads(self.migrate("--yes", "--json", source=source, target=target))
            one = view["topics"][0]
            self.assertEqual((view["state"], one["messages"], one["removed"], one["left"]), ("done", 201, 201, 0), view)
            hashes.add(one["target_hash"])
            self.assertIn("Nothing lies at", self.migrate(status=1, source=source, target=target))
        self.assertEqual(len(hashes), 1)
        self.check_messages(self.at_new.all("work.a"), range(200))
        self.check_due(due)

    def test_kill_9_on_the_way_through_rabbitmq_and_kafka_loses_nothing(self):
        seed = random.randrange(1_000_000)
        chance = random.Random(seed)
        count = 2_000
        self.add_rabbitmq_and_kafka()
        self.up()
        self.publish("work.a", [message(n) for n in range(count)])
        self.lies_at(self.at_old, "work.a", count)
        for source, target in (("old", "rabbit"), ("rabbit", "kafka"), ("kafka", "new")):
            where = f"seed {seed}, from {source} to {target}"
            for _ in range(3):
                self.await_up(source)
                self.await_up(target)
                self.server.call("POST", "/v1/queue-migration", {"from": source, "to": target, "preview": False})
                end = time.monotonic() + chance.random() * 2
                view = self.status()
                while time.monotonic() < end and view["state"] not in ("done", "stopped"):
                    view = self.status()
                self.assertNotEqual(view["state"], "stopped", f"{where}: {view['problem']}")
                if view["state"] == "done":
                    break
                self.server.kill()
                self.server.start()
                if self.status()["state"] == "none":
                    break  # it was through
            else:
                self.await_up(source)
                self.await_up(target)
                view = json.loads(self.migrate("--yes", "--json", source=source, target=target))
                self.assertEqual((view["state"], view["topics"][0]["left"]), ("done", 0), where)
        self.check_messages(self.at_new.all("work.a"), range(count))
        self.assertEqual(self.at_old.all("work.a"), [])


if __name__ == "__main__":
    unittest.main()
