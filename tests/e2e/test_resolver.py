"""Merges that do not fit, on the real binary: a resolver settles them (a script, or a model through the gateway), lies, or
dies with its worker; then a person is asked, sees everything, and settles it."""
import json
import shutil
import subprocess
import unittest

from harness import Sandbox, Server, Worker, ez, git, make_repository, wait_until
from llm_provider import SECRET, Provider

# Two tasks write the same line. The second that is accepted does not merge.
WORKFLOW = """
name: clash
inputs: {repo: {type: git}}
repository: ${{ inputs.repo }}
%s
defaults: {timeout: {heartbeat: 4s}, retry: {max_attempts: 1}}
tasks:
  - id: left
    run: sed -i 's/^7$/left/' numbers.txt; echo left > left.txt
    verify: %s
  - id: right
    run: sed -i 's/^7$/right/' numbers.txt; echo right > right.txt
    verify: %s
  - id: join
    dependencies: [left, right]
    workspace: read
    run: |
      jq -Rs '{text: .}' numbers.txt > "$EZ_OUTPUT"
"""
CHECK = "test $(grep -c -e left -e right numbers.txt) -ge 1 && ! grep -q -e '<<<' -e '>>>' numbers.txt"
BOTH = "test ! -f left.txt -o ! -f right.txt || grep -q both numbers.txt"
SETTLE = "sed -i -e '/^[<>=]\\{7\\}/d' numbers.txt"
AGENTS = """
version: 1
types:
  tester: {runner: llm, models: [scripted-1], limits: {max_turns: 12, max_output_tokens: 1000}}
"""


def workflow(resolver: str, check: str = CHECK) -> str:
    return WORKFLOW % (resolver, json.dumps(check), json.dumps(check))


class ResolverTest(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)
        self.repository = make_repository(self.box.root / "repo")

    def serve(self, agents: int = 1, extra: list | None = None, data=None) -> Server:
        server = Server(data or self.box.data, agents=agents, wrapper=["env", "EZ_TEST_KEY=" + SECRET], extra=extra)
        server.start()
        self.addCleanup(server.stop)
        return server

    def start(self, server: Server, source: str) -> str:
        server.register(source)
        return server.start_run("clash", {"repo": str(self.repository)})

    @staticmethod
    def resolved(view: dict) -> list:
        """What resolvers did: of the one task that did not merge by itself."""
        return [task for task in view["tasks"] if task["resolver"]]

    def assert_clean(self):
        self.assertEqual(len(git(self.repository, "worktree", "list").splitlines()), 1)
        self.assertEqual(git(self.repository, "status", "--porcelain"), "")

    def test_a_script_settles_it(self):
        server = self.serve()
        run = self.start(server, workflow(f"resolver: {{run: {json.dumps(SETTLE)}}}"))
        view = server.wait_for_run(run)
        self.assertEqual(view["state"], "succeeded", server.tail())
        task, = self.resolved(view)
        self.assertEqual(task["resolver"], {"agent_type": "exec", "tries": [{"number": 1, "error": None}]})
        join = next(each for each in view["tasks"] if each["id"] == "join")
        self.assertIn("left", join["output"]["text"])
        self.assertIn("right", join["output"]["text"])
        self.assertIn("resolver exec, try 1: settled it", ez("show", run, data=self.box.data).stdout)
        self.assertIn("try 1 of 2: the merge conflicts in numbers.txt", ez("logs", run, task["id"], data=self.box.data).stdout)
        server.stop()
        self.assert_clean()

    def test_one_that_lies_and_then_a_person(self):
        server = self.serve()
        liar = ("resolver: {run: \"grep -q '\\\"try\\\":1' $EZ_MERGE/merge.json || "
                "{ sed -i '/^[<>=]\\\\{7\\\\}/d' numbers.txt; echo x > README.md; }\"}")
        run = self.start(server, workflow(liar))
        waiting = wait_until(lambda: server.call("GET", "/v1/approvals")["items"], "a person is asked")
        item = waiting[0]
        self.assertEqual((item["kind"], item["error"]["code"]), ("conflict", "MERGE_CONFLICT"))
        self.assertIn("<<<<<<<", item["conflict"])
        errors = [one["error"] for one in item["resolver"]["tries"]]
        self.assertEqual([error["code"] for error in errors], ["MERGE_CONFLICT"] * 2)
        self.assertIn("a conflict marker is left in numbers.txt", errors[0]["message"])
        self.assertIn("README.md", errors[1]["message"])
        for command in (("approvals",), ("show", run)):
            shown = ez(*command, data=self.box.data)
            self.assertEqual(shown.returncode, 0, shown.stderr)
            for text in ("resolver exec, try 2: MERGE_CONFLICT", "left", "right", "numbers.txt"):
                self.assertIn(text, shown.stdout, command)
        self.assertIn(f"ez approve {run} {item['task']}", ez("approvals", data=self.box.data).stdout)

        # A person settles it on the task's branch, in a tree of their own.
        task = server.call("GET", f"/v1/runs/{run}/tasks/{item['task']}")
        mine = self.box.root / "mine"
        git(self.repository, "worktree", "add", "-q", str(mine), task["branch"])
        view = server.run(run)
        subprocess.run(["git", "-C", str(mine), "-c", "user.name=P", "-c", "user.email=p@localhost", "merge", "-q",
                        view["branch"]], check=False, capture_output=True)
        (mine / "numbers.txt").write_text("left and right, by a person\n")
        git(mine, "commit", "-qam", "settled")
        ez("approve", run, item["task"], data=self.box.data)
        view = server.wait_for_run(run)
        self.assertEqual(view["state"], "succeeded", server.tail())
        self.assertEqual(git(self.repository, "show", f"{view['branch']}:numbers.txt"), "left and right, by a person\n")
        self.assertEqual(self.resolved(view), [])  # the last merge needed none
        server.stop()
        git(self.repository, "worktree", "remove", "--force", str(mine))
        self.assert_clean()

    def test_what_is_merged_has_passed_the_check(self):
        # The texts conflict, what the first try makes of them fails the check, and the second mends that.
        server = self.serve()
        script = (f"if [ -f $EZ_MERGE/check.txt ]; then cat $EZ_MERGE/check.txt; echo both >> numbers.txt; "
                  f"else {SETTLE}; fi")
        run = self.start(server, workflow(f"resolver: {{run: {json.dumps(script)}}}", "echo look; " + BOTH))
        view = server.wait_for_run(run)
        self.assertEqual(view["state"], "succeeded", server.tail())
        task, = self.resolved(view)
        self.assertEqual([one["error"] and one["error"]["code"] for one in task["resolver"]["tries"]],
                         ["VERIFY_FAILED", None])
        self.assertIn("both", git(self.repository, "show", f"{view['branch']}:numbers.txt"))

    def test_its_worker_is_killed(self):
        server = self.serve(agents=0)
        worker = Worker(server, "w", 4, self.box.root / "workspaces").start()
        self.addCleanup(worker.stop)
        script = f"echo begun; sleep 2; {SETTLE}; echo ended"
        run = self.start(server, workflow(f"resolver: {{run: {json.dumps(script)}}}"))

        def logs() -> str:
            return "".join(ez("logs", run, task, data=self.box.data).stdout for task in ("left", "right"))

        wait_until(lambda: "begun\n" in logs(), "the resolver is at work")
        worker.kill()
        worker.start()
        view = server.wait_for_run(run)
        self.assertEqual(view["state"], "succeeded", server.tail() + logs())
        task, = self.resolved(view)
        self.assertEqual([one["error"] for one in task["resolver"]["tries"]], [None])
        worker.stop()
        self.assertEqual([path.name for path in (self.box.root / "workspaces").glob("ez-*")], [])
        self.assert_clean()

    def test_cancelling_the_run_stops_it(self):
        server = self.serve()
        run = self.start(server, workflow("resolver: {run: echo begun; sleep 600}"))

        def logs() -> str:
            return "".join(ez("logs", run, task, data=self.box.data).stdout for task in ("left", "right"))

        wait_until(lambda: "begun\n" in logs(), "the resolver is at work")
        head = server.run(run)["head"]
        ez("cancel", run, data=self.box.data)
        self.assertEqual(server.wait_for_run(run)["state"], "cancelled")
        wait_until(lambda: "TASK_CANCELLED" in logs(), "the resolver has been stopped")
        self.assertEqual(git(self.repository, "rev-parse", f"ez/{run}").strip(), head)
        server.stop()
        self.assert_clean()

    SCRIPT = [
        ("run_command", {"command": "git status --porcelain numbers.txt; for side in base ours theirs; do "
                                    "sed -n 8p /ez/merge/$side/numbers.txt; done"}),
        ("read_file", {"path": "numbers.txt"}),
        ("write_file", {"path": "numbers.txt", "content": "left and right\n"}),
        ("finish", {"summary": "both words"}),
    ]

    def play_model(self, script: list, extra: list, data, provider: Provider | None) -> dict:
        data.mkdir(exist_ok=True)
        (data / "agents.yaml").write_text(AGENTS)
        # One task ends when the other is merged, so that it is always the same one that does not merge.
        gate = self.box.root / "gate"
        gate.mkdir(exist_ok=True)
        (gate / "open").unlink(missing_ok=True)
        source = workflow("budget: {cost_usd: 1}\nresolver: {agent: {type: tester}, prompt: Keep both words., "
                          "budget: {cost_usd: 0.50}}").replace(
                              "run: sed -i 's/^7$/right",
                              f"run: while [ ! -e {gate}/open ]; do sleep 0.05; done; sed -i 's/^7$/right")
        server = self.serve(agents=2, extra=[*extra, "--show", str(gate)], data=data)
        run = self.start(server, source)
        wait_until(lambda: {task["id"]: task["state"] for task in server.run(run)["tasks"]}["left"] == "succeeded",
                   "the merge of the other task")
        (gate / "open").touch()
        view = server.wait_for_run(run)
        log = ez("logs", run, "right", data=data).stdout
        self.assertEqual(view["state"], "succeeded", log + server.tail())
        task, = self.resolved(view)
        self.assertEqual((task["id"], task["resolver"]),
                         ("right", {"agent_type": "tester", "tries": [{"number": 1, "error": None}]}))
        self.assertEqual(git(self.repository, "show", f"{view['branch']}:numbers.txt"), "left and right\n")
        self.assertIn("agent tester with scripted-1", log)
        # Its transcript is the task's, what it cost too.
        names = {item["name"]: item for item in server.call("GET", f"/v1/runs/{run}/artifacts")["items"]}
        self.assertEqual(names["resolver/1/transcript.jsonl"]["task"], "right")
        costs = server.call("GET", f"/v1/runs/{run}/costs")
        self.assertEqual(server.run(run)["reserved_microusd"], 0)
        transcript = server.call("GET", "/v1/artifacts/" + names["resolver/1/transcript.jsonl"]["sha256"]).decode()
        for text in (log, transcript, str(provider.requests if provider else "")):
            self.assertNotIn(SECRET, text)
            self.assertNotIn("ezl_", text)
        server.stop()
        self.assert_clean()
        return costs

    def test_a_model_settles_it_and_a_cassette_does_it_again(self):
        provider = Provider(self.SCRIPT)
        self.addCleanup(provider.close)
        models = provider.configure(self.box.root)
        cassette = self.box.root / "resolver.cassette"
        options = ["--models", models, "--agent-types", "exec,tester", "--cassette", str(cassette)]
        costs = self.play_model(self.SCRIPT, [*options, "--cassette-mode", "record"], self.box.data, provider)
        self.assertEqual(costs["cost_microusd"], len(self.SCRIPT) * (100 * 1 + 20 * 10))
        self.assertEqual(len(provider.requests), len(self.SCRIPT))
        asked = provider.requests[0]["messages"][0]["content"]
        asked = asked if isinstance(asked, str) else json.dumps(asked)
        for text in ("holds conflict markers", "numbers.txt", "ours of numbers.txt", "theirs of numbers.txt",
                     "base of numbers.txt", "Keep both words.", "What the task was asked for"):
            self.assertIn(text, asked)
        told = provider.told()
        self.assertIn("UU numbers.txt", told[0])
        self.assertIn("7\\nleft\\nright", told[0].replace("\\\\n", "\\n"))
        self.assertIn("<<<<<<< ours", told[1])

        # Nothing of it differs from run to run: the strict cassette has every request.
        provider.close()
        shutil.rmtree(self.repository)
        make_repository(self.repository)
        costs = self.play_model(self.SCRIPT, [*options, "--cassette-mode", "strict"], self.box.root / "other", None)
        self.assertEqual(costs["cost_microusd"], 0)

    def test_a_worker_that_does_not_know_the_type(self):
        server = self.serve(extra=["--agent-types", "exec"])
        run = self.start(server, workflow("resolver: {agent: {type: unheard-of}}"))
        item = wait_until(lambda: server.call("GET", "/v1/approvals")["items"], "a person is asked")[0]
        self.assertEqual([one["error"]["code"] for one in item["resolver"]["tries"]], ["AGENT_TYPE_UNKNOWN"])
        ez("reject", run, item["task"], data=self.box.data)
        self.assertEqual(server.wait_for_run(run)["state"], "failed")

    # A program as an agent: it finds the sides, asks its model through the door, and writes what the model said.
    PROGRAM = """#!/bin/bash
set -e
grep -q 'holds conflict markers' "$1"
test "$(sed -n 8p $EZ_MERGE/ours/numbers.txt) $(sed -n 8p $EZ_MERGE/theirs/numbers.txt)" = "left right"
grep -q '<<<<<<< ours' numbers.txt
if grep -q '"try":1' $EZ_MERGE/merge.json; then echo "left as it is"; exit 0; fi
exec 3<>/dev/tcp/127.0.0.1/${DOOR##*:}
body='{"model":"scripted-1","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"which word?"}]}'
printf 'POST /v1/chat/completions HTTP/1.1\\r\\nHost: %s\\r\\nAuthorization: Bearer %s\\r\\n' "${DOOR#*//}" "$KEY" >&3
printf 'Content-Type: application/json\\r\\nContent-Length: %s\\r\\nConnection: close\\r\\n\\r\\n%s' ${#body} "$body" >&3
answer=$(cat <&3)
case "$answer" in *"Turn 0."*) echo "left and right" > numbers.txt ;; *) echo "$answer"; exit 7 ;; esac
echo "settled by a program"
"""
    PROGRAM_TYPE = """
version: 1
types:
  program:
    runner: cli
    models: [scripted-1]
    cli:
      command: [settle, "{prompt_file}"]
      env: {DOOR: "{gateway}", KEY: "{key}"}
      events: text
"""

    def test_a_program_settles_it_in_its_second_try(self):
        provider = Provider([("say", {"words": "both"})])
        self.addCleanup(provider.close)
        tools = self.box.root / "tools"
        tools.mkdir()
        (tools / "settle").write_text(self.PROGRAM)
        (tools / "settle").chmod(0o755)
        self.box.data.mkdir()
        (self.box.data / "agents.yaml").write_text(self.PROGRAM_TYPE)
        server = self.serve(extra=["--models", provider.configure(self.box.root), "--agent-types", "exec,program",
                                   "--show", str(tools)])
        run = self.start(server, workflow("budget: {cost_usd: 1}\nresolver: {agent: {type: program}, budget: {cost_usd: 0.50}}",
                                      "test -s numbers.txt"))
        wait_until(lambda: server.call("GET", "/v1/approvals")["items"] or server.run(run)["state"] != "running", "an end")
        self.assertEqual(server.call("GET", "/v1/approvals")["items"], [], server.tail())
        view = server.wait_for_run(run)
        task, = self.resolved(view)
        log = ez("logs", run, task["id"], data=self.box.data).stdout
        self.assertEqual(view["state"], "succeeded", log + server.tail())
        self.assertEqual(task["resolver"]["agent_type"], "program")
        first, second = task["resolver"]["tries"]
        self.assertEqual((first["error"]["code"], second["error"]), ("MERGE_CONFLICT", None))
        self.assertIn("a conflict marker is left in numbers.txt", first["error"]["message"])
        self.assertIn("settled by a program", log)
        self.assertEqual(git(self.repository, "show", f"{view['branch']}:numbers.txt"), "left and right\n")
        # Its call is the task's, at its price; its key is nowhere to be read.
        costs = server.call("GET", f"/v1/runs/{run}/costs")
        self.assertEqual([(item["task"], item["model"], item["calls"]) for item in costs["items"] if item["calls"]],
                         [(task["id"], "scripted-1", 1)])
        self.assertGreater(costs["cost_microusd"], 0)
        names = {item["name"]: item for item in server.call("GET", f"/v1/runs/{run}/artifacts")["items"]}
        for number in (1, 2):
            said = server.call("GET", "/v1/artifacts/" + names[f"resolver/{number}/transcript.jsonl"]["sha256"]).decode()
            self.assertNotIn("ezl_", said + log)
        server.stop()
        self.assert_clean()


if __name__ == "__main__":
    unittest.main()
