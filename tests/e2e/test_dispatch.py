"""Tasks at a topic, for consumers that speak the broker: plain clients of a real Redis, RabbitMQ and Kafka, kill -9 of the server while
tasks are out, the consumer of the guide as it is written, and the same without any broker. What needs a broker is skipped, with the reason,
where it cannot be had."""
import json
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "servers"))
import rabbitmq  # noqa: E402
from amqp import Amqp  # noqa: E402
from certificates import Certificates  # noqa: E402
from harness import EZ, ROOT, Sandbox, Server, ez, wait_until  # noqa: E402
from kafka import Kafka  # noqa: E402
from processes import Unavailable  # noqa: E402
from redis import PASSWORD, USER, Redis  # noqa: E402

WORKFLOW = """
name: render
inputs: {n: {type: int}}
tasks:
  - id: draw
    agent: {type: renderer}
    prompt: Draw ${{ inputs.n }}
    retry: {max_attempts: 1}
    on_failure: fail
"""
DISPATCH = {"agent_type": "renderer", "topic": "jobs.render", "replies": "jobs.render.done",
            "cancels": "jobs.render.cancel", "capacity": 20}
RUNS = 60
PAGE = ROOT / "docs/guide/dispatch.md"


def reply_to(task: dict, **more) -> dict:
    return {**{key: task[key] for key in ("run", "task", "attempt", "fence", "kind")},
            "outcome": "succeeded", "output": {"drawn": task["prompt"]}, **more}


class AtRedis:
    """A consumer without groups: it reads the streams of queue 0, by redis-cli, which speaks plain Redis."""

    def __init__(self, redis: Redis):
        self.redis = redis

    def call(self, *words: str):
        return json.loads(self.redis._run(["--json", "-p", str(self.redis.ports[0]), *words]))

    def take(self) -> list[dict]:
        out = []
        for lane in range(5):
            key = f"ez:{{jobs.render}}:0:{lane}"
            for entry, fields in self.call("XRANGE", key, "-", "+") or []:
                out.append(json.loads(dict(zip(fields[::2], fields[1::2]))["data"]))
                self.call("XDEL", key, entry)
        return out

    def answer(self, reply: dict, number: str):
        self.call("XADD", "ez:{jobs.render.done}:0:2", "*", "id", number, "data", json.dumps(reply))


class AtRabbit:
    """RabbitMQ knows no ids either: a task that was confirmed just before ez died is published again."""

    def __init__(self, server: rabbitmq.RabbitMq):
        self.link = Amqp(server.port, rabbitmq.USER, rabbitmq.PASSWORD)
        self.known: set[tuple] = set()

    def take(self) -> list[dict]:
        out = []
        for lane in range(5):
            while (got := self.link.get(f"ez.q.jobs.render!0.{lane}")) is not None:
                task = json.loads(got[1])
                lease = (task["run"], task["task"], task["fence"])
                if lease not in self.known:
                    out.append(task)
                self.known.add(lease)
                self.link.ack(got[0])
        return out

    def answer(self, reply: dict, number: str):
        self.link.publish("ez.x", "jobs.render.done!2", number, json.dumps(reply).encode())


class AtKafka:
    """Kafka's own console consumer and console producer. Kafka knows no ids: the consumer drops those that it has seen."""

    def __init__(self, server: Kafka):
        where = ["--bootstrap-server", f"127.0.0.1:{server.port}"]
        self.consumer = self.tool(
            server, "consumer.ConsoleConsumer", *where, "--topic", "ez.jobs.render", "--group", "renderers", "--from-beginning",
            "--formatter-property", "print.headers=true", "--command-property", "metadata.max.age.ms=500",
            stdout=subprocess.PIPE)
        self.producer = self.tool(
            server, "ConsoleProducer", *where, "--topic", "ez.jobs.render.done", "--reader-property", "parse.headers=true",
            "--command-property", "linger.ms=0", stdin=subprocess.PIPE)
        self.came: queue.Queue[str] = queue.Queue()
        self.known: set[str] = set()
        self.reading = threading.Thread(target=self._read)
        self.reading.start()

    @staticmethod
    def tool(server: Kafka, name: str, *words: str, **streams) -> subprocess.Popen:
        return subprocess.Popen([*server.base, f"org.apache.kafka.tools.{name}", *words], text=True,
                                stderr=subprocess.DEVNULL, cwd=server.folder, **streams)

    def _read(self):
        for line in self.consumer.stdout:
            self.came.put(line)

    def take(self) -> list[dict]:
        out = []
        while not self.came.empty():
            headers, payload = self.came.get().split("\t", 1)
            name = dict(header.split(":", 1) for header in headers.split(","))["ez-id"]
            if name not in self.known:
                self.known.add(name)
                out.append(json.loads(payload))
        return out

    def answer(self, reply: dict, number: str):
        self.producer.stdin.write(f"ez-id:{number}\t{json.dumps(reply)}\n")
        self.producer.stdin.flush()

    def close(self):
        for process in (self.consumer, self.producer):
            process.kill()
            process.wait()
        self.reading.join()
        self.consumer.stdout.close()


class Dispatching(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)
        self.box.data.mkdir()

    def up(self, config: dict) -> Server:
        (self.box.data / "queues.yaml").write_text(json.dumps(config))
        server = Server(self.box.data).start()
        self.addCleanup(server.stop)
        return server

    def cli(self, *arguments: str, status: int = 0) -> str:
        done = ez(*arguments, data=self.box.data)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout

    def goes_to(self, name: str):
        wait_until(lambda: json.loads(self.cli("queue", "backends", "--json"))["routes"][0]["active"] == name,
                   f"tasks that go to {name}")

    def metric(self, server: Server, name: str) -> int:
        for line in server.call("GET", "/metrics").decode().splitlines():
            if line.startswith(name + " "):
                return int(float(line.split()[-1]))
        return 0

    def many_runs_with_kills(self, url: str, make_client):
        """RUNS runs; the server dies with kill -9 three times: with tasks out and nothing answered, with answers that it has not taken
        in, and again. Each task is out once, and each result is accepted once."""
        server = self.up({"backends": {"broker": {"url": url}}, "primary": "broker",
                          "routes": [{"topic": "jobs.render", "primary": "broker", "consumers": "broker"}],
                          "dispatch": [DISPATCH]})
        self.goes_to("broker")
        # A group of ez with the widest pattern is the first one at the broker; queue 0 stays the consumers'.
        ez("queue", "take", "#", "--group", "audit", data=self.box.data)
        client = make_client()
        server.register(WORKFLOW)
        runs = [server.start_run("render", {"n": number}) for number in range(RUNS)]
        seen, held, answered = {}, [], 0

        def take_some(count: int):
            """Until so many tasks more have come."""
            want = len(seen) + count

            def enough():
                for task in client.take():
                    self.assertNotIn(task["run"], seen, "a task is out twice")
                    self.assertEqual((task["attempt"], task["reply_topic"]), (1, "jobs.render.done"))
                    self.assertNotIn("model_gateway", task)
                    seen[task["run"]] = task
                    held.append(task)
                return len(seen) >= want
            wait_until(enough, f"{count} tasks more ({len(seen)} of {want})")

        def answer(count: int):
            nonlocal answered
            for task in held[:count]:
                client.answer(reply_to(task), f"answer-{task['run']}")
                answered += 1
            del held[:count]
        take_some(20)
        server.kill()
        server.start()
        answer(10)
        take_some(10)
        server.kill()
        answer(15)  # while nobody takes them in
        server.start()
        take_some(15)
        answer(len(held))
        server.kill()
        server.start()
        while len(seen) < RUNS:
            take_some(1)
            answer(len(held))
        answer(len(held))
        for number, run in enumerate(runs):
            view = server.wait_for_run(run)
            self.assertEqual(view["state"], "succeeded", view)
            task = view["tasks"][0]
            self.assertEqual((task["attempt"], task["output"]), (1, {"drawn": f"Draw {number}"}))
        self.assertEqual((len(seen), answered), (RUNS, RUNS))
        self.assertEqual(client.take(), [])
        # A late and repeated one is dropped, and what is no reply becomes a dead letter.
        client.answer({"run": "r1"}, "nonsense")
        dead = wait_until(lambda: json.loads(self.cli("dlq", "list", "--json"))["items"], "the dead letter")
        # What was accepted and not acknowledged when the server died has come before it.
        stale = 'ez_dispatch_replies_total{agent_type="renderer",outcome="stale"}'
        before = self.metric(server, stale)
        client.answer(reply_to(seen[runs[0]]), "late")
        wait_until(lambda: self.metric(server, stale) == before + 1, "the late reply")
        self.assertEqual([(one["group"], one["topic"]) for one in dead], [("ez-dispatch", "jobs.render.done")])
        self.assertIn("reply.fence: is missing", dead[0]["reason"])
        self.assertEqual(self.metric(server, 'ez_dispatch_buried_total{agent_type="renderer"}'), 1)
        agents = server.call("GET", "/v1/agents")["items"]
        self.assertEqual([(one["name"], one["type"], one["running"]) for one in agents], [("topic-renderer", "renderer", 0)])
        self.assertEqual(agents[0]["completed"], RUNS)


class AtTheRedis(Dispatching):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="ez-e2e-dispatch-")
        try:
            cls.redis = Redis(Certificates(Path(cls.folder.name) / "tls")).start()
        except Unavailable as reason:
            raise unittest.SkipTest(f"redis-server cannot be had here: {reason}") from None

    @classmethod
    def tearDownClass(cls):
        cls.redis.stop()
        cls.folder.cleanup()

    def setUp(self):
        super().setUp()
        self.redis.call(self.redis.ports[0], "FLUSHALL")
        password = self.box.root / "redis.password"
        password.write_text(PASSWORD + "\n")
        self.url = f"redis://{USER}@127.0.0.1:{self.redis.ports[0]}?password_file={password}"

    def test_kill_9_while_tasks_are_out(self):
        self.many_runs_with_kills(self.url, lambda: AtRedis(self.redis))

    def test_the_consumer_of_the_page_as_it_is_written(self):
        page = PAGE.read_text(encoding="utf-8")
        config = re.search(r"## With Redis\n\n```yaml\n(.*?)```", page, re.DOTALL)[1]
        config = re.sub(r"redis://[^']*", self.url, config)
        (self.box.data / "queues.yaml").write_text(config)
        consumer = self.box.root / "consumer.py"
        consumer.write_text(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], encoding="utf-8")
        server = Server(self.box.data).start()
        self.addCleanup(server.stop)
        self.goes_to("redis")
        environment = {**os.environ, "REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(self.redis.ports[0]),
                       "REDIS_USER": USER, "REDIS_PASSWORD": PASSWORD}
        with open(self.box.root / "consumer.log", "wb") as log:
            consumers = [subprocess.Popen([sys.executable, str(consumer)], env=environment, stdout=log, stderr=log)
                         for _ in range(2)]
        for process in consumers:
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
        done = ez("run", str(ROOT / "examples/dispatch/workflow.yaml"), "--follow", data=self.box.data)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr + (self.box.root / "consumer.log").read_text())
        tasks = {task["id"]: task for task in server.run("r1")["tasks"]}
        self.assertEqual(tasks["draw.1"]["output"], {"drawn": "Draw a house"})
        self.assertEqual(tasks["bind"]["output"], {"drawn": "Bind 3 pages"})
        self.assertEqual([process.poll() for process in consumers], [None, None])
        left = [self.redis.call(self.redis.ports[0], "XLEN", f"ez:{{jobs.render}}:0:{lane}").strip() for lane in range(5)]
        self.assertEqual(left, ["0"] * 5)


class AtTheRabbit(Dispatching):
    def test_kill_9_while_tasks_are_out(self):
        folder = tempfile.TemporaryDirectory(prefix="ez-e2e-dispatch-")
        self.addCleanup(folder.cleanup)
        try:
            server = rabbitmq.RabbitMq(Certificates(Path(folder.name) / "tls")).start()
        except Unavailable as reason:
            self.skipTest(f"rabbitmq-server cannot be had here: {reason}")
        self.addCleanup(server.stop)
        clients = []

        def there() -> AtRabbit | None:
            client = AtRabbit(server)
            try:
                client.take()
                return client
            except RuntimeError:  # a queue that is not there yet ends the channel
                client.link.close()
                return None

        def make_client() -> AtRabbit:
            clients.append(wait_until(there, "the queues of the topic"))
            self.addCleanup(clients[-1].link.close)
            return clients[-1]
        self.many_runs_with_kills(
            f"amqp://{rabbitmq.USER}:{rabbitmq.PASSWORD}@127.0.0.1:{server.port}?request_timeout_ms=10000", make_client)


class AtTheKafka(Dispatching):
    def test_kill_9_while_tasks_are_out(self):
        folder = tempfile.TemporaryDirectory(prefix="ez-e2e-dispatch-")
        self.addCleanup(folder.cleanup)
        try:
            server = Kafka(Certificates(Path(folder.name) / "tls")).start()
        except Unavailable as reason:
            self.skipTest(f"Kafka cannot be had here: {reason}")
        self.addCleanup(server.stop)

        def make_client() -> AtKafka:
            client = AtKafka(server)
            self.addCleanup(client.close)
            return client
        self.many_runs_with_kills(f"kafka://127.0.0.1:{server.port}?request_timeout_ms=10000", make_client)


class WithoutABroker(Dispatching):
    def test_tasks_are_taken_and_answered_by_the_queue(self):
        server = self.up({"dispatch": [DISPATCH]})
        server.register(WORKFLOW)
        run = server.start_run("render", {"n": 7})
        task = json.loads(self.cli("queue", "take", "jobs.render", "--payload", "--wait", "30s"))
        self.assertEqual((task["run"], task["prompt"]), (run, "Draw 7"))
        self.assertIn("topic-renderer", self.cli("agents"))
        self.assertIn("topic-renderer", self.cli("why", run, "draw"))
        progress = {**{key: task[key] for key in ("run", "task", "attempt", "fence")}, "kind": "progress", "log": "a line\n"}
        self.cli("queue", "publish", "jobs.render.done", json.dumps(progress))
        self.cli("queue", "publish", "jobs.render.done", json.dumps(reply_to(task, cost_microusd=1000)))
        view = server.wait_for_run(run)
        self.assertEqual(view["state"], "succeeded")
        self.assertIn("a line", self.cli("logs", run, "draw"))

        # Cancelled while it is out: the run ends at once, the consumer is told, its result is late.
        run = server.start_run("render", {"n": 8})
        task = json.loads(self.cli("queue", "take", "jobs.render", "--payload", "--wait", "30s"))
        self.cli("cancel", run)
        self.assertEqual(server.wait_for_run(run)["state"], "cancelled")
        told = json.loads(self.cli("queue", "take", "jobs.render.cancel", "--payload", "--wait", "30s"))
        self.assertEqual((told["run"], told["fence"]), (run, task["fence"]))

        # Paused like any agent type, and gone on with by a server that was stopped in good order.
        run = server.start_run("render", {"n": 9})
        task = json.loads(self.cli("queue", "take", "jobs.render", "--payload", "--wait", "30s"))
        server.stop()
        server.start()
        self.cli("queue", "publish", "jobs.render.done", json.dumps(reply_to(task)))
        view = server.wait_for_run(run)
        self.assertEqual((view["state"], view["tasks"][0]["attempt"]), ("succeeded", 1))

    def test_the_example_as_its_page_has_it(self):
        commands = re.findall(r"^    (.*)$", (ROOT / "examples/dispatch/README.md").read_text(), re.MULTILINE)
        commands = [command.split("  #")[0].strip() for command in commands]
        self.assertEqual(commands[0], "ez up --queues examples/dispatch/queues.yaml")
        server = Server(self.box.data, extra=["--queues", str(ROOT / "examples/dispatch/queues.yaml")]).start()
        self.addCleanup(server.stop)
        environment = {**os.environ, "EZ_DATA": str(self.box.data), "PATH": f"{Path(EZ).parent}:{os.environ['PATH']}"}
        (self.box.root / "examples").symlink_to(ROOT / "examples")

        def typed(command: str) -> str:
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=self.box.root, env=environment, text=True,
                                  stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
            self.assertEqual(done.returncode, 0, command + done.stdout + done.stderr)
            return done.stdout
        self.assertEqual(json.loads(typed(commands[1]))["run"], "r1")
        for _ in range(4):  # "four of them make the run succeed"
            for command in commands[2:]:
                typed(command.replace("--payload", "--payload --wait 30s"))
        view = server.wait_for_run("r1")
        self.assertEqual(view["state"], "succeeded")
        self.assertEqual(next(task for task in view["tasks"] if task["id"] == "bind")["output"], {"page": "Bind 3 pages"})

    def test_bad_configurations_are_refused_with_their_place(self):
        file = self.box.root / "queues.yaml"
        for entries, what in (([{**DISPATCH, "replies": "jobs.render"}], "dispatch[0].replies: is the topic of the tasks"),
                              ([DISPATCH, {**DISPATCH, "replies": "x"}], "dispatch[1].agent_type: is that of dispatch[0] too"),
                              ([{**DISPATCH, "reply": "x"}], "dispatch[0].reply: there is no such setting"),
                              ([{**DISPATCH, "topic": "a b"}], "dispatch[0].topic: "),
                              ([{**DISPATCH, "silence": "5"}], "dispatch[0].silence: must be a duration")):
            file.write_text(json.dumps({"dispatch": entries}))
            done = ez("up", "--data", str(self.box.data), "--listen", "127.0.0.1:0", "--agents", "0", "--queues", str(file))
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("INVALID_ARGUMENT", done.stderr)
            self.assertIn("queues.yaml: " + what, done.stderr)


if __name__ == "__main__":
    unittest.main()
