"""The built-in coding agent on the real binary: server, gateway, worker, sandbox, merge. Only the provider is a script,
which speaks the Messages dialect or Chat Completions, streamed."""
import json
import unittest

from harness import Sandbox, Server, ez, git, make_repository
from llm_provider import SECRET, Provider, chat_stream, messages_stream

WORKFLOW = """
name: coding
repository: ${{ inputs.repo }}
inputs: {repo: {type: git}}
budget: {cost_usd: 1}
tasks:
  - id: write
    agent: {type: tester}
    prompt: Write greeting.txt with the word hello in it.
    verify: grep -q hello greeting.txt
    budget: {cost_usd: 0.50}
    output_schema: {type: object, required: [words], properties: {words: {type: integer}}}
"""
AGENTS = """
version: 1
types:
  tester: {runner: llm, models: [scripted-1], limits: {max_turns: 12, max_output_tokens: 1000}}
"""
# What the model does, turn by turn: calls of tools. The first check fails, and it mends that.
SCRIPT = [
    ("run_command", {"command": "ls; env; cat /proc/self/environ | tr '\\0' '\\n'"}),
    ("write_file", {"path": "greeting.txt", "content": "good day\n"}),
    ("finish", {"summary": "written", "output": {"words": "two"}}),
    ("finish", {"summary": "written", "output": {"words": 2}}),
    ("edit_file", {"path": "greeting.txt", "old_text": "good day", "new_text": "hello"}),
    ("finish", {"summary": "mended", "output": {"words": 1}}),
]


class LlmAgentTest(unittest.TestCase):
    def play(self, dialect: str, stream):
        box = Sandbox()
        self.addCleanup(box.close)
        provider = Provider(SCRIPT, stream)
        self.addCleanup(provider.close)
        box.data.mkdir()
        (box.data / "agents.yaml").write_text(AGENTS)
        server = Server(box.data, agents=1, wrapper=["env", "EZ_TEST_KEY=" + SECRET],
                        extra=["--models", provider.configure(box.root, dialect), "--agent-types", "exec,tester"]).start()
        self.addCleanup(server.stop)
        repository = make_repository(box.root / "repo")
        server.register(WORKFLOW)
        run = server.start_run("coding", {"repo": str(repository)})
        view = server.wait_for_run(run)
        log = ez("logs", run, "write", data=box.data).stdout
        self.assertEqual(view["state"], "succeeded", log + server.tail())

        # Merged, checked, with the output that the schema asks for.
        self.assertEqual(git(repository, "show", f"{view['branch']}:greeting.txt"), "hello\n")
        task = server.call("GET", f"/v1/runs/{run}/tasks/write")
        self.assertEqual((task["attempt"], task["output"]), (1, {"words": 1}))

        # The log has the model's words and what ez did about the check; nothing has a key.
        for text in ("Turn 0.", "> write_file", "the check's result goes back to the model", "done after 6 turns: mended"):
            self.assertIn(text, log)
        names = {item["name"]: item["sha256"] for item in server.call("GET", f"/v1/runs/{run}/artifacts")["items"]}
        transcript = server.call("GET", "/v1/artifacts/" + names["transcript.jsonl"]).decode()
        lines = [json.loads(line) for line in transcript.splitlines()]
        self.assertEqual((lines[0]["type"], lines[-1]["type"], lines[-1]["turns"]), ("start", "end", 6))
        told = json.dumps(provider.requests)
        for text in (log, transcript, told):
            self.assertNotIn(SECRET, text)
            self.assertNotIn("ezl_", text)
        self.assertEqual(len(provider.requests), 6)
        self.assertIn("The task's check has failed", told)
        self.assertIn("must be of type integer", told)

        # Metered once, by the gateway.
        costs = server.call("GET", f"/v1/runs/{run}/costs")
        self.assertEqual(costs["cost_microusd"], 6 * (100 * 1 + 20 * 10))
        self.assertEqual(server.run(run)["cost_microusd"], costs["cost_microusd"])

    def test_over_the_messages_dialect(self):
        self.play("anthropic-messages", messages_stream)

    def test_over_chat_completions(self):
        self.play("openai-chat", chat_stream)


if __name__ == "__main__":
    unittest.main()
