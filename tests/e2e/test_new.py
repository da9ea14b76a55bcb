"""`ez new` on the real binary: from a description to a file, with cassettes written by hand and with a provider on a socket."""
import json
import os
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import planner_cassette
from harness import EZ, Sandbox, ez, git, make_repository
from planner_cassette import GOOD, NOT_VALID, NOT_YAML
from terminal import Terminal

KEYS = ("CLAUDE_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "DEEPSEEK_API_KEY", "MISTRAL_API_KEY", "GEMINI_API_KEY",
        "GOOGLE_API_KEY", "KIMI_API_KEY", "MOONSHOT_API_KEY", "OPENROUTER_API_KEY")
MODELS = """
providers:
  anthropic: {base_url: "%s/v1", keys: [{env: EZ_TEST_KEY}]}
prices: prices.json
"""
PRICES = {"dated": "2026-11-22", "models": [
    {"provider": "anthropic", "model": planner_cassette.MODEL, "input": 4_000_000, "output": 20_000_000,
     "max_output_tokens": 128_000}]}


class Provider:
    """Answers with prepared files in the Messages dialect, and keeps what it was asked."""

    def __init__(self, files: list[str]):
        self.asked: list[dict] = []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                provider.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                body = json.dumps(planner_cassette.answer(files[len(provider.asked) - 1])).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class NewTest(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)
        self.here = self.box.root / "here"
        self.here.mkdir()
        for name in KEYS:
            self.addCleanup(lambda name=name, value=os.environ.get(name): value and os.environ.__setitem__(name, value))
            os.environ.pop(name, None)

    def new(self, *arguments: str, files: list[str] | None = None, env: dict | None = None):
        if files is not None:
            cassette = planner_cassette.write(self.box.root / "plan.jsonl", files)
            arguments = (*arguments, "--cassette", str(cassette), "--cassette-mode", "strict")
        return ez("new", *arguments, data=self.box.data, cwd=self.here, env=env)

    def configure(self, provider: Provider):
        self.box.data.mkdir()
        (self.box.data / "models.yaml").write_text(MODELS % provider.url)
        (self.box.data / "prices.json").write_text(json.dumps(PRICES))

    def test_wrong_twice_then_good(self):
        done = self.new("a shop", files=[NOT_YAML, NOT_VALID, GOOD])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("its file has", done.stderr)
        self.assertIn("did you mean `dependencies`", done.stderr)
        self.assertEqual((self.here / "shop.yaml").read_text(), GOOD)
        for part in ("ground", "page", "About $", "may spend at most $5.00", "It sells things.", "Planning cost $0.00",
                     "3 answers", "Written to shop.yaml"):
            self.assertIn(part, done.stdout)
        self.assertEqual(ez("workflow", "validate", "shop.yaml", cwd=self.here).returncode, 0)
        # The same again: no file is ever written over.
        again = self.new("a shop", "--json", files=[GOOD])
        self.assertEqual(json.loads(again.stdout)["file"], "shop-2.yaml")
        self.assertEqual(sorted(path.name for path in self.here.iterdir()), ["shop-2.yaml", "shop.yaml"])

    def test_a_model_that_keeps_failing(self):
        done = self.new("a shop", "--tries", "2", files=[NOT_YAML, NOT_VALID, GOOD])
        self.assertEqual(done.returncode, 1)
        self.assertIn("PLAN_INVALID", done.stderr)
        self.assertIn("in 2 answers", done.stderr)
        self.assertEqual(list(self.here.iterdir()), [])
        # A strict cassette whose answers are used up says so.
        missed = self.new("a shop", "--json", files=[NOT_YAML])
        self.assertEqual(json.loads(missed.stdout)["code"], "CASSETTE_MISS")

    def test_without_a_key(self):
        done = self.new("a shop")
        self.assertEqual(done.returncode, 3)
        self.assertIn("MODEL_NOT_FOUND", done.stderr)
        for name in KEYS:
            self.assertIn(name, done.stderr)
        other = self.new("a shop", "--agent", "gpt", env={"CLAUDE_API_KEY": "sk-none"})
        self.assertEqual(other.returncode, 3)
        self.assertIn("agent type gpt", other.stderr)

    def test_what_cannot_be_done_costs_nothing(self):
        (self.here / "mine.yaml").write_text("mine")
        provider = Provider([GOOD])
        self.addCleanup(provider.close)
        self.configure(provider)
        key = {"EZ_TEST_KEY": "sk-test-0123456789"}
        for arguments, code in ((("a shop", "--output", "mine.yaml"), "is there already"),
                                ((" ",), "the description is empty"),
                                (("a shop", "--template", "spaceship"), "There are: saas."),
                                (("a shop", "--run"), "--yes"),
                                (("a shop", "--run", "--json", "--yes"), "--json"),
                                (("a shop", "--max-cost", "no"), "--max-cost"),
                                (("a shop", "--tries", "0"), "tries"),
                                (("@nowhere.md",), "nowhere.md")):
            with self.subTest(arguments=arguments):
                done = self.new(*arguments, env=key)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(code, done.stdout + done.stderr)
        self.assertEqual((self.here / "mine.yaml").read_text(), "mine")
        poor = self.new("a shop", "--max-cost", "0.0001", env=key)
        self.assertEqual(poor.returncode, 7)
        self.assertIn("BUDGET_EXCEEDED", poor.stderr)
        self.assertEqual(provider.asked, [])

    def test_a_provider_is_asked_through_the_gateway(self):
        provider = Provider([NOT_VALID, GOOD])
        self.addCleanup(provider.close)
        self.configure(provider)
        (self.here / "idea.md").write_text("A shop for chairs.\n")
        done = self.new("@idea.md", "--template", "saas", "--types", "claude", "--output", "plan.yaml", "--json",
                        env={"EZ_TEST_KEY": "sk-test-0123456789"})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        report = json.loads(done.stdout)
        self.assertEqual((report["file"], report["answers"], report["planner"]), ("plan.yaml", 2, "claude-opus-5-5"))
        # Two answers of 3,000 tokens in at $4 and 1,000 out at $20 a million.
        self.assertEqual(report["planning_cost_microusd"], 2 * (3000 * 4 + 1000 * 20))
        self.assertEqual([task["task"] for task in report["estimate"]["tasks"]], ["ground", "page", "look"])
        self.assertGreater(report["estimate"]["cost_microusd"], 0)
        first, second = provider.asked
        text = first["messages"][0]["content"][0]["text"]
        self.assertIn("A shop for chairs.", text)
        self.assertIn("- claude: ", text)
        self.assertNotIn("- gpt: ", text)
        self.assertIn("tenant", text)
        self.assertEqual(first["tool_choice"], {"type": "tool", "name": "propose_workflow"})
        self.assertEqual(first["tools"][0]["input_schema"]["required"], ["file", "summary", "sizes"])
        back = second["messages"][-1]["content"][0]
        self.assertEqual((back["type"], back["is_error"]), ("tool_result", True))
        self.assertIn("4:", back["content"] if isinstance(back["content"], str) else back["content"][0]["text"])

    def test_it_runs_what_it_planned(self):
        repository = make_repository(self.box.root / "repo")
        done = self.new("a shop", "--run", "--yes", "--input", f"repo={repository}", files=[GOOD])
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("succeeded", done.stdout)
        self.assertEqual(git(repository, "show", "ez/r1:page.txt"), "page\n")

    def test_it_asks_before_it_runs(self):
        repository = make_repository(self.box.root / "repo")
        cassette = planner_cassette.write(self.box.root / "plan.jsonl", [GOOD, GOOD])
        for answer, runs in (("n", False), ("y", True)):
            with self.subTest(answer=answer):
                terminal = Terminal([EZ, "new", "a shop", "--input", f"repo={repository}", "--cassette", str(cassette),
                                     "--cassette-mode", "strict", "--output", str(self.here / f"{answer}.yaml")],
                                    rows=60, columns=120, env={"EZ_DATA": str(self.box.data)})
                self.addCleanup(terminal.close)
                terminal.wait_for("now? [y/N]")
                self.assertFalse((self.box.data / "server.json").exists())
                terminal.press(answer + "\n")
                self.assertEqual(terminal.wait(), 0)
                branches = git(repository, "branch", "--list", "ez/*")
                self.assertEqual("ez/r1" in branches, runs)
        self.assertTrue((self.here / "n.yaml").exists())


if __name__ == "__main__":
    unittest.main()
