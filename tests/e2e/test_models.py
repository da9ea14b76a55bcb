"""The model gateway of the real binary: kill -9 between calls loses no account and never overspends."""
import json
import threading
import unittest
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from harness import Sandbox, Server, ez, wait_until

CENT = 10_000
WORKFLOW = """
name: paid
budget: {cost_usd: 0.05}
tasks:
  - {id: a, agent: {type: claude}, prompt: x, budget: {cost_usd: 0.04}, retry: {max_attempts: 1}}
"""
ROOMY = WORKFLOW.replace("name: paid", "name: roomy").replace("0.05", "0.50").replace("0.04", "0.40")
MODELS = """
providers:
  one: {base_url: "%s/v1", dialects: [anthropic-messages], models: ["claude-*"], keys: [{env: EZ_TEST_KEY}]}
prices: prices.json
"""
PRICES = {"dated": "2026-11-22", "models": [
    {"provider": "one", "model": "claude-test", "input": 1_000_000, "output": 10_000_000, "max_output_tokens": 1000}]}
ASK = {"model": "claude-test", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}
EACH = 7 * 1 + 50 * 10  # what one answer costs, in micro-dollars
SECRET = "sk-this-is-the-providers-key"


class Upstream:
    """A provider that counts what it answered."""

    def __init__(self):
        upstream = self
        self.answered = 0
        self.keys: set = set()
        self.hangs: threading.Event | None = None  # the first request is not answered before that
        self.lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):  # the name that http.server asks for
                self.rfile.read(int(self.headers["Content-Length"]))
                with upstream.lock:
                    upstream.answered += 1
                    hangs = upstream.hangs if upstream.answered == 1 else None
                    upstream.keys.add(self.headers.get("x-api-key"))
                if hangs:
                    hangs.wait(60)
                body = json.dumps({
                    "id": "m", "type": "message", "role": "assistant", "model": "claude-test", "content": [],
                    "stop_reason": "end_turn", "stop_sequence": None,
                    "usage": {"input_tokens": 7, "output_tokens": 50}}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Listener(ThreadingHTTPServer):
            def handle_error(self, *_):
                pass  # a server that was killed breaks its connections

        self.server = Listener(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class ModelsTest(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)
        self.upstream = Upstream()
        self.addCleanup(self.upstream.close)
        models = self.box.root / "models.yaml"
        models.write_text(MODELS % self.upstream.url)
        (self.box.root / "prices.json").write_text(json.dumps(PRICES))
        self.server = Server(self.box.data, wrapper=["env", "EZ_TEST_KEY=" + SECRET],
                             extra=["--models", str(models)]).start()
        self.addCleanup(self.server.stop)
        self.server.register(WORKFLOW)
        self.server.register(ROOMY)
        self.agent = self.register()

    def register(self) -> str:
        return self.server.call("POST", "/v1/agents", {"name": "payer", "type": "claude", "capacity": 4})["agent"]

    def take(self) -> dict:
        items: list = []

        def some():
            items.extend(self.server.call("POST", "/v1/work", {"agent": self.agent, "want": 1, "wait_ms": 200})["tasks"])
            return items
        return wait_until(some, "the task")[0]

    def call(self, key: str) -> int:
        """The status of one call; 0 when the server went away."""
        request = urllib.request.Request(self.server.url + "/v1/messages", data=json.dumps(ASK).encode(),
                                         headers={"x-api-key": key, "Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                answer.read()
                return answer.status
        except urllib.error.HTTPError as error:
            self.assertNotIn(SECRET, error.read().decode())
            return error.code
        except OSError:
            return 0

    def finish(self, item: dict):
        result = {key: item[key] for key in ("run", "task", "attempt", "fence", "kind")}
        answer = self.server.call("POST", "/v1/work", {"agent": self.agent, "want": 0, "wait_ms": 200,
                                                       "results": [{**result, "outcome": "succeeded"}]})
        self.assertEqual([a["status"] for a in answer["accepted"]], ["accepted"])

    def check(self, run: str, limit: int = 4 * CENT) -> dict:
        def both():  # a record may come between the two
            view = self.server.call("GET", f"/v1/runs/{run}/costs")
            return view if self.server.run(run)["cost_microusd"] == view["cost_microusd"] else None
        costs = wait_until(both, "the same cost in both views")
        self.assertEqual(sum(line["cost_microusd"] for line in costs["items"]), costs["cost_microusd"])
        self.assertGreaterEqual(costs["cost_microusd"], self.upstream.answered * EACH, "something is not accounted for")
        self.assertLessEqual(costs["cost_microusd"], limit, "more than the task may cost")
        return costs

    def test_kill_nine_between_calls(self):
        run = self.server.start_run("roomy")
        item = self.take()
        key = item["model_gateway"]["key"]
        for _ in range(3):
            with ThreadPoolExecutor(8) as pool:
                calls = [pool.submit(self.call, key) for _ in range(24)]
                before = self.upstream.answered
                wait_until(lambda: self.upstream.answered > before or all(c.done() for c in calls), "some answers")
                self.server.kill()
            self.server.start()
            # The first call of the new life draws afresh: what was open of the former one is spent now.
            self.call(key)
            wait_until(lambda: self.server.run(run)["cost_microusd"] >= self.upstream.answered * EACH,
                       "an account of every answer")
            self.check(run, 40 * CENT)
        # What is left can still be spent.
        self.assertEqual({self.call(key) for _ in range(20)}, {200})
        self.finish(item)
        costs = self.check(run, 40 * CENT)
        self.assertGreater(costs["unsettled_microusd"], 0)
        self.assertEqual(self.server.wait_for_run(run)["state"], "succeeded")
        shown = ez("cost", run, data=self.box.data)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn("one/claude-test", shown.stdout)
        self.assertIn("set aside, never settled", shown.stdout)

    def test_a_hundred_calls_at_the_edge_of_the_budget(self):
        run = self.server.start_run("paid")
        item = self.take()
        key = item["model_gateway"]["key"]
        with ThreadPoolExecutor(50) as pool:
            statuses = list(pool.map(lambda _: self.call(key), range(100)))
        self.assertIn(200, statuses)
        self.assertGreater(len([s for s in statuses if s != 200]), 0, "four cents do not pay a hundred calls")
        self.finish(item)
        costs = self.check(run)
        self.assertEqual(costs["unsettled_microusd"], 0)
        self.assertEqual(costs["cost_microusd"], statuses.count(200) * EACH)
        self.assertEqual(self.upstream.answered, statuses.count(200))
        self.assertEqual(self.upstream.keys, {SECRET})

    def test_no_key_is_anywhere(self):
        self.server.start_run("paid")
        item = self.take()
        self.assertEqual(self.call(item["model_gateway"]["key"]), 200)
        self.assertNotIn(SECRET, json.dumps(item))
        self.assertNotIn(SECRET, self.server.log.read_text())
        self.assertNotIn(SECRET.encode(), self.server.call("GET", "/metrics"))
        self.server.stop()
        for path in self.box.data.rglob("*"):
            if path.is_file():
                self.assertNotIn(SECRET.encode(), path.read_bytes(), path)


class HedgeTest(unittest.TestCase):
    def test_a_second_key_answers_for_one_that_hangs_and_both_are_paid_for(self):
        box = Sandbox()
        self.addCleanup(box.close)
        upstream = Upstream()
        self.addCleanup(upstream.close)
        upstream.hangs = threading.Event()
        self.addCleanup(upstream.hangs.set)
        (box.root / "models.yaml").write_text(MODELS.replace("[{env: EZ_TEST_KEY}]", "[{env: EZ_TEST_KEY}, {env: EZ_TEST_KEY_2}]")
                                              % upstream.url + "hedge: {after: 50ms, max_share: 1}\n")
        (box.root / "prices.json").write_text(json.dumps(PRICES))
        server = Server(box.data, wrapper=["env", f"EZ_TEST_KEY={SECRET}", f"EZ_TEST_KEY_2={SECRET}-2"],
                        extra=["--models", str(box.root / "models.yaml")]).start()
        self.addCleanup(server.stop)
        server.register(ROOMY)
        run = server.start_run("roomy")
        agent = server.call("POST", "/v1/agents", {"name": "payer", "type": "claude", "capacity": 1})["agent"]
        items: list = []

        def some():
            items.extend(server.call("POST", "/v1/work", {"agent": agent, "want": 1, "wait_ms": 200})["tasks"])
            return items
        item = wait_until(some, "the task")[0]
        request = urllib.request.Request(server.url + "/v1/messages", data=json.dumps(ASK).encode(), headers={
            "x-api-key": item["model_gateway"]["key"], "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            self.assertEqual(json.load(answer)["usage"]["output_tokens"], 50)
        self.assertEqual(len(upstream.keys), 2)

        def counted():
            view = server.call("GET", f"/v1/runs/{run}/costs")
            return view if view["calls"] == 2 else None
        costs = wait_until(counted, "both in the accounts")
        lines = sorted((line["cost_microusd"], line["calls"], line["failed_calls"]) for line in costs["items"] if line["calls"])
        # One answer at its price, and the other at the most that it may have cost: its output to the limit, its input by bytes.
        self.assertEqual(lines[0], (EACH, 1, 0))
        self.assertEqual(lines[1][1:], (1, 1))
        self.assertGreater(lines[1][0], 100 * 10)
        self.assertEqual(sum(line[0] for line in lines), costs["cost_microusd"])
        self.assertEqual(server.run(run)["cost_microusd"], costs["cost_microusd"])
        metrics = server.call("GET", "/metrics").decode()
        self.assertIn('ez_model_hedges_total{provider="one",outcome="won"} 1', metrics)


if __name__ == "__main__":
    unittest.main()
