"""Retention on the real binary: the server's rule, a workflow's own rule, and what must stay."""
import unittest

from harness import Problem, Sandbox, Server, ez, wait_until

PLAIN = "name: plain\ntasks:\n  - {id: a, run: 'echo made > $EZ_ARTIFACTS/out.txt'}\n"
OWN = "name: own\nretention: {runs: 1}\ntasks:\n  - {id: a, run: 'true'}\n"
WAITING = "name: waiting\ntasks:\n  - {id: a, approval: {}}\n"


class RetentionTest(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)

    def runs(self, server: Server, query: str) -> list:
        return [item["id"] for item in server.call("GET", "/v1/runs?limit=100&" + query)["items"]]

    def test_the_newest_stay_and_live_ones_are_not_touched(self):
        server = Server(self.box.data, agents=2).start()
        self.addCleanup(server.stop)
        for source in (PLAIN, OWN, WAITING):
            server.register(source)
        live = server.start_run("waiting")
        plain = [server.start_run("plain") for _ in range(5)]
        own = [server.start_run("own") for _ in range(3)]
        for run in plain + own:
            self.assertEqual(server.wait_for_run(run)["state"], "succeeded")
        server.stop()

        # A workflow's rule holds without any rule of the server.
        server.start()
        wait_until(lambda: self.runs(server, "workflow=own") == own[-1:], "only the newest of `own`")
        self.assertEqual(len(self.runs(server, "workflow=plain")), 5)
        server.stop()

        server.extra = ["--retain-runs", "2"]
        server.start()
        wait_until(lambda: self.runs(server, "workflow=plain") == plain[:2:-1], "only the newest two of `plain`")
        self.assertEqual(self.runs(server, "workflow=own"), own[-1:])
        self.assertEqual(self.runs(server, "state=live"), [live])
        with self.assertRaises(Problem) as problem:
            server.run(plain[0])
        self.assertEqual(problem.exception.code, "RUN_NOT_FOUND")
        with self.assertRaises(Problem):
            server.call("GET", f"/v1/runs/{plain[0]}/tasks/a/attempts/1/logs")
        self.assertEqual(server.call("GET", f"/v1/runs/{plain[-1]}/artifacts")["items"][0]["name"], "out.txt")

    def test_bad_limits_are_refused(self):
        for option in (["--retain-days", "0"], ["--retain-runs", "many"]):
            answer = ez("up", *option, data=self.box.data)
            self.assertEqual(answer.returncode, 2, answer.stderr)


if __name__ == "__main__":
    unittest.main()
