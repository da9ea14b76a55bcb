"""The shipped examples on the real binary, as a newcomer starts them."""
import unittest

from harness import ROOT, Sandbox, Server, ez, git, make_repository


class Examples(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)

    def test_run_without_a_server_starts_one_and_stops_it(self):
        done = ez("run", str(ROOT / "examples/hello/workflow.yaml"), "--follow", data=self.box.data)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("succeeded", done.stdout)
        self.assertFalse((self.box.data / "server.json").exists(), "the server that it started still runs")

    def test_parallel_fix_is_merged(self):
        repository = make_repository(self.box.root / "repo")
        for name in ("a.py", "b.py", "c.py"):
            (repository / name).write_text("print(1)  \n")
        git(repository, "add", "-A")
        git(repository, "commit", "-qm", "blanks")
        server = Server(self.box.data, agents=2).start()
        self.addCleanup(server.stop)
        done = ez("run", str(ROOT / "examples/parallel-fix/workflow.yaml"), "--input", f"repo={repository}",
                  "--follow", data=self.box.data)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        view = server.run("r1")
        self.assertEqual(view["state"], "succeeded")
        for name in ("a.py", "b.py", "c.py"):
            self.assertEqual(git(repository, "show", f"{view['branch']}:{name}"), "print(1)\n")
        self.assertEqual(git(repository, "status", "--porcelain"), "")

    def test_a_failing_run_has_exit_status_1_and_is_taken_up_again(self):
        flag = self.box.root / "w.yaml"
        flag.write_text("name: w\ndefaults: {on_failure: fail, retry: {max_attempts: 1}}\ntasks:\n"
                        "  - id: first\n    run: |\n      echo '{\"n\": 1}' > \"$EZ_OUTPUT\"\n"
                        "  - id: second\n    dependencies: [first]\n    run: test \"$EZ_RUN\" != r1\n")
        server = Server(self.box.data, agents=2).start()
        self.addCleanup(server.stop)
        done = ez("run", str(flag), "--follow", data=self.box.data)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        again = ez("retry", "r1", data=self.box.data)
        self.assertEqual(again.returncode, 0, again.stdout + again.stderr)
        view = server.wait_for_run("r2")
        self.assertEqual(view["state"], "succeeded")
        self.assertEqual(view["resumed_from"], "r1")
        self.assertTrue(next(task for task in view["tasks"] if task["id"] == "first")["seeded"])


if __name__ == "__main__":
    unittest.main()
