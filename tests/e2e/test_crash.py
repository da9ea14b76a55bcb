"""kill -9 of server and agents at random moments: nothing acknowledged is lost, nothing is accepted twice.

EZ_KILLS (default 30) and EZ_CRASH_RUNS (default 200) set the size, EZ_CRASH_SEED the sequence of kills.
"""
import os
import random
import subprocess
import threading
import unittest

from chaos import Chaos
from harness import Sandbox, git, make_repository, wait_until

PLAIN = """
name: plain
tasks:
  - id: a
    run: |
      echo '{"n": 1}' > "$EZ_OUTPUT"
    timeout: {heartbeat: 4s}
  - id: b
    dependencies: [a]
    for_each: ${{ [1, 2] }}
    run: test ${{ item }} -gt 0
    timeout: {heartbeat: 4s}
  - id: c
    dependencies: [b]
    when: tasks.a.output.n == 1
    run: echo done > "$EZ_ARTIFACTS/done.txt"
    timeout: {heartbeat: 4s}
"""

MERGING = """
name: merging
inputs: {repo: {type: git}}
repository: ${{ inputs.repo }}
tasks:
  - id: left
    run: echo left > "left-$EZ_RUN.txt"
    verify: test -f "left-$EZ_RUN.txt"
    timeout: {heartbeat: 4s}
  - id: right
    run: echo right > "right-$EZ_RUN.txt"
    timeout: {heartbeat: 4s}
  - id: join
    dependencies: [left, right]
    run: cat "left-$EZ_RUN.txt" "right-$EZ_RUN.txt" > "join-$EZ_RUN.txt"
    verify: grep -q right "join-$EZ_RUN.txt"
    timeout: {heartbeat: 4s}
"""


class Crash(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)
        self.kills = int(os.environ.get("EZ_KILLS", "30"))
        self.wanted = int(os.environ.get("EZ_CRASH_RUNS", "200"))
        self.random = random.Random(int(os.environ.get("EZ_CRASH_SEED", "1")))

    def test_nothing_acknowledged_is_lost(self):
        repository = make_repository(self.box.root / "repo")
        chaos = Chaos(self, self.box, self.random)
        server = chaos.server
        for source in (PLAIN, MERGING):
            chaos.insist(lambda text=source: server.register(text))
        acknowledged: dict[str, str] = {}

        def client():
            for n in range(self.wanted):
                if chaos.stopped.is_set():
                    return
                merging = n % 8 == 0
                key = f"key-{n}"
                acknowledged[key] = chaos.insist(lambda: server.start_run(
                    "merging" if merging else "plain", {"repo": str(repository)} if merging else {}, key))

        starter = threading.Thread(target=client)
        starter.start()
        for _ in range(self.kills):
            chaos.round(0.2, 1.5)
        starter.join(timeout=120)
        self.assertFalse(starter.is_alive(), "the client never got all its answers")
        self.assertEqual(len(acknowledged), self.wanted)
        self.assertEqual(len(set(acknowledged.values())), self.wanted, "two keys share a run")

        views = {key: server.wait_for_run(run, 240) for key, run in acknowledged.items()}
        bad = {key: (view["id"], view["error"]) for key, view in views.items() if view["state"] != "succeeded"}
        self.assertEqual(bad, {})
        self.assertEqual(len(chaos.all_runs()), self.wanted,
                         "a run was started that nobody was told of, or one is missing")

        for view in views.values():
            for task in view["tasks"]:
                self.assertEqual(task["state"], "succeeded", (view["id"], task))
            if view["workflow"] == "merging":
                log = git(repository, "log", "--format=%(trailers:key=Ez-Task,valueonly,separator=%x2C)",
                          view["branch"])
                done = [line for line in log.splitlines() if line]
                for task in ("left", "right", "join"):
                    self.assertLessEqual(sum(task in line for line in done), 2, (view["id"], done))
                for name in ("left", "right", "join"):
                    self.assertTrue(git(repository, "show", f"{view['branch']}:{name}-{view['id']}.txt"))

        for worker in chaos.workers:
            worker.stop()
        for worker in chaos.workers:
            worker.start()
        def clean():
            return len(git(repository, "worktree", "list").splitlines()) == 1
        wait_until(clean, "removal of the worktrees of dead workers")
        self.assertEqual(git(repository, "status", "--porcelain"), "")
        self.assertEqual(server.stop(), 0)
        check = subprocess.run([os.environ.get("EZ_BINARY", "ez"), "doctor", "--data", str(self.box.data)],
                               text=True, capture_output=True)
        self.assertEqual(check.returncode, 0, check.stdout + check.stderr)


if __name__ == "__main__":
    unittest.main()
