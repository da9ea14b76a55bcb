"""kill -9 of server and agents while random workflows run: each run ends as its workflow says, whatever was killed.

EZ_RANDOM_KILLS (default 10) kills are spread over EZ_RANDOM_RUNS (default 5 a kill) runs of random workflows; EZ_CRASH_SEED is
the sequence of both. `make soak` does 1,000 kills.
"""
import os
import random
import subprocess
import threading
import unittest

from chaos import Chaos
from harness import EZ, Problem, Sandbox, git, make_repository, wait_until
from random_workflows import RandomWorkflow


class CrashRandom(unittest.TestCase):
    def test_every_run_ends_as_its_workflow_says(self):
        box = Sandbox()
        self.addCleanup(box.close)
        kills = int(os.environ.get("EZ_RANDOM_KILLS", "10"))
        wanted = int(os.environ.get("EZ_RANDOM_RUNS", str(5 * kills)))
        seed = int(os.environ.get("EZ_CRASH_SEED", "1"))
        rng = random.Random(seed)
        repository = make_repository(box.root / "repo")
        chaos = Chaos(self, box, rng)
        server = chaos.server
        workflows = [RandomWorkflow(rng, n) for n in range(min(wanted, 200))]
        acknowledged: dict[str, tuple[str, RandomWorkflow]] = {}
        failures: list[str] = []

        def client():
            try:
                for workflow in workflows:
                    chaos.insist(lambda w=workflow: server.register(w.source))
                for n in range(wanted):
                    workflow = workflows[n % len(workflows)]
                    inputs = {"repo": str(repository)} if workflow.merging else {}
                    key = f"key-{n}"
                    run = chaos.insist(lambda w=workflow, i=inputs, k=key: server.start_run(w.name, i, k))
                    acknowledged[key] = (run, workflow)
            except (AssertionError, Problem) as error:
                failures.append(str(error))

        def approver():
            """Says yes to whatever asks, until the test is over."""
            while not chaos.stopped.is_set():
                try:
                    waiting = server.call("GET", "/v1/approvals?limit=100")["items"]
                    for item in waiting:
                        server.call("POST", f"/v1/runs/{item['run']}/tasks/{item['task']}/approve", {})
                except Exception:  # noqa: BLE001  the server is away, or somebody else's yes was first
                    pass
                chaos.stopped.wait(0.2)

        threads = [threading.Thread(target=client), threading.Thread(target=approver)]
        for thread in threads:
            thread.start()
            self.addCleanup(thread.join)
        self.addCleanup(chaos.stopped.set)
        for number in range(kills):
            chaos.round(0.1, 1.0)
            if kills >= 100 and number % 50 == 49:
                print(f"{number + 1} kills, {len(acknowledged)} runs started", flush=True)
        threads[0].join(timeout=600)
        self.assertEqual(failures, [], f"EZ_CRASH_SEED={seed}")
        self.assertEqual(len(acknowledged), wanted, "the client never got all its answers")
        self.assertEqual(len({run for run, _ in acknowledged.values()}), wanted, "two keys share a run")
        for run, workflow in acknowledged.values():
            view = server.wait_for_run(run, 600)
            states = {task["id"]: task["state"] for task in view["tasks"]}
            told = f"{run} of {workflow.name}, EZ_CRASH_SEED={seed}: {view.get('error')}\n{workflow.source}"
            self.assertEqual(view["state"], "succeeded", told)
            self.assertEqual(states, workflow.expected, told)
        self.assertEqual(len(chaos.all_runs()), wanted, "a run was started that nobody was told of, or one is missing")
        chaos.stopped.set()
        for worker in chaos.workers:
            worker.stop()
        for worker in chaos.workers:
            worker.start()
        wait_until(lambda: len(git(repository, "worktree", "list").splitlines()) == 1,
                   "removal of the worktrees of dead workers")
        self.assertEqual(git(repository, "status", "--porcelain"), "")
        self.assertEqual(server.stop(), 0)
        check = subprocess.run([EZ, "doctor", "--data", str(box.data)], text=True, capture_output=True)
        self.assertEqual(check.returncode, 0, check.stdout + check.stderr)


if __name__ == "__main__":
    unittest.main()
