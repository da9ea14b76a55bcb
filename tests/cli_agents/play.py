"""One run over the real binary in which a real command-line agent changes a repository: it writes the wrong word, the check says
so, it is started again, writes the right one, and that is merged. Used by the tests of this folder."""
import json
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
from harness import Sandbox, Server, ez, git, make_repository  # noqa: E402
from provider import SECRET, Provider  # noqa: E402

WORKFLOW = """
name: coding
repository: ${{ inputs.repo }}
inputs: {repo: {type: git}}
budget: {cost_usd: 5}
tasks:
  - id: write
    agent: {type: %s}
    prompt: Write the file greeting.txt with the word hello in it, and nothing else.
    verify: grep -qx hello greeting.txt
    budget: {cost_usd: 4}
    timeout: {start_to_close: 5m}
    retry: {max_attempts: 1}
    on_failure: fail
"""


class AgentTest(unittest.TestCase):
    """What a real agent has to go through; `agent_type` is one of the ready-made types."""

    def play(self, agent_type: str, shown: Path, dialect: str, tools: list[str], agents_yaml: str = "") -> tuple[dict, dict]:
        """(the last line of the transcript, the accounts of the run)"""
        box = Sandbox()
        self.addCleanup(box.close)
        provider = Provider(tools)
        self.addCleanup(provider.close)
        box.data.mkdir()
        (box.data / "agents.yaml").write_text("version: 1\ntypes:\n  %s: {models: [scripted-1]}\n%s" % (agent_type, agents_yaml))
        server = Server(box.data, agents=1, wrapper=["env", "EZ_TEST_KEY=" + SECRET],
                        extra=["--models", provider.configure(box.root, dialect), "--agent-types", "exec," + agent_type,
                               "--show", str(shown)]).start()
        self.addCleanup(server.stop)
        repository = make_repository(box.root / "repo")
        server.register(WORKFLOW % agent_type)
        run = server.start_run("coding", {"repo": str(repository)})
        view = server.wait_for_run(run, 400)  # a loaded machine takes its time; the task has a limit of its own
        log = ez("logs", run, "write", data=box.data).stdout
        self.assertEqual(view["state"], "succeeded", log + server.tail())

        # Merged and checked; the first try was not good enough.
        self.assertEqual(git(repository, "show", f"{view['branch']}:greeting.txt"), "hello\n")
        self.assertEqual(git(repository, "diff", "--name-only", "main", view["branch"]), "greeting.txt\n")
        task = server.call("GET", f"/v1/runs/{run}/tasks/write")
        self.assertEqual((task["attempt"], task["state"]), (1, "succeeded"))
        self.assertIn("the check's result goes to the agent, which is started again", log)

        # No key is anywhere: not the provider's, and not the attempt's own.
        names = {item["name"]: item["sha256"] for item in server.call("GET", f"/v1/runs/{run}/artifacts")["items"]}
        transcript = server.call("GET", "/v1/artifacts/" + names["transcript.jsonl"]).decode()
        for text in (log, transcript, json.dumps([body for _, _, body in provider.seen])):
            self.assertNotIn(SECRET, text)
            self.assertNotIn("ezl_", text)
        lines = [json.loads(line) for line in transcript.splitlines()]
        self.assertEqual(lines[-1]["type"], "end", transcript[-2000:])
        self.assertEqual(lines[-1]["starts"], 2)

        # Every call that reached the provider is in the accounts, each once, and nothing else is.
        costs = server.call("GET", f"/v1/runs/{run}/costs")
        self.assertEqual([item["source"] for item in costs["items"]], ["gateway"], costs)
        self.assertEqual(costs["calls"] - costs["failed_calls"], len(provider.seen), costs)
        self.assertGreaterEqual(len(provider.seen), 2)
        self.assertGreater(costs["cost_microusd"], 0)
        self.assertEqual(server.run(run)["cost_microusd"], costs["cost_microusd"])
        self.assertEqual(lines[-1]["gateway"]["calls"], costs["calls"])
        said = ez("cost", run, data=box.data).stdout
        self.assertIn("one/scripted-1", said)
        self.assertIn(f"in {costs['calls']} calls of models", said)
        self.log, self.transcript = log, transcript
        return lines[-1], costs

    def assert_same_usage(self, end: dict):
        """The agent's own count is the gateway's."""
        self.assertFalse(end["differs"], end)
        self.assertIn(": the same", self.log)
