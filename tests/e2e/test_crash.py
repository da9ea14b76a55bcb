"""kill -9 of server and agents at random moments: nothing acknowledged is lost, nothing is accepted twice.

EZ_KILLS (default 30) and EZ_CRASH_RUNS (default 200) set the size, EZ_CRASH_SEED the sequence of kills.
"""
import os
import random
import subprocess
import threading
import unittest
import urllib.error

from harness import Problem, Sandbox, Server, Worker, git, make_repository, wait_until

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
        server = Server(self.box.data).start()
        self.addCleanup(server.stop)
        workers = [Worker(server, f"worker-{n}", 4, self.box.root / f"workspaces-{n}") for n in range(2)]
        for worker in workers:
            worker.start()
            self.addCleanup(worker.stop)

        stop = threading.Event()

        def insist(action):
            """What a careful client does: the same request again until there is an answer."""
            while True:
                try:
                    return action()
                except Problem as problem:
                    if not problem.body.get("retry"):
                        raise
                except (OSError, urllib.error.URLError):
                    pass
                stop.wait(0.05)

        for source in (PLAIN, MERGING):
            insist(lambda text=source: server.register(text))
        acknowledged: dict[str, str] = {}
        moment = threading.Event()

        def client():
            for n in range(self.wanted):
                if stop.is_set():
                    return
                merging = n % 8 == 0
                key = f"key-{n}"
                acknowledged[key] = insist(lambda: server.start_run(
                    "merging" if merging else "plain", {"repo": str(repository)} if merging else {}, key))

        starter = threading.Thread(target=client)
        starter.start()
        self.addCleanup(stop.set)
        for _ in range(self.kills):
            # The moment of the kill is random on purpose; nothing is waited for.
            moment.wait(self.random.uniform(0.2, 1.5))
            victims = self.random.choice(["server", "server", "worker", "both", "all"])
            for worker in workers if victims == "all" else [self.random.choice(workers)]:
                if victims != "server":
                    worker.kill()
            if victims != "worker":
                server.kill()
                server.start()
            for worker in workers:
                worker.server = server
                # The port is a new one after a restart, so that the agents are started anew with it.
                if victims != "worker":
                    worker.kill()
                if worker.process.poll() is not None:
                    worker.start()
        starter.join(timeout=120)
        self.assertFalse(starter.is_alive(), "the client never got all its answers")
        self.assertEqual(len(acknowledged), self.wanted)
        self.assertEqual(len(set(acknowledged.values())), self.wanted, "two keys share a run")

        views = {key: server.wait_for_run(run, 240) for key, run in acknowledged.items()}
        bad = {key: (view["id"], view["error"]) for key, view in views.items() if view["state"] != "succeeded"}
        self.assertEqual(bad, {})
        count = 0
        cursor = ""
        while True:
            page = server.call("GET", f"/v1/runs?limit=200&state=finished&cursor={cursor}")
            count += len(page["items"])
            cursor = page.get("next_cursor")
            if not cursor:
                break
        self.assertEqual(count, self.wanted, "a run was started that nobody was told of, or one is missing")

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

        for worker in workers:
            worker.stop()
        for worker in workers:
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
