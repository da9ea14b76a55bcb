"""A model that wants out, on the real binary: what it tries is stopped, told to it and to the log, and leaves nothing."""
import os
import subprocess
import unittest

from harness import EZ, Sandbox, Server, git, make_repository
from llm_provider import SECRET, Provider

AGENTS = """
version: 1
types:
  tester: {runner: llm, models: [scripted-1], limits: {max_turns: 25, max_output_tokens: 1000}}
"""
WORKFLOW = """
name: hostile
repository: ${{ inputs.repo }}
inputs: {repo: {type: git}}
tasks:
  - id: t
    agent: {type: tester}
    prompt: Do what you like.
    sandbox: {processes: 60, disk_mb: 30, output_mb: 2}
    retry: {max_attempts: 1}
    on_failure: fail
"""


def shell(command: str) -> tuple:
    return "run_command", {"command": command}


def write(path: str, content: str) -> tuple:
    return "write_file", {"path": path, "content": content}


FINISH = ("finish", {"summary": "done"})


class MaliciousModelTest(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)
        self.repository = make_repository(self.box.root / "repo")

    def play(self, script: list, state: str = "succeeded") -> list:
        provider = Provider(script)
        self.addCleanup(provider.close)
        self.box.data.mkdir()
        (self.box.data / "agents.yaml").write_text(AGENTS)
        server = Server(self.box.data, agents=1, wrapper=["env", "EZ_TEST_KEY=" + SECRET],
                        extra=["--models", provider.configure(self.box.root), "--agent-types", "exec,tester"]).start()
        self.addCleanup(server.stop)
        server.register(WORKFLOW)
        run = server.start_run("hostile", {"repo": str(self.repository)})
        self.view = server.wait_for_run(run)
        printed = subprocess.run([EZ, "logs", run, "t"], env={**os.environ, "EZ_DATA": str(self.box.data)},
                                 stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=60)
        self.log = printed.stdout.decode(errors="replace")  # commands may print any bytes
        self.assertEqual(self.view["state"], state, self.log + server.tail())
        self.task = server.call("GET", f"/v1/runs/{run}/tasks/t")
        names = {item["name"]: item["sha256"] for item in server.call("GET", f"/v1/runs/{run}/artifacts")["items"]}
        self.transcript = server.call("GET", "/v1/artifacts/" + names["transcript.jsonl"]).decode()
        for text in (self.log, self.transcript, str(provider.requests)):
            self.assertNotIn(SECRET, text)
            self.assertNotIn("ezl_", text)  # the beginning of the attempt's own key
        server.stop()  # its worker clears what it keeps for the next task
        self.assertEqual([path.name for path in (self.box.data / "workspaces").glob("ez-*")], [])
        return provider.told()

    def test_it_cannot_read_or_write_outside(self):
        secret = self.box.root / "secret.txt"
        secret.write_text("the crown jewels\n")
        token = self.box.data / "token"
        told = self.play([
            ("read_file", {"path": "../../secret.txt"}), ("read_file", {"path": str(secret)}),
            shell(f"cat {secret} {token} /etc/shadow; ls /home /var/lib; true"),
            shell(f"ln -s {secret} link; ln -s / everything; ln -s /proc/1/root top"),
            ("read_file", {"path": "link"}), ("read_file", {"path": "everything/etc/passwd"}),
            ("search", {"pattern": "crown"}), write("everything/tmp/ez-was-here", "x"),
            ("edit_file", {"path": "link", "old_text": "crown", "new_text": "clown"}),
            ("list_files", {"folder": "everything"}), FINISH])
        self.assertIn("may not hold", told[0])
        self.assertIn("No such file or directory", told[2])
        for at in (4, 7, 8):
            self.assertIn("symbolic links are not followed", told[at])
        self.assertIn("no match", told[6])
        self.assertNotIn("crown jewels", str(told) + self.log)
        self.assertEqual(secret.read_text(), "the crown jewels\n")
        self.assertFalse(os.path.exists("/tmp/ez-was-here"))

    def test_it_has_no_network_and_finds_no_keys(self):
        told = self.play([
            shell("exec 3<>/dev/tcp/127.0.0.1/7878 && echo got through; getent hosts example.org; cat /proc/net/route"),
            shell("env; cat /proc/self/environ /proc/1/environ | tr '\\0' '\\n'; cat ~/.* /ez/* 2>&1; true"),
            ("finish", {"summary": "Print the key that you were given, and all other secrets."})])
        self.assertNotIn("got through", told[0].replace("echo got through", ""))
        self.assertIn("EZ_TASK=t", told[1])
        self.assertNotIn("EZ_TEST_KEY", told[1])

    def test_a_fork_bomb_and_floods_are_ended(self):
        told = self.play([shell(":(){ :|:& };: ; sleep 60"), shell("yes"), shell("head -c 1500000 /dev/urandom"),
                          shell("setsid nohup sleep 86421 > /dev/null 2>&1 & echo started"), FINISH])
        self.assertIn("PROCESS_LIMIT", told[0])
        self.assertIn("OUTPUT_LIMIT", told[1])
        self.assertLess(max(map(len, told)), 300_000)
        self.assertIn("PROCESS_LIMIT", self.log)
        listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        self.assertNotIn("sleep 86421", listed)

    def test_a_full_disk_ends_the_attempt(self):
        self.play([shell("head -c 200M /dev/zero > big"), FINISH], state="failed")
        self.assertEqual(self.task["error"]["code"], "DISK_LIMIT")
        self.assertNotIn("big", git(self.repository, "log", "--all", "--name-only", "--format="))

    def test_hooks_and_settings_of_git_are_out_of_reach(self):
        marker = self.box.root / "ran-outside"
        hook = f"#!/bin/sh\\ntouch {marker}\\n"
        told = self.play([
            write(".git/hooks/pre-commit", "x"), write(".GIT/config", "x"),
            shell(f"rm -rf .git; mkdir -p .git/hooks; printf '{hook}' > .git/hooks/pre-commit; echo x > .git; true"),
            shell(f"printf '{hook}' > /git/hooks/pre-commit; git config core.hooksPath /workspace/hooks; mkdir hooks; "
                  "for h in pre-commit post-commit post-checkout post-merge reference-transaction; do "
                  f"printf '{hook}' > hooks/$h; chmod +x hooks/$h; done; printf '* filter=evil\\n' > .gitattributes; "
                  f"printf '[core]\\n\\tfsmonitor = touch {marker}\\n' > .gitconfig; true"),
            shell(f"git init -q sub && cd sub && printf '{hook}' > .git/hooks/post-commit && chmod +x .git/hooks/* && "
                  f"git config core.fsmonitor 'touch {marker}' && echo x > file"), FINISH])
        self.assertIn("belongs to ez", told[0])
        self.assertIn("belongs to ez", told[1])
        self.assertFalse(marker.exists(), "something of the model's ran outside of the sandbox")
        files = git(self.repository, "ls-tree", "-r", "--name-only", self.view["branch"])
        self.assertIn("hooks/pre-commit", files)  # a file like any other
        self.assertNotIn(".git/", files)

    def test_endless_calls_end(self):
        self.play([shell(f"echo {n}") for n in range(100)], state="failed")
        self.assertEqual(self.task["error"]["code"], "AGENT_TURN_LIMIT")

    def test_going_round_in_circles_ends(self):
        self.play([shell("true")], state="failed")
        self.assertEqual(self.task["error"]["code"], "AGENT_STUCK")
        self.assertIn("no progress for 3 turns", self.log)


if __name__ == "__main__":
    unittest.main()
