"""Thirteen agents in one repository at once, some of them killed in every round: no lock file gets in the way, no work is
lost, no worktree is left, and the disk is as it was.

EZ_ROUNDS (default 1, of 13 tasks; `make soak` asks for 20, of 26) sets the size, EZ_CRASH_SEED the sequence of kills.
"""
import json
import os
import random
import subprocess
import threading
import unittest
from pathlib import Path

from harness import Sandbox, Server, Worker, git, make_repository, wait_until

AGENTS = 13
ROUNDS = int(os.environ.get("EZ_ROUNDS", "1"))
TASKS = 26 if ROUNDS > 1 else 13
MAX_KILLS = 6 if ROUNDS > 1 else 3  # moments of one round at which agents die
# Every task writes files of its own and one line of a file that all change; git is asked while it works.
WORKFLOW = """
name: crowd
inputs: {repo: {type: git}, round: {type: int}}
repository: ${{ inputs.repo }}
base: main
defaults: {timeout: {heartbeat: 5s}, retry: {max_attempts: 1}, on_failure: fail}
tasks:
  - id: work
    for_each: ${{ inputs.items }}
    env: {N: "${{ item }}"}
    run: |
      mkdir -p made
      for n in $(seq 40); do echo "$EZ_RUN $N $n" > "made/$N-$n.txt"; done
      git status --porcelain | wc -l
      sed -i "s/^line $N$/line $N by $EZ_RUN/" shared.txt
      git log --oneline -1
    verify: test "$(ls made | grep -c "^$N-")" = 40 && git diff --quiet HEAD -- numbers.txt
  - id: look
    dependencies: [work]
    workspace: read
    run: |
      test "$(ls made | wc -l)" = $((40 * TASKS))
      test "$(grep -c "by $EZ_RUN" shared.txt)" = TASKS
""".replace("TASKS", str(TASKS)).replace("round: {type: int}", "items: {type: list}")
# What git says when it finds the lock file of another one.
LOCKED = ("Unable to create", "could not lock", "cannot lock", "index.lock", "Another git process", "REPOSITORY_BUSY", "GIT_FAILED")


def size_of(folder: Path) -> int:
    """Bytes of all regular files below; what vanishes meanwhile counts for nothing."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(where, name)).st_size
            except FileNotFoundError:
                pass
    return total


class Thirteen(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)
        self.random = random.Random(int(os.environ.get("EZ_CRASH_SEED", "1")))
        self.repository = make_repository(self.box.root / "repo")
        (self.repository / "shared.txt").write_text("".join(f"line {n}\n\n\n\n" for n in range(10, 10 + TASKS)))
        git(self.repository, "add", "-A")
        git(self.repository, "commit", "-qm", "shared")

    def tidy_size(self) -> int:
        """Of the repository, once git has thrown away what nothing refers to."""
        git(self.repository, "reflog", "expire", "--expire=now", "--all")
        git(self.repository, "gc", "-q", "--prune=now")
        return size_of(self.repository)

    def play_round(self, server: Server, workers: list[Worker]):
        run = server.start_run("crowd", {"repo": str(self.repository), "items": [str(n) for n in range(10, 10 + TASKS)]})
        moment = threading.Event()
        killed = []
        for _ in range(self.random.randint(2, MAX_KILLS)):
            # The moment of a kill is random on purpose, from the set-up of workspaces to the merges; nothing is waited for.
            moment.wait(self.random.uniform(0.1, 2.5))
            # Now and then all at once, as when the machine loses its power.
            many = AGENTS if self.random.random() < 0.15 else self.random.randint(1, 3)
            victims = self.random.sample(workers, many)
            for victim in victims:
                victim.kill()
            for victim in victims:
                victim.start()
            killed.append([victim.name for victim in victims])
        view = server.wait_for_run(run, 240)
        logs = "".join(worker.log.read_text(errors="replace") for worker in workers)
        self.assertEqual(view["state"], "succeeded", (view["error"], killed, server.tail(), logs[-3000:]))
        # No attempt ended but with its agent, and no git of ours or of a task found the lock of another one.
        for task in view["tasks"]:
            where = f"/v1/runs/{run}/tasks/{task['id']}/attempts"
            for attempt in server.call("GET", where)["items"]:
                if attempt["error"]:
                    self.assertEqual(attempt["error"]["code"], "LEASE_EXPIRED", (task["id"], attempt))
                said = server.call("GET", f"{where}/{attempt['number']}/logs")
                logs += said.decode(errors="replace") if isinstance(said, bytes) else json.dumps(said)
        for text in LOCKED:
            self.assertNotIn(text, logs, killed)
        # Nothing is lost: every file of every task, and every line of the file that all changed.
        names = git(self.repository, "ls-tree", "-r", "--name-only", view["branch"], "made/").splitlines()
        self.assertEqual(len(names), 40 * TASKS)
        shared = git(self.repository, "show", f"{view['branch']}:shared.txt")
        self.assertEqual(shared.count(f"by {run}"), TASKS)
        # Each task was merged once.
        merges = git(self.repository, "log", "--merges", "--format=%(trailers:key=Ez-Task,valueonly,separator=%x2C)",
                     f"main..{view['branch']}").split()
        self.assertEqual(sorted(merges), sorted(f"work.{n}" for n in range(TASKS)))
        return run

    def test_a_crowd_in_one_repository(self):
        before = self.tidy_size()
        server = Server(self.box.data).start()
        self.addCleanup(server.stop)
        server.register(WORKFLOW)
        # Half of them share a folder for workspaces with others, as workers of one machine do.
        workers = [Worker(server, f"agent-{n}", 1, self.box.root / f"workspaces-{n % 2}") for n in range(AGENTS)]
        for worker in workers:
            worker.start()
            self.addCleanup(worker.stop)
        wait_until(lambda: len(server.call("GET", "/v1/agents")["items"]) == AGENTS, "all agents")
        for _ in range(ROUNDS):
            self.play_round(server, workers)

        for worker in workers:
            worker.stop()
        # One more start of one worker in each folder clears what the killed ones left.
        for worker in workers[:2]:
            worker.start()
            wait_until(lambda folder=worker.workspaces: not list(folder.glob("ez-*")), "the left behind is cleared")
            worker.stop()
        self.assertEqual(len(git(self.repository, "worktree", "list").splitlines()), 1)
        self.assertFalse((self.repository / ".git/worktrees").exists() and
                         list((self.repository / ".git/worktrees").iterdir()))
        self.assertEqual(git(self.repository, "status", "--porcelain"), "")
        self.assertEqual([str(path) for path in (self.repository / ".git").rglob("*.lock")
                          if path.name != "ez.lock"], [])
        self.assertEqual(sum(size_of(self.box.root / f"workspaces-{n}") for n in range(2)), 0)
        fsck = subprocess.run(["git", "-C", str(self.repository), "fsck", "--full"], capture_output=True, text=True)
        self.assertEqual((fsck.returncode, [line for line in fsck.stderr.splitlines() if "error" in line]), (0, []))
        # Without the branches of the runs (and of what killed attempts had not finished) nothing is left.
        branches = git(self.repository, "for-each-ref", "--format=%(refname)", "refs/heads/ez/").split()
        self.assertGreaterEqual(len(branches), ROUNDS)
        for branch in branches:
            git(self.repository, "update-ref", "-d", branch)
        after = self.tidy_size()
        self.assertLess(abs(after - before), 64 * 1024, "the disk is not as it was")


if __name__ == "__main__":
    unittest.main()
