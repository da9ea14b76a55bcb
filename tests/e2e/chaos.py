"""Clients and agents of a server that is killed again and again: what the crash tests share."""
import threading
import urllib.error

from harness import Problem, Server, Worker


class Chaos:
    """A server with workers, and the kills. Not for several threads, but for insist()."""

    def __init__(self, test, box, rng, workers: int = 2, capacity: int = 4):
        self.random = rng
        self.stopped = threading.Event()
        self.server = Server(box.data).start()
        test.addCleanup(self.server.stop)
        self.workers = [Worker(self.server, f"worker-{n}", capacity, box.root / f"workspaces-{n}")
                        for n in range(workers)]
        for worker in self.workers:
            worker.start()
            test.addCleanup(worker.stop)
        test.addCleanup(self.stopped.set)
        self._moment = threading.Event()

    def insist(self, action):
        """What a careful client does: the same request again until there is an answer."""
        while not self.stopped.is_set():
            try:
                return action()
            except Problem as problem:
                if not problem.body.get("retry"):
                    raise
            except (OSError, urllib.error.URLError):
                pass
            self.stopped.wait(0.05)
        raise AssertionError("the test ended before there was an answer")

    def round(self, shortest: float, longest: float):
        """Lets things happen for a random moment, then kills somebody and starts them anew."""
        # The moment of the kill is random on purpose; nothing is waited for.
        self._moment.wait(self.random.uniform(shortest, longest))
        victims = self.random.choice(["server", "server", "worker", "both", "all"])
        for worker in self.workers if victims == "all" else [self.random.choice(self.workers)]:
            if victims != "server":
                worker.kill()
        if victims != "worker":
            self.server.kill()
            self.server.start()
        for worker in self.workers:
            # The port is a new one after a restart, so that the agents are started anew with it.
            if victims != "worker":
                worker.kill()
            if worker.process.poll() is not None:
                worker.start()

    def all_runs(self) -> list[dict]:
        """Every finished run, page by page."""
        items, cursor = [], ""
        while True:
            page = self.server.call("GET", f"/v1/runs?limit=200&state=finished&cursor={cursor}")
            items += page["items"]
            cursor = page.get("next_cursor")
            if not cursor:
                return items
