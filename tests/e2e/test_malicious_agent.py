"""Commands that are out for harm, on the real binary: each is stopped, each is reported, and the machine, the repository and the
other tasks are as if it had never run. Floods of processes, memory and disk, and models: test_malicious_model.py and the tests of
src/agents; resolvers of conflicts: test_resolver.py.
"""
import json
import unittest

from harness import Sandbox, Server, ez, git, make_repository

# name: (the script, the error that it ends with, a text of its log). None: it may end as it likes, the log tells.
OUTSIDE = {
    "reads-secrets": ("cat %(secret)s %(token)s /etc/shadow /etc/gshadow", "COMMAND_FAILED", "No such file or directory"),
    "reads-other-workspaces": ("ls %(workspaces)s", "COMMAND_FAILED", "No such file or directory"),
    "reads-the-machine-by-proc": ("cat /proc/1/root%(secret)s /proc/self/root%(secret)s; cat /proc/[0-9]*/root%(secret)s; exit 5",
                                  "COMMAND_FAILED", "No such file or directory"),
    "writes-the-system": ("echo x > /usr/bin/ls", "COMMAND_FAILED", "Read-only file system"),
    "asks-the-server": ("exec 3<>/dev/tcp/127.0.0.1/%(port)s && echo got through", "COMMAND_FAILED", "refused"),
    "asks-the-world": ("exec 3<>/dev/tcp/1.1.1.1/53 && echo got through", "COMMAND_FAILED", "unreachable"),
    "becomes-root": ("unshare -Ur true || mount -t tmpfs none /mnt || exit 6", "COMMAND_FAILED", "not permitted"),
    "kills-everybody": ("kill -9 -1", None, ""),
}
LINKS = {
    "artifact-is-a-link": ("ln -s %(secret)s $EZ_ARTIFACTS/x", "ARTIFACT_INVALID", "ARTIFACT_INVALID"),
    "artifact-through-a-link": ("mkdir report; ln -s / report/all; ln -s %(secret)s report/x.md", "ARTIFACT_INVALID", "ARTIFACT_INVALID"),
    "output-is-a-link": ("ln -s %(secret)s $EZ_OUTPUT", "ARTIFACT_INVALID", "ARTIFACT_INVALID"),
    "output-is-a-device": ("ln -s /dev/zero $EZ_OUTPUT", "ARTIFACT_INVALID", "ARTIFACT_INVALID"),
}
GIT = {
    # What a hook, a filter or a configuration of theirs would do outside is to make the marker.
    "plants-hooks": ("mkdir -p hooks; for h in pre-commit post-commit post-checkout post-merge reference-transaction; do "
                     "printf '#!/bin/sh\\ntouch %(marker)s\\n' > hooks/$h; chmod +x hooks/$h; done; "
                     "git config core.hooksPath /workspace/hooks; cp hooks/* /git/hooks/; "
                     "printf '* filter=evil diff=evil merge=evil\\n' > .gitattributes; "
                     "printf '[core]\\n\\tfsmonitor = touch %(marker)s\\n' > .gitconfig; true", None, ""),
    "replaces-git": ("rm -rf .git; mkdir -p .git/hooks; printf '#!/bin/sh\\ntouch %(marker)s\\n' > .git/hooks/post-checkout; true",
                     None, ""),
    "nests-a-repository": ("git init -q sub; cd sub; git config core.fsmonitor 'touch %(marker)s'; echo x > file; true", None, ""),
    "links-out-of-the-tree": ("ln -s %(box)s/written out; echo x > out/file", "COMMAND_FAILED", "No such file or directory"),
}
KEYS = {
    "looks-for-keys": ("env; for f in /proc/[0-9]*/environ; do tr '\\0' '\\n' < $f; done 2>/dev/null; "
                       "cat /ez/* /ez/*/* ~/.* 2>/dev/null; git config --list 2>/dev/null; true", None, "EZ_TASK=looks-for-keys"),
}
SECRET = "sk-this-is-the-providers-key"
LIMITS = "{memory_mb: 64, processes: 60, disk_mb: 60, output_mb: 1, cpu_s: 2}"


class MaliciousAgent(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)
        self.repository = make_repository(self.box.root / "repo")
        self.secret = self.box.root / "secret.txt"
        self.secret.write_text("the crown jewels\n")
        self.marker = self.box.root / "ran-outside"
        self.server = Server(self.box.data, agents=2, wrapper=["env", "EZ_TEST_KEY=" + SECRET, "OPENAI_API_KEY=" + SECRET]).start()
        self.addCleanup(self.server.stop)

    def play(self, attacks: dict, artifacts: str = ""):
        names = {"secret": self.secret, "token": self.box.data / "token", "marker": self.marker, "box": self.box.root,
                 "workspaces": self.box.data / "workspaces", "port": self.server.url.rsplit(":", 1)[1]}
        tasks = "".join(
            f"  - id: {name}\n    run: {json.dumps(script % names)}\n{artifacts}" for name, (script, _, _) in attacks.items())
        self.server.register("name: harm\nrepository: ${{ inputs.repo }}\ninputs: {repo: {type: git}}\n"
                             f"defaults: {{sandbox: {LIMITS}, timeout: {{start_to_close: 8s}}, retry: {{max_attempts: 1}}, "
                             "on_failure: continue}\n"
                             f"tasks:\n{tasks}  - id: honest\n    run: echo honest > honest.txt\n")
        run = self.server.start_run("harm", {"repo": str(self.repository)})
        view = self.server.wait_for_run(run)
        shown = ez("show", run, data=self.box.data).stdout
        states = {task["id"]: task for task in view["tasks"]}
        for name, (_, code, text) in attacks.items():
            log = self.server.call("GET", f"/v1/runs/{run}/tasks/{name}/attempts/1/logs")
            log = log.decode(errors="replace") if isinstance(log, bytes) else json.dumps(log)
            with self.subTest(name):
                if code:
                    self.assertEqual((states[name]["error"] or {}).get("code"), code, log[-1500:])
                    self.assertIn(code, shown)
                self.assertIn(text, log)
                for leak in ("crown jewels", SECRET, "ezl_", (self.box.data / "token").read_text().strip()):
                    self.assertNotIn(leak, log + json.dumps(states[name]))
                self.assertNotIn("got through\n", log)
        # Nothing of it has touched anybody else.
        self.assertEqual(states["honest"]["state"], "succeeded")
        self.assertEqual(git(self.repository, "show", f"{view['branch']}:honest.txt"), "honest\n")
        self.assertFalse(self.marker.exists(), "something ran outside of the sandbox")
        self.assertFalse((self.box.root / "written").exists())
        self.assertEqual(self.secret.read_text(), "the crown jewels\n")
        self.assertEqual(git(self.repository, "status", "--porcelain"), "")
        kept = git(self.repository, "log", "--all", "--name-only", "--format=")
        self.assertNotIn("big", kept.split())
        self.assertFalse([name for name in kept.split() if ".git/" in name])
        self.server.stop()
        self.assertEqual([path.name for path in (self.box.data / "workspaces").glob("ez-*")], [])
        self.assertEqual(len(git(self.repository, "worktree", "list").splitlines()), 1)

    def test_it_gets_nowhere_outside_of_its_workspace(self):
        self.play(OUTSIDE)

    def test_links_are_no_doors(self):
        self.play(LINKS, "    artifacts: [\"report/**\"]\n")

    def test_git_runs_nothing_of_theirs(self):
        self.play(GIT)

    def test_it_finds_no_keys(self):
        self.play(KEYS)


if __name__ == "__main__":
    unittest.main()
