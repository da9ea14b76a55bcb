"""Small generated repositories for the tests of examples/repository-checkup, and its scripts on the module
path.
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPTS = os.path.join(ROOT, "examples", "repository-checkup", "scripts")
sys.dont_write_bytecode = True
sys.path.insert(0, SCRIPTS)


class RepositoryTest(unittest.TestCase):
    """Each test has an empty git repository as its current directory."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="checkup-test-")
        self.addCleanup(folder.cleanup)
        self.addCleanup(os.chdir, os.getcwd())
        self.scratch = folder.name
        self.repository = os.path.join(folder.name, "repo with space")
        os.mkdir(self.repository)
        os.chdir(self.repository)
        self.clock = 1_700_000_000
        self.git("init", "-q", "-b", "main")

    def git(self, *args, author="Ann"):
        env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        when = "%d +0000" % self.clock
        env.update(
            GIT_AUTHOR_NAME=author,
            GIT_AUTHOR_EMAIL="%s@localhost" % author.lower(),
            GIT_COMMITTER_NAME=author,
            GIT_COMMITTER_EMAIL="%s@localhost" % author.lower(),
            GIT_AUTHOR_DATE=when,
            GIT_COMMITTER_DATE=when,
            GIT_CONFIG_GLOBAL="/dev/null",
            GIT_CONFIG_SYSTEM="/dev/null",
            LC_ALL="C",
        )
        done = subprocess.run(
            ["git", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, check=False
        )
        if done.returncode != 0:
            raise AssertionError("git %s: %s" % (args, done.stderr))
        return done.stdout.decode("utf-8", "surrogateescape").strip()

    def write(self, path, content, executable=False):
        """path and content as str or bytes; folders are made."""
        path = os.fsencode(path)
        if os.path.dirname(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        os.chmod(path, 0o755 if executable else 0o644)

    def commit(self, files=None, message="change", author="Ann"):
        for path, content in (files or {}).items():
            self.write(path, content)
        self.clock += 3600
        self.git("add", "-A", author=author)
        self.git("commit", "-q", "--allow-empty", "-m", message, author=author)
        return self.git("rev-parse", "HEAD")

    def run_task(
        self,
        script,
        task="task",
        item=None,
        inputs=None,
        dependencies=None,
        arguments=(),
        states=None,
        expect=0,
    ):
        """Runs one script as ez does; returns (output, folder of the artifacts, what it printed)."""
        base = tempfile.mkdtemp(dir=self.scratch)
        paths = {name: os.path.join(base, name) for name in ("home", "artifacts", "dependencies")}
        for path in paths.values():
            os.mkdir(path)
        tasks = {}
        for name, folder in (dependencies or {}).items():
            os.symlink(folder, os.path.join(paths["dependencies"], name))
            tasks[name.split(".")[0]] = {"state": (states or {}).get(name, "succeeded")}
        with open(os.path.join(base, "input.json"), "w", encoding="utf-8") as file:
            json.dump(
                {"inputs": dict({"repo": self.repository}, **(inputs or {})), "item": item, "tasks": tasks},
                file,
            )
        env = {k: v for k, v in os.environ.items() if not k.startswith(("EZ_", "GIT_"))}
        env.update(
            HOME=paths["home"],
            EZ_RUN="r1",
            EZ_TASK=task,
            EZ_ATTEMPT="1",
            EZ_INPUT=os.path.join(base, "input.json"),
            EZ_OUTPUT=os.path.join(base, "output.json"),
            EZ_ARTIFACTS=paths["artifacts"],
            EZ_FILES=SCRIPTS,
            EZ_DEPENDENCIES=paths["dependencies"],
            GIT_CONFIG_GLOBAL="/dev/null",
            GIT_CONFIG_SYSTEM="/dev/null",
        )
        done = subprocess.run(
            [sys.executable, "-B", os.path.join(SCRIPTS, script), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=env,
            check=False,
            timeout=300,
        )
        said = done.stdout.decode("utf-8", "replace")
        self.assertEqual(done.returncode, expect, said)
        output = None
        if os.path.exists(env["EZ_OUTPUT"]):
            with open(env["EZ_OUTPUT"], encoding="utf-8") as file:
                output = json.load(file)
        return output, paths["artifacts"], said

    def checkup(self, inputs=None):
        """All tasks in their order; returns {task: (output, artifacts, printed)}. The fix and the report
        are committed.
        """
        done = {"inventory": self.run_task("inventory.py", inputs=inputs)}
        folders = {"inventory": done["inventory"][1]}
        facts = done["inventory"][0]
        for task, script, key in (
            ("build-and-test", "build_and_test.py", "builds"),
            ("static-analysis", "static_analysis.py", "analyzers"),
        ):
            for index, item in enumerate(facts[key]):
                name = "%s.%d" % (task, index)
                done[name] = self.run_task(script, item=item, inputs=inputs)
                folders[name] = done[name][1]
        for task, script in (
            ("secret-scan", "secret_scan.py"),
            ("dependencies-and-licences", "dependencies.py"),
            ("hot-spots", "hot_spots.py"),
        ):
            done[task] = self.run_task(script, inputs=inputs)
            folders[task] = done[task][1]
        self.assertEqual(self.git("status", "--porcelain"), "", "a reading task has changed the workspace")
        done["fix"] = self.run_task("fix.py", inputs=inputs, dependencies=folders)
        folders["fix"] = done["fix"][1]
        self.run_task("verify_fix.py", arguments=[facts["head"]])
        self.commit(message="fix")
        self.run_task("verify_fix.py", arguments=[facts["head"]])
        done["report"] = self.run_task("report.py", inputs=inputs, dependencies=folders)
        target = (inputs or {}).get("report_path", "REPORT.md")
        self.run_task("verify_report.py", arguments=[facts["head"], target])
        self.commit(message="report")
        self.run_task("verify_report.py", arguments=[facts["head"], target])
        return done


def artifact(result, name):
    with open(os.path.join(result[1], name), encoding="utf-8") as file:
        return json.load(file) if name.endswith(".json") else file.read()
