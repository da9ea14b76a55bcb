"""Types the first steps of the guide as they are written, and looks at every other command that the pages show."""
import functools
import os
import re
import shlex
import signal
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import EZ, ROOT, Sandbox, ez, git, wait_until

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
        errors = tempfile.NamedTemporaryFile(prefix="ez-guide-")
        self.addCleanup(errors.close)
        server = subprocess.Popen(["bash", "-c", f"export PATH=$PWD/build/release/bin:$PATH; exec {command}"],
                                  cwd=self.clone, env=self.environment, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=errors)

        def stop():
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=60)
        self.addCleanup(stop)
        state = Path(self.environment["HOME"])

        def ready():
            if server.poll() is not None:  # somebody on this machine has its port, for example
                self.fail(f"{command} has ended: {Path(errors.name).read_text(encoding='utf-8')}")
            return list(state.rglob("server.json"))
        wait_until(ready, "ez up")

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


@functools.cache
def help_of(*command: str) -> str:
    """Empty when there is no such command."""
    done = ez(*command, "--help")
    return done.stdout if done.returncode == 0 else ""


def subcommands(text: str) -> set[str]:
    _, _, listed = text.partition("\nSubcommands:\n")
    return set(re.findall(r"(?m)^  (\w[\w-]*) ", listed))


def shown_commands():
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("examples/*/README.md"))]:
        for number, line in enumerate(page.read_text(encoding="utf-8").split("\n"), 1):
            found = re.match(r"(?: {4}|\$ )(?:\$ )?ez ([a-z].*)", line)
            if found:
                yield f"{page.relative_to(ROOT)}:{number}", found.group(1)


class Pages(unittest.TestCase):
    def test_every_command_and_option_that_a_page_shows_exists(self):
        seen = 0
        for place, line in shown_commands():
            with self.subTest(place=place, line=line):
                # What follows a wide gap is the page's own remark.
                words = shlex.split(re.split(r" {2,}(?![-'\"])", line)[0].rstrip("\\").split(" | ")[0], comments=True)
                path = [words[0]]
                self.assertIn(words[0], subcommands(help_of()))
                if len(words) > 1 and words[1] in subcommands(help_of(words[0])):
                    path.append(words[1])
                text = help_of(*path)
                for word in words[len(path):]:
                    if word.startswith("--"):
                        self.assertRegex(text, re.escape(word.partition("=")[0]) + r"\b")
                seen += 1
        self.assertGreater(seen, 100, "the pages show commands in another way than this test reads them")


if __name__ == "__main__":
    unittest.main()
