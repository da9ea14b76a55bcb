"""The example of a product, replayed strictly on the real binary: what is built, what was retried, mended and settled, what is
counted, and what happens when a request is not the recorded one."""
import json
import re
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
from harness import ROOT, Sandbox, Server, ez, git  # noqa: E402

EXAMPLE = ROOT / "examples/saas-task-board"
CASSETTE = EXAMPLE / "cassette/cassette.jsonl"
PRODUCT = EXAMPLE / "cassette/product"
TYPES = "exec,claude,gpt,deepseek,mistral"
PATIENCE = 900.0  # a machine that is busy with other tests hashes passwords slowly


def why_not() -> str:
    """Why it cannot run here; empty when it can. The sandbox shows a task /usr and nothing else of the machine."""
    node = shutil.which("node", path="/usr/bin:/bin")
    if node is None:
        return "there is no Node.js in /usr/bin (Debian: nodejs)"
    version = subprocess.run([node, "--version"], text=True, capture_output=True, check=True).stdout.strip()
    return "" if int(version.lstrip("v").split(".")[0]) >= 18 else f"Node.js {version} is older than 18"


@unittest.skipIf(why_not(), why_not())
class SaasExample(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)
        self.repository = self.box.root / "repo"
        self.repository.mkdir()
        shutil.copy(EXAMPLE / "start/PRODUCT.md", self.repository)
        git(self.repository, "init", "-q", "-b", "main")
        git(self.repository, "add", "-A")
        git(self.repository, "commit", "-qm", "What is wanted")
        # Keys that would be refused: nothing may ask a provider.
        keys = ["CLAUDE_API_KEY", "OPENAI_API_KEY", "DEEPSEEK_API_KEY", "MISTRAL_API_KEY"]
        self.server = Server(self.box.data, agents=2, wrapper=["env", *(f"{key}=no-key" for key in keys)],
                             extra=["--agent-types", TYPES, "--cassette", str(CASSETTE), "--cassette-mode", "strict"]).start()
        self.addCleanup(self.server.stop)

    def start(self, workflow) -> str:
        done = ez("run", str(workflow), "--input", f"repo={self.repository}", "--json", data=self.box.data)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return "r1"

    def log(self, task: str, attempt: int) -> str:
        return ez("logs", "r1", task, "--attempt", str(attempt), data=self.box.data).stdout

    def test_the_product_is_built(self):
        run = self.start(EXAMPLE / "workflow.yaml")
        view = self.server.wait_for_run(run, PATIENCE)
        tasks = {task["id"]: task for task in view["tasks"]}
        self.assertEqual(view["state"], "succeeded", json.dumps({name: task.get("error") for name, task in tasks.items()}))
        self.assertGreaterEqual(len(tasks), 10)
        self.assertGreaterEqual(len({task["agent_type"] for task in tasks.values()} - {"exec"}), 3)

        self.look_at_the_retry(tasks)
        self.look_at_the_conflict()
        self.look_at_the_money(run, view)
        self.look_at_the_product(view)

    def look_at_the_retry(self, tasks: dict):
        self.assertEqual({name: task["attempt"] for name, task in tasks.items() if task["attempt"] > 1}, {"throttle": 2})
        first = self.log("throttle", 1)
        self.assertEqual(first.count("the check's result goes back to the model"), 3, first)
        self.assertIn("after 60 s one try is out of the window", first)
        self.assertIn("throttle: good", self.log("throttle", 2))
        board = self.log("board", 1)
        self.assertEqual(board.count("the check's result goes back to the model"), 1, board)
        self.assertIn("a request can change the id", board)

    def look_at_the_conflict(self):
        """Whoever came second was settled by the resolver; the other was not."""
        settled = {}
        for name in ("accounts-api", "board-api"):
            task = self.server.call("GET", f"/v1/runs/r1/tasks/{name}")
            settled[name] = [artifact["name"] for artifact in task["artifacts"] if artifact["name"].startswith("resolver/")]
        self.assertEqual(sorted(map(len, settled.values())), [0, 1], settled)

    def look_at_the_money(self, run: str, view: dict):
        lines = [json.loads(line) for line in CASSETTE.read_text().splitlines()[1:]]
        costs = self.server.call("GET", f"/v1/runs/{run}/costs")
        models = [item for item in costs["items"] if item["calls"] > 0]
        self.assertTrue(all(item["replayed"] for item in models), models)
        self.assertEqual((costs["cost_microusd"], view["cost_microusd"]), (0, 0))
        # Two orders of the tasks that meet are recorded, and each takes every turn once.
        turns = {re.search(r"(?:toolu|call)_([a-z-]+_\d+_\d+)_", json.dumps(line["answer"]["chunks"])).group(1) for line in lines}
        calls = sum(item["calls"] for item in models)
        self.assertEqual(calls, len(turns))
        self.assertLess(calls, len(lines))
        self.assertEqual(costs["calls"], calls)
        used = {"input_tokens": 0, "output_tokens": 0}
        for item in models:
            for key in used:
                used[key] += item[key]
        totals = self.server.call("GET", "/v1/costs")
        for key, tokens in used.items():
            self.assertGreater(tokens, 0)
            self.assertEqual(sum(item[key] for item in totals["items"]), tokens)
        said = ez("cost", run, data=self.box.data).stdout
        self.assertEqual(said.count("(replayed)"), len(models), said)
        for model in ("claude-opus", "gpt-", "deepseek-", "mistral-"):
            self.assertIn(model, said)

    def look_at_the_product(self, view: dict):
        built = self.box.root / "built"
        built.mkdir()
        archive = subprocess.run(["git", "-C", str(self.repository), "archive", view["branch"]], check=True, capture_output=True)
        subprocess.run(["tar", "-x", "-C", str(built)], input=archive.stdout, check=True)
        for path in (path for path in PRODUCT.rglob("*") if path.is_file()):
            self.assertEqual((built / path.relative_to(PRODUCT)).read_bytes(), path.read_bytes(), path)
        self.assertEqual(git(self.repository, "status", "--porcelain"), "")

        names = {item["name"]: item["sha256"] for item in self.server.call("GET", "/v1/runs/r1/artifacts")["items"]}
        report = self.server.call("GET", "/v1/artifacts/" + names["ACCEPTANCE.txt"]).decode()
        self.assertGreaterEqual(len(report.splitlines()), 10)
        self.assertTrue(all(line.endswith(": good") for line in report.splitlines()), report)

        used = subprocess.run([sys.executable, "-B", str(EXAMPLE / "use.py"), str(built)], text=True, capture_output=True,
                              timeout=PATIENCE)
        self.assertEqual(used.returncode, 0, used.stdout + used.stderr)
        self.assertIn("Grace can neither change nor delete a task of Ada's", used.stdout)

    def test_a_request_that_was_not_recorded_is_a_clear_error(self):
        text = (EXAMPLE / "workflow.yaml").read_text()
        changed = self.box.root / "changed.yaml"
        changed.write_text(text.replace("Lay the foundation of the service", "Lay the groundwork of the service"))
        shutil.copytree(EXAMPLE / "checks", self.box.root / "checks")
        run = self.start(changed)
        view = self.server.wait_for_run(run, PATIENCE)
        self.assertEqual(view["state"], "failed")
        task = next(task for task in view["tasks"] if task["id"] == "foundation")
        self.assertEqual((task["state"], task["attempt"]), ("failed", 1), "no retry mends it")
        self.assertRegex(task["error"]["message"], r"CASSETTE_MISS.*nearest is entry 1,.*groundwork")
        self.assertEqual(self.server.call("GET", f"/v1/runs/{run}/costs")["cost_microusd"], 0)


class Cassette(unittest.TestCase):
    def test_the_cassette_says_who_wrote_it_and_holds_no_key(self):
        text = CASSETTE.read_text()
        header = json.loads(text.splitlines()[0])
        self.assertRegex(header["note"], "not by a model")
        self.assertIsNone(re.search(r"\bsk-|ezl_|/tmp/ez-|Bearer", text))


if __name__ == "__main__":
    unittest.main()
