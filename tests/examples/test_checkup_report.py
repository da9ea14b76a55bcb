"""The whole checkup on generated repositories: the report, its score card, its place, and what is handed
over.
"""

import os
import re
import unittest

from checkup_helper import RepositoryTest, artifact

import markdown
import publish
import report
import score

MIT = "Permission is hereby granted, free of charge, to any person obtaining a copy\n"


class Markdown(unittest.TestCase):
    def test_text_never_becomes_markup(self):
        self.assertEqual(
            markdown.plain("a|b `c` <d> [e](f) *g* snake_case _h_"),
            "a\\|b \\`c\\` \\<d\\> \\[e\\](f) \\*g\\* snake_case \\_h\\_",
        )
        self.assertEqual(markdown.plain("# no\nheading"), "\\# no heading")
        self.assertEqual(markdown.code("a`b|c"), "``a`b\\|c``")
        self.assertEqual(markdown.code("`x`"), "`` `x` ``")
        self.assertEqual(markdown.code(""), "")

    def test_numbers(self):
        self.assertEqual(markdown.number(1234567), "1,234,567")
        self.assertEqual(markdown.count(1, "file"), "1 file")
        self.assertEqual(markdown.count(2, "dependency", "dependencies"), "2 dependencies")
        self.assertEqual(markdown.size(1536), "1.5 KB")


class Score(unittest.TestCase):
    def build(self, **build):
        return score.build(
            [
                dict(
                    {
                        "system": "make",
                        "folder": ".",
                        "status": "passed",
                        "tests": None,
                        "reason": "",
                        "steps": [{"name": "build"}],
                    },
                    **build
                )
            ],
            [],
        )

    def test_builds(self):
        self.assertEqual(self.build(tests={"run": 5, "failed": 0})[0], 10)
        self.assertEqual(self.build()[0], 7)
        self.assertEqual(self.build(status="failed")[0], 1)
        self.assertEqual(self.build(status="failed", tests={"run": 100, "failed": 1})[0], 6)
        self.assertEqual(self.build(status="timeout")[0], 3)
        self.assertIsNone(self.build(status="unavailable", reason="no x")[0])
        self.assertIsNone(self.build(steps=[{"name": "dry run"}])[0])
        self.assertEqual(
            score.build([], [{"system": "meson", "why": "meson is not installed"}])[1],
            "meson could not be tried: meson is not installed",
        )

    def test_secrets(self):
        def counts(tree, past):
            return {
                "counts": {
                    "tree": dict({"high": 0, "medium": 0, "low": 0}, **tree),
                    "history": dict({"high": 0, "medium": 0, "low": 0}, **past),
                },
                "files": 1,
                "commits": 1,
            }

        self.assertEqual(
            [
                score.secret(counts(*c))[0]
                for c in (
                    ({}, {}),
                    ({"low": 3}, {}),
                    ({"medium": 1}, {}),
                    ({}, {"high": 1}),
                    ({"high": 1}, {}),
                )
            ],
            [10, 10, 7, 3, 0],
        )

    def test_syntax_checks_alone_do_not_give_full_marks(self):
        result = {
            "tool": "python",
            "lines_outside_tests": 100,
            "counts_outside_tests": {"error": 0, "warning": 0},
        }
        self.assertEqual(score.analysis([result])[0], score.SYNTAX_ONLY_MOST)
        self.assertEqual(score.analysis([dict(result, tool="cppcheck")])[0], 10)
        self.assertIsNone(score.analysis([])[0])


class Changelog(unittest.TestCase):
    def test_entry(self):
        text = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- x\n\n## 1.0\n\n- y\n"
        new = publish.with_entry(text, "E")
        self.assertEqual(
            new, "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- x\n\n### Changed\n\n- E\n\n## 1.0\n\n- y\n"
        )
        self.assertIsNone(publish.with_entry(new, "E"))
        self.assertIn("### Changed\n\n- F\n- E\n", publish.with_entry(new, "F"))
        self.assertIsNone(publish.with_entry("# Changelog\n\n## 1.0\n", "E"))


class Report(RepositoryTest):
    def text(self, done):
        text = artifact(done["report"], "REPORT.md")
        for section in (
            "Score card",
            "What to do first",
            "Inventory",
            "Secrets",
            "Hot spots",
            "Automatic fix",
            "What was not run",
        ):
            self.assertIn("## " + section, text)
        return text

    def test_a_usual_repository(self):
        self.commit(
            {
                "LICENSE": MIT,
                "README.md": "# a\n",
                ".gitignore": "*.o\n",
                "CHANGELOG.md": "# Changelog\n\n## Unreleased\n\n## 1.0\n",
                "lib.py": "def f():\n    return 1 \n",
                "test_lib.py": (
                    "import unittest\nimport lib\n\n\nclass T(unittest.TestCase):\n"
                    "    def test(self):\n        self.assertEqual(lib.f(), 1)\n"
                ),
                "run.sh": "#!/bin/sh\ncd /tmp\n",
            }
        )
        done = self.checkup()
        text = self.text(done)
        self.assertIn("python: 1 test passed", text)
        self.assertIn("`run.sh:2`", text)
        self.assertIn("| `lib.py` | 1 line |", text)
        with open("REPORT.md", encoding="utf-8") as file:
            self.assertEqual(file.read(), text)
        data = artifact(done["report"], "report.json")
        self.assertEqual([e["subject"] for e in data["score"]], list(score.WEIGHTS))
        self.assertEqual(done["report"][0]["overall"], data["overall"])
        folders = {"inventory": done["inventory"][1], "fix": done["fix"][1], "report": done["report"][1]}
        output, folder, _ = self.run_task("publish.py", dependencies=folders)
        self.assertTrue(output["changelog"])
        self.run_task(
            "verify_report.py", arguments=[done["inventory"][0]["head"], "REPORT.md", "CHANGELOG.md"]
        )
        patch = artifact((None, folder), "checkup.patch")
        self.assertIn("+++ b/REPORT.md", patch)
        self.assertIn("What to do first", artifact((None, folder), "merge-request.md"))
        self.git("checkout", "-q", "-f", done["inventory"][0]["head"])
        self.git("apply", "--check", os.path.join(folder, "checkup.patch"))

    def test_the_same_repository_gives_the_same_report(self):
        self.commit(
            {"a.py": "x = 1\n", "b.py": "def (:\n", "package.json": '{"dependencies": {"b": "*", "a": "*"}}'}
        )
        head = self.git("rev-parse", "HEAD")
        first = self.text(self.checkup())
        self.git("reset", "-q", "--hard", head)
        second = self.text(self.checkup())
        self.assertEqual(re.sub(r"\d+ s", "", first), re.sub(r"\d+ s", "", second))

    def test_a_strange_repository(self):
        self.commit(
            {
                b"\xff|`<b>`.py": "x = 1 \n",
                b"new\nline\t.sh": "#!/bin/sh\ncd x\n",
                "empty.c": "",
                "a|b.json": "{",
                "bin": b"\0",
            }
        )
        os.symlink("/", "root")
        self.commit(author="A|n`n")
        self.git("update-index", "--add", "--cacheinfo", "160000,%s,sub" % self.git("rev-parse", "HEAD"))
        self.git("commit", "-q", "-m", "sub")
        self.git("rm", "-q", "--cached", "sub")
        self.commit(message="no sub")
        text = self.text(self.checkup())
        self.assertIn("a\\|b.json", text)
        self.assertNotIn("<b>`", text.replace("`<b>`", ""))

    def test_an_empty_repository(self):
        self.commit()
        text = self.text(self.checkup())
        self.assertIn("no licence file", text)

    def test_another_report_is_not_overwritten(self):
        self.commit({"REPORT.md": "my own\n", "a.py": "x = 1\n"})
        done = self.checkup()
        self.assertEqual(done["report"][0]["path"], "REPORT.checkup.md")
        with open("REPORT.md", encoding="utf-8") as file:
            self.assertEqual(file.read(), "my own\n")
        again = self.checkup()
        self.assertEqual(again["report"][0]["path"], "REPORT.checkup.md")

    def test_its_place_is_checked(self):
        self.commit({"a.py": "x = 1\n"})
        os.symlink("/tmp", "link")
        for path in ("/etc/x.md", "../x.md", "a/../../x.md", ".git/x.md", "x.txt", "link/x.md", "a//x.md"):
            with self.assertRaises(SystemExit, msg=path):
                report.safe_target(path)
        self.assertEqual(report.safe_target("docs/checkup.md"), "docs/checkup.md")

    def test_missing_parts_are_named(self):
        self.commit({"a.py": "x = 1\n"})
        inventory = self.run_task("inventory.py")
        empty = os.path.join(self.scratch, "empty")
        os.mkdir(empty)
        done = self.run_task(
            "report.py",
            dependencies={"inventory": inventory[1], "secret-scan": empty},
            states={"secret-scan": "failed"},
        )
        text = artifact(done, "REPORT.md")
        self.assertIn("| task `secret-scan` |  | it ended as failed |", text)
        self.assertIn("the task left no result", text)

    def test_verify_refuses(self):
        head = self.commit({"a.py": "x = 1\n"})
        self.checkup()
        with open("REPORT.md", encoding="utf-8") as file:
            good = file.read()
        token = "gh" + "p_" + "a8Kd03jFq9Lm2Xc7Vb5Nz1Qw4Er6Ty0UiOpAs"
        for bad, word in (
            (good.replace("## Secrets", "## Secret"), "missing"),
            (good + token + "\n", "not masked"),
            (good + "\n| a | b |\n| --- | --- |\n| c |\n", "columns"),
            ("", "missing"),
        ):
            self.write("REPORT.md", bad)
            self.assertIn(word, self.run_task("verify_report.py", arguments=[head, "REPORT.md"], expect=1)[2])
        self.write("REPORT.md", good)
        self.write("a.py", "x = 2\n")
        self.assertIn(
            "changes only", self.run_task("verify_report.py", arguments=[head, "REPORT.md"], expect=1)[2]
        )


if __name__ == "__main__":
    unittest.main()
