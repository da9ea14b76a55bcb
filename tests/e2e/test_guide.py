"""Types the first steps of the guide as they are written, in a clone of this repository."""
import os
import re
import signal
import subprocess
import unittest
from pathlib import Path

from harness import EZ, ROOT, Sandbox, git, wait_until

PAGE = ROOT / "docs/guide/first-steps.md"


def sections(text: str) -> dict[str, list[str]]:
    """Title of a section -> its indented blocks, without the indentation."""
    found: dict[str, list[str]] = {}
    for part in re.split(r"(?m)^## ", text)[1:]:
        title, _, body = part.partition("\n")
        blocks = re.findall(r"(?:^    .*\n(?:\n(?=    ))?)+", body, re.MULTILINE)
        found[title] = ["\n".join(line[4:] for line in block.rstrip("\n").split("\n")) + "\n" for block in blocks]
    return found


class FirstSteps(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)
        self.clone = self.box.root / "clone"
        subprocess.run(["git", "clone", "-q", "--no-hardlinks", str(ROOT), str(self.clone)], check=True)
        # What `make demo` of the first step has built.
        programs = self.clone / "build/release/bin"
        programs.mkdir(parents=True)
        os.symlink(EZ, programs / "ez")
        home = self.box.root / "home"
        home.mkdir()
        self.environment = {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8",
                            "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}

    def typed(self, block: str) -> str:
        """What a shell in the clone prints for a block; every line of it has to succeed."""
        done = subprocess.run(["bash", "-euc", 'export PATH=$PWD/build/release/bin:$PATH\n' + block], cwd=self.clone,
                              env=self.environment, text=True, capture_output=True, stdin=subprocess.DEVNULL,
                              timeout=120)
        self.assertEqual(done.returncode, 0, f"{block}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def serve(self, command: str):
        server = subprocess.Popen(["bash", "-c", f"export PATH=$PWD/build/release/bin:$PATH; exec {command}"],
                                  cwd=self.clone, env=self.environment, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def stop():
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=60)
        self.addCleanup(stop)
        state = Path(self.environment["HOME"])
        wait_until(lambda: list(state.rglob("server.json")), "ez up")

    def test_every_block_works_as_written(self):
        steps = sections(PAGE.read_text(encoding="utf-8"))
        build, up, run, own, wrong = (steps[title] for title in steps if title[0].isdigit())
        self.assertEqual(build, ["make demo\n", "export PATH=$PWD/build/release/bin:$PATH\n"])
        self.assertEqual(up, ["ez up\n"])
        self.serve(up[0].strip())

        self.assertIn("succeeded", self.typed(run[0]))
        for line, expected in zip(run[1].strip().split("\n"), ("r1", "tell", "Ada", "tell"), strict=True):
            self.assertIn(expected, self.typed(line), line)

        (self.clone / "count.yaml").write_text(own[0], encoding="utf-8")
        self.assertIn("succeeded", self.typed(own[1]))
        self.assertRegex(self.typed(own[2]), r"This repository has \d+ files\.")
        self.assertEqual(git(self.clone, "status", "--porcelain", "--untracked-files=no"), "")

        # The last step talks about a run that went wrong: the same workflow with a check that never holds.
        (self.clone / "count.yaml").write_text(own[0].replace("grep -q files", "grep -q dragons"), encoding="utf-8")
        self.typed("ez run count.yaml --input repo=$PWD")
        server = self.typed
        wait_until(lambda: "paused" in server("ez show r3"), "a task that asks")
        show, logs, retry, cancel = (line.replace("r2", "r3") for line in wrong[0].strip().split("\n"))
        self.assertIn("VERIFY_FAILED", self.typed(show))
        self.typed(logs)
        self.typed(retry)
        self.typed(cancel)


if __name__ == "__main__":
    unittest.main()
