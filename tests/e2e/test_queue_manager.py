"""`ez up` with a real Redis as the primary of its queues: messages travel through it, what others publish there starts runs,
and its death is survived. Skipped, with the reason, where there is no redis-server."""
import json
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "servers"))
from certificates import Certificates  # noqa: E402
from harness import Sandbox, Server, ez, wait_until  # noqa: E402
from processes import Unavailable  # noqa: E402
from redis import PASSWORD, USER, Redis  # noqa: E402

WORKFLOW = """
name: ship
inputs: {order: {type: string}}
tasks:
  - id: ask
    approval: {role: operator}
"""


class QueueManagerTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="ez-e2e-redis-")
        try:
            cls.redis = Redis(Certificates(Path(cls.folder.name) / "tls")).start()
        except Unavailable as reason:
            raise unittest.SkipTest(f"redis-server cannot be had here: {reason}") from None

    @classmethod
    def tearDownClass(cls):
        cls.redis.stop()
        cls.folder.cleanup()

    def setUp(self):
        self.redis.call(self.redis.ports[0], "FLUSHALL")
        self.box = Sandbox()
        self.addCleanup(self.box.close)
        self.password = self.box.root / "redis.password"
        self.password.write_text(PASSWORD + "\n")
        self.url = f"redis://{USER}@127.0.0.1:{self.redis.ports[0]}?password_file={self.password}"

    def up(self, *extra: str) -> Server:
        server = Server(self.box.data, extra=list(extra)).start()
        self.addCleanup(server.stop)
        return server

    def cli(self, *arguments: str, status: int = 0) -> str:
        done = ez(*arguments, data=self.box.data)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout if status == 0 else done.stderr

    def backends(self) -> dict:
        return json.loads(self.cli("queue", "backends", "--json"))

    def goes_to(self, name: str):
        wait_until(lambda: self.backends()["routes"][-1]["active"] == name, f"messages that go to {name}", 20)

    def redis_call(self, *words: str) -> str:
        return self.redis.call(self.redis.ports[0], *words)

    def test_messages_travel_through_redis(self):
        server = self.up("--queue", self.url)
        self.goes_to("redis")
        self.assertEqual(self.cli("queue", "publish", "orders.new", "hello", "--id", "o1").strip(), "o1")
        wait_until(lambda: "1" == self.redis_call("XLEN", "ez:{orders.new}:0:2").strip(), "the message in Redis")
        self.assertIn("ez-journal", self.redis_call("XRANGE", "ez:{orders.new}:0:2", "-", "+"))
        topic = json.loads(self.cli("queue", "list", "--json"))["items"][0]
        self.assertEqual((topic["backend"], topic["ready"], topic["at_broker"]), ("redis", 1, 1))
        self.assertEqual(self.cli("queue", "take", "orders.#", "--payload", "--wait", "10s").strip(), "hello")

        # What somebody else publishes there is taken by the same command, once.
        self.redis_call("XADD", "ez:{orders.new}:0:2", "*", "id", "x1", "data", "from outside")
        self.assertIn("from outside", self.cli("queue", "take", "orders.#", "--payload", "--wait", "20s"))
        self.assertIn("was published before", self.cli("queue", "publish", "orders.new", "again", "--id", "x1"))

        view = self.backends()
        self.assertEqual((view["backends"][0]["name"], view["backends"][0]["up"]), ("redis", True))
        self.assertNotIn(PASSWORD, json.dumps(view))
        first = view["switches"][0]
        self.assertEqual((first["route"], first["from"], first["to"]), ("#", "embedded", "redis"))
        shown = self.cli("queue", "backends")
        self.assertIn("embedded -> redis", shown)
        metrics = server.call("GET", "/metrics").decode()
        for line in ('ez_queue_backend_up{backend="redis"} 1', 'ez_queue_active{route="#",backend="redis"} 1',
                     "ez_queue_switches_total ", "ez_queue_acknowledged_total 2", "ez_queue_duplicates_total 1",
                     'ez_queue_backend_received_total{backend="redis",kind="from_others"} 1'):
            self.assertIn(line, metrics)

    def test_a_message_of_somebody_else_starts_a_run(self):
        server = self.up("--queue", self.url)
        self.goes_to("redis")
        server.register(WORKFLOW)
        self.cli("trigger", "set", "orders", "--topic", "orders.in", "--workflow", "ship",
                 "--input", "order=${{ message.payload.id }}")

        def started(count: int):
            runs = server.call("GET", "/v1/runs")["items"]
            return runs if len(runs) == count else None
        # A stream is a topic as soon as somebody has published to it in the way of ez.
        self.cli("queue", "publish", "orders.in", '{"id": "a-18"}', "--id", "m2")
        wait_until(lambda: started(1), "the run of the first message")
        wait_until(lambda: self.backends()["backends"][0]["returned"] >= 1, "its copy from Redis", 30)
        self.redis_call("XADD", "ez:{orders.in}:0:2", "*", "id", "m1", "data", '{"id": "a-17"}')
        runs = wait_until(lambda: started(2), "the run of the second one")
        orders = sorted(server.run(one["id"])["inputs"]["order"] for one in runs)
        self.assertEqual(orders, ["a-17", "a-18"])

    def test_the_death_of_redis_with_its_disk_is_survived(self):
        server = self.up("--queue", self.url)
        self.goes_to("redis")
        self.assertEqual(ez("queue", "take", "jobs.#", "--group", "g", data=self.box.data).returncode, 1)  # joins
        for number in range(20):
            self.cli("queue", "publish", "jobs.a", str(number), "--key", "k")
        self.redis.kill(0)
        self.goes_to("embedded")
        for number in range(20, 30):
            self.cli("queue", "publish", "jobs.a", str(number), "--key", "k")
        self.assertEqual(self.cli("queue", "take", "jobs.#", "--group", "g", "--payload", "--wait", "10s").strip(), "0")
        server.kill()
        server.start()
        self.redis.restart(0, True)
        self.goes_to("redis")
        self.cli("queue", "publish", "jobs.a", "30", "--key", "k")
        got = [self.cli("queue", "take", "jobs.#", "--group", "g", "--payload", "--wait", "10s").strip()
               for _ in range(30)]
        self.assertEqual(got, [str(number) for number in range(1, 31)])
        self.assertEqual(ez("queue", "take", "jobs.#", "--group", "g", data=self.box.data).returncode, 1)
        switches = [(one["from"], one["to"]) for one in self.backends()["switches"]]
        self.assertEqual(switches[:2], [("embedded", "redis"), ("redis", "embedded")])

    def test_bad_configurations_are_refused_and_a_broker_that_is_away_is_not(self):
        def refused(*arguments: str) -> str:
            done = ez("up", "--data", str(self.box.data), "--listen", "127.0.0.1:0", "--agents", "0", *arguments)
            self.assertNotEqual(done.returncode, 0)
            return done.stderr
        self.assertIn("there is no kind of broker `nats`", refused("--queue", "nats://127.0.0.1:1"))
        file = self.box.root / "queues.yaml"
        for text, what in (("primary: redis\n", "primary: there is no backend redis"),
                           ("backends: {a: {url: 'redis://h:1/x'}}\n", "backends.a: "),
                           ("routes:\n  - {topic: 'a..b'}\n", "routes[0].topic: "),
                           ("primary: [\n", "line "), ("prmary: x\n", "prmary: there is no such setting")):
            file.write_text(text)
            answer = refused("--queues", str(file))
            self.assertIn("INVALID_ARGUMENT", answer)
            self.assertIn(what, answer)
        self.assertIn("--queue and --queues", refused("--queues", str(file), "--queue", self.url))
        self.assertIn("IO_FAILED", refused("--queues", str(self.box.root / "none.yaml")))

        file.write_text("backends: {far: {url: 'redis://127.0.0.1:1'}}\nprimary: far\n")
        self.box.data.mkdir(exist_ok=True)
        file.rename(self.box.data / "queues.yaml")
        self.up()
        self.cli("queue", "publish", "a", "x")
        self.assertEqual(self.cli("queue", "take", "a", "--payload").strip(), "x")
        self.assertIn("QUEUE_UNREACHABLE", wait_until(lambda: self.backends()["backends"][0]["problem"], "the reason"))
        self.assertIn("down", self.cli("queue", "backends"))


if __name__ == "__main__":
    unittest.main()
