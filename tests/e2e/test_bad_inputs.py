"""Bad inputs of the command line and the data directory, as a table: exit status, code, words of the message.

Bad workflow files stand in tests/bad_inputs/workflows, bad requests in tests/bad_inputs/requests.json.
"""
import shutil
import subprocess
import unittest

from harness import EZ, Sandbox, Server, ez

GOOD = "name: x\ninputs: {n: {type: int}}\ntasks:\n  - id: a\n    run: 'true'\n"
BAD = "name: x\ntasks:\n  - id: a\n    rum: x\n"

# arguments; exit status; code (or place in the file); words
WITH_SERVER = [
    (["show", "r99"], 3, "RUN_NOT_FOUND", "r99"),
    (["show", "banana"], 3, "RUN_NOT_FOUND", "look like r12"),
    (["cancel", "r99"], 3, "RUN_NOT_FOUND", "r99"),
    (["retry", "r99"], 3, "RUN_NOT_FOUND", "r99"),
    (["approve", "r99", "a"], 3, "RUN_NOT_FOUND", "r99"),
    (["logs", "r99", "a"], 3, "RUN_NOT_FOUND", "r99"),
    (["run", "bad.yaml"], 2, "bad.yaml:4:5", "did you mean `run`"),
    (["run", "good.yaml"], 2, "INPUT_INVALID", "`n` is missing"),
    (["run", "good.yaml", "--input", "n=abc"], 2, "INPUT_INVALID", "type int"),
    (["run", "good.yaml", "--input", "n=1", "--input", "z=1"], 2, "INPUT_INVALID", "no input z"),
]
ALONE = [
    (["frobnicate"], 2, "INVALID_ARGUMENT", "subcommand"),
    (["ps", "--nope"], 2, "INVALID_ARGUMENT", "--nope"),
    (["show", "r1"], 4, "SERVER_UNREACHABLE", "no server runs"),
    (["workflow", "validate", "none.yaml"], 6, "IO_FAILED", "none.yaml"),
    (["workflow", "validate", "bad.yaml"], 2, "bad.yaml:4:5", "rum"),
    (["up", "--listen", "nonsense"], 2, "INVALID_ARGUMENT", "ADDRESS:PORT"),
    (["up", "--data", "good.yaml", "--listen", "127.0.0.1:0"], 6, "DATA_DIR_UNUSABLE", "good.yaml"),
]


class BadInputs(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)
        (self.box.root / "good.yaml").write_text(GOOD)
        (self.box.root / "bad.yaml").write_text(BAD)

    def check(self, table):
        for arguments, status, code, words in table:
            with self.subTest(arguments=arguments):
                done = ez(*arguments, data=self.box.data, cwd=self.box.root)
                said = done.stdout + done.stderr
                self.assertEqual(done.returncode, status, said)
                self.assertIn(code, said)
                self.assertIn(words, said)

    def test_command_line_without_a_server(self):
        self.check(ALONE)

    def test_command_line_with_a_server(self):
        server = Server(self.box.data).start()
        self.addCleanup(server.stop)
        self.check(WITH_SERVER)
        done = ez("ps", data=self.box.data, env={"EZ_TOKEN": "wrong"})
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertIn("UNAUTHENTICATED", done.stderr)

    def test_a_second_server_on_the_directory_is_refused(self):
        server = Server(self.box.data).start()
        self.addCleanup(server.stop)
        done = ez("up", "--data", str(self.box.data), "--listen", "127.0.0.1:0")
        self.assertEqual(done.returncode, 6)
        self.assertIn("DATA_DIR_LOCKED", done.stderr)
        self.assertEqual(server.call("GET", "/v1/runs")["items"], [])

    def test_a_damaged_log_is_refused_and_explained(self):
        server = Server(self.box.data).start()
        server.register("name: x\ntasks:\n  - id: a\n    approval: {message: m}\n")
        for n in range(20):
            server.start_run("x", {}, f"k{n}")
        self.assertEqual(server.stop(), 0)
        segment = next((self.box.data / "log").glob("*.seg"))
        saved = self.box.root / "saved.seg"
        shutil.copy(segment, saved)
        with open(segment, "r+b") as file:
            file.seek(1024 + 100)
            byte = file.read(1)
            file.seek(1024 + 100)
            file.write(bytes([byte[0] ^ 1]))
        done = ez("up", "--data", str(self.box.data), "--listen", "127.0.0.1:0")
        self.assertEqual(done.returncode, 6, done.stderr)
        self.assertIn("LOG_DAMAGED", done.stderr)
        self.assertIn(segment.name, done.stderr)
        doctor = ez("doctor", "--data", str(self.box.data))
        self.assertEqual(doctor.returncode, 6, doctor.stdout)
        self.assertIn(segment.name, doctor.stdout + doctor.stderr)
        # Restored, everything is there.
        shutil.copy(saved, segment)
        server = Server(self.box.data).start()
        self.addCleanup(server.stop)
        self.assertEqual(len(server.call("GET", "/v1/runs?limit=100")["items"]), 20)

    def test_history_is_rebuilt_when_it_is_gone(self):
        server = Server(self.box.data, agents=2).start()
        server.register("name: x\ntasks:\n  - id: a\n    run: echo hello\n")
        run = server.start_run("x")
        self.assertEqual(server.wait_for_run(run)["state"], "succeeded")
        self.assertEqual(server.stop(), 0)
        for name in ("history.db", "history.db-wal", "history.db-shm"):
            (self.box.data / name).unlink(missing_ok=True)
        server = Server(self.box.data).start()
        self.addCleanup(server.stop)
        self.assertEqual(server.wait_for_run(run)["state"], "succeeded")

    def test_a_full_disk_refuses_work_and_keeps_what_it_has(self):
        if subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode != 0:
            self.skipTest("the kernel refuses user namespaces, so no small file system can be mounted")
        # A file system of 24 MiB leaves no room for the log's reserve.
        self.box.data.mkdir()
        command = f"mount -t tmpfs -o size=24m none {self.box.data} && exec {EZ} up --data {self.box.data}/d " \
                  "--listen 127.0.0.1:0 --agents 0"
        done = subprocess.run(["unshare", "-Urm", "sh", "-c", command], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 7, done.stdout + done.stderr)
        self.assertRegex(done.stderr, "DISK_FULL")


if __name__ == "__main__":
    unittest.main()
