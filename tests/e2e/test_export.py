"""`ez export` and `ez import` on the real binary: everything of one server on another, twice, damaged, into a namespace."""
import json
import unittest

from harness import Sandbox, Server, ez, wait_until

DONE = ("name: done\nlabels: {team: storage}\ntasks:\n  - id: make\n    run: |\n      echo printed\n"
        "      echo contents > \"$EZ_ARTIFACTS/file.txt\"\n      echo '{\"n\": 7}' > \"$EZ_OUTPUT\"\n")
WAIT = ("name: wait\ntasks:\n  - id: first\n    run: |\n      echo '{\"n\": 1}' > \"$EZ_OUTPUT\"\n"
        "  - {id: ask, dependencies: [first], approval: {}}\n  - {id: last, dependencies: [ask], run: echo last}\n")


class ExportTest(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)
        self.old = Server(self.box.data, agents=1).start()
        self.addCleanup(self.old.stop)
        self.new = Server(self.box.root / "new", agents=1).start()
        self.addCleanup(self.new.stop)
        self.file = self.box.root / "all.ezx"

    def run_done(self, *labels) -> str:
        path = self.box.root / "done.yaml"
        path.write_text(DONE)
        options = [word for label in labels for word in ("--label", label)]
        answer = ez("run", str(path), "--json", *options, data=self.box.data)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        return json.loads(answer.stdout)["run"]

    def test_everything_moves_and_nothing_twice(self):
        done = self.run_done("env=prod")
        self.assertEqual(self.old.wait_for_run(done)["state"], "succeeded")
        self.old.register(WAIT)
        live = self.old.start_run("wait", {})
        wait_until(lambda: self.old.run(live)["waiting_for_person"], "the run asks")
        answer = ez("export", "--all", "-o", str(self.file), "--logs", "--json", data=self.box.data)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        wrote = json.loads(answer.stdout)
        self.assertEqual((wrote["runs"], wrote["live"], wrote["workflows"], wrote["blobs"]), (2, 1, 2, 1))
        again = ez("export", "--all", "-o", str(self.file), data=self.box.data)
        self.assertEqual(again.returncode, 2, "the file is there already")
        self.assertEqual(ez("cancel", live, data=self.box.data).returncode, 0)

        self.new.register("name: done\ntasks: [{id: newer, run: echo}]\n")  # another workflow of that name
        answer = ez("import", str(self.file), "--json", data=self.new.data)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        took = json.loads(answer.stdout)
        self.assertEqual((took["imported"], took["there"]), (2, 0))
        ids = {item["from"]: item["run"] for item in took["runs"]}
        view = self.new.run(ids[done])
        self.assertEqual(view["state"], "succeeded")
        self.assertEqual(view["labels"]["env"], "prod")
        self.assertEqual(view["finished_at"], self.old.run(done)["finished_at"])
        artifact = view["tasks"][0]["artifacts"][0]
        self.assertEqual(self.new.call("GET", "/v1/artifacts/" + artifact["sha256"]), b"contents\n")
        self.assertIn("printed", ez("logs", ids[done], "make", data=self.new.data).stdout)
        # What was the newest workflow before is what a start without a version still means.
        self.assertIn("newer", self.new.call("GET", "/v1/workflows/done")["source"])

        moved = ids[live]
        wait_until(lambda: self.new.run(moved)["waiting_for_person"], "the run asks here, too")
        self.assertEqual(ez("approve", moved, "ask", data=self.new.data).returncode, 0)
        view = self.new.wait_for_run(moved)
        self.assertEqual(view["state"], "succeeded")
        first = next(task for task in view["tasks"] if task["id"] == "first")
        self.assertEqual((first["seeded"], first["output"]), (True, {"n": 1}))

        before = self.new.call("GET", "/v1/workflows/done")["version"]
        answer = ez("import", str(self.file), "--json", data=self.new.data)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        took = json.loads(answer.stdout)
        self.assertEqual((took["imported"], took["there"], took["workflow_versions"]), (0, 2, 0))
        self.assertEqual({item["from"]: item["run"] for item in took["runs"]}, ids)
        self.assertEqual(self.new.call("GET", "/v1/workflows/done")["version"], before)

    def test_into_a_namespace_by_words_and_a_damaged_file(self):
        runs = [self.run_done("env=prod"), self.run_done("env=test")]
        for run in runs:
            self.old.wait_for_run(run)
        answer = ez("export", "--label", "env=prod", "-o", str(self.file), data=self.box.data)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        self.assertIn("1 runs (0 live), 1 workflow versions, 1 blobs", answer.stdout)
        dry = ez("import", str(self.file), "--dry-run", data=self.box.root / "nowhere")
        self.assertEqual(dry.returncode, 0, dry.stderr)
        good = self.file.read_bytes()
        for bad in (good[:-20], good[:100] + b"x" + good[101:], good + b"x", b""):
            self.file.write_bytes(bad)
            for option in ([], ["--dry-run"]):
                answer = ez("import", str(self.file), *option, data=self.new.data)
                self.assertEqual(answer.returncode, 2, answer.stdout)
                self.assertIn("EXPORT_DAMAGED", answer.stderr)
        self.assertEqual(self.new.call("GET", "/v1/workflows")["items"], [], "nothing came of a damaged file")
        self.file.write_bytes(good)
        answer = ez("import", str(self.file), "--namespace", "team-b", data=self.new.data)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        listed = self.new.call("GET", "/v1/runs?namespace=team-b&label[env]=prod")["items"]
        self.assertEqual([item["state"] for item in listed], ["succeeded"])
        found = ez("ps", "--all", "--namespace", "team-b", "--text", "DONE", "--labels", data=self.new.data)
        self.assertIn("env=prod", found.stdout)
        for arguments in (["export", "-o", "x"], ["export", "r1"], ["export", "r1", "--all", "-o", "x"],
                          ["export", "--all", "--label", "bad", "-o", "x"]):
            self.assertEqual(ez(*arguments, data=self.box.data).returncode, 2, arguments)
        self.assertEqual(ez("export", "r99", "-o", str(self.box.root / "y"), data=self.box.data).returncode, 3)
        self.assertFalse((self.box.root / "y").exists())


if __name__ == "__main__":
    unittest.main()
