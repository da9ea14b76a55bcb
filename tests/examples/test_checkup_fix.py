"""The automatic fix changes what is safe, leaves alone what is not, and its verification refuses
everything else.
"""

import os
import subprocess
import unittest

from checkup_helper import RepositoryTest, artifact

import editorconfig
import whitespace_rules


class Rules(unittest.TestCase):
    def changed(self, language, text):
        return whitespace_rules.fixed(text.encode(), language).decode()

    def test_strips_and_adds_the_last_line_end(self):
        self.assertEqual(self.changed("C", "int a; \nint b;\t"), "int a;\nint b;\n")
        self.assertEqual(self.changed("C", "int a; \r\nint b;"), "int a;\r\nint b;\r\n")

    def test_a_clean_file_is_the_same_object(self):
        content = b"int a;\n"
        self.assertIs(whitespace_rules.fixed(content, "C"), content)
        self.assertIs(whitespace_rules.fixed(b"", "C"), b"")

    def test_white_space_after_a_backslash_is_kept(self):
        self.assertEqual(self.changed("C", "#define A \\ \n  1\n"), "#define A \\ \n  1\n")

    def test_strings_over_lines_are_kept(self):
        for language, text in (
            ("Python", 'a = """x \ny"""\n'),
            ("JavaScript", "a = `x \ny`\n"),
            ("Go", "a := `x \ny`\n"),
            ("Shell", "cat <<EOF\nx \nEOF\n"),
            ("Shell", "a='x \ny'\n"),
            ("C++", 'a = R"(x \n)";\n'),
            ("Java", 'a = """\nx \n""";\n'),
            ("Rust", 'a = "x \ny";\n'),
            ("CMake", "set(a [[x \n]])\n"),
            ("Ruby", "a = <<~T\nx \nT\n"),
            ("Perl", "print 1;\n__DATA__\nx \n"),
            ("Makefile", "A = x \n"),
            ("Markdown", "hard break  \nnext\n"),
            ("YAML", "a: |\n  x \n"),
        ):
            self.assertEqual(self.changed(language, text), text, language)

    def test_python_outside_strings_is_stripped(self):
        self.assertEqual(self.changed("Python", 'a = """x \ny""" \nb = 1 \n'), 'a = """x \ny"""\nb = 1\n')

    def test_python_trees_are_compared(self):
        self.assertTrue(whitespace_rules.same_meaning("Python", b"a = 1 \n", b"a = 1\n"))
        self.assertFalse(whitespace_rules.same_meaning("Python", b'a = """x \n"""\n', b'a = """x\n"""\n'))

    def test_same_but_whitespace(self):
        self.assertTrue(whitespace_rules.same_but_whitespace(b"a \nb", b"a\nb\n"))
        self.assertFalse(whitespace_rules.same_but_whitespace(b"a b\n", b"ab\n"))
        self.assertFalse(whitespace_rules.same_but_whitespace(b" a\n", b"a\n"))


class Config(unittest.TestCase):
    def test_globs(self):
        for glob, yes, no in (
            ("*.py", ["a.py", "x/a.py"], ["a.pyc"]),
            ("src/*.c", ["src/a.c"], ["a.c", "src/x/a.c"]),
            ("{a,b}.c", ["a.c", "b.c"], ["c.c"]),
            ("**/t/**.c", ["t/a.c", "x/t/y/a.c"], ["a.c"]),
            ("[!a].c", ["b.c"], ["a.c"]),
            ("f{1..3}", ["f1", "f3"], ["f4"]),
            ("{single}", ["{single}"], ["single"]),
            ("/top.c", ["top.c"], ["x/top.c"]),
        ):
            pattern = editorconfig.glob_to_regex(glob)
            for name in yes:
                self.assertTrue(pattern.match(name), (glob, name))
            for name in no:
                self.assertFalse(pattern.match(name), (glob, name))

    def test_bad_globs_do_not_break(self):
        for glob in ("{" * 50 + "}" * 50, "[", "[]", "[z-a]", "{1..99999999}", "a{b", "\\"):
            editorconfig.glob_to_regex(glob)


class Fix(RepositoryTest):
    def fix(self, **inputs):
        self.base = self.git("rev-parse", "HEAD")
        return self.run_task("fix.py", inputs=inputs)

    def changed_files(self):
        return sorted(self.git("diff", "--name-only").splitlines())

    def verify(self, expect):
        return self.run_task("verify_fix.py", arguments=[self.base], expect=expect)[2]

    def test_fixes_and_verifies(self):
        self.commit(
            {
                "a.c": "int a; \n",
                "run.sh": "#!/bin/sh\necho 1",
                "tool": "#!/usr/bin/env python3\nprint(1)\n",
                "b.json": "{} ",
            }
        )
        output, _, _ = self.fix()
        self.assertEqual(output["changed"], 4)
        self.assertEqual(self.changed_files(), ["a.c", "b.json", "run.sh", "tool"])
        self.assertTrue(
            os.access("run.sh", os.X_OK) and os.access("tool", os.X_OK) and not os.access("a.c", os.X_OK)
        )
        self.assertIn("only white space", self.verify(0))
        self.commit()
        self.verify(0)  # as on the merged tree
        again, _, said = self.fix()
        self.assertEqual(again["changed"], 0)
        self.assertIn("nothing changed", said)
        self.verify(0)

    def test_nothing_to_do_is_verified_whatever_the_last_commit_was(self):
        self.commit({"a.c": "int a;\n"})
        self.commit({"b.bin": b"\0\1"})
        self.assertEqual(self.fix()[0]["changed"], 0)
        self.verify(0)

    def test_leaves_alone(self):
        self.commit(
            {
                "vendor/v.c": "int a; \n",
                "x.patch": " a \n",
                "README.md": "a  \nb\n",
                "lib.min.js": "a; \n",
                "gen.py": "# @generated\na = 1 \n",
                "testdata/t.c": "int a; \n",
                "latin.c": b'char *a = "\xe9"; \n',
                "bin.c": b"\0 \n",
                ".editorconfig": (
                    "root=true\n[keep/*]\ntrim_trailing_whitespace = false\ninsert_final_newline = false\n"
                ),
                "keep/k.c": "int a; ",
                ".gitattributes": "*.h -text\n*.cc binary\n",
                "h.h": "int a; \n",
                "c.cc": "int a; \n",
                "broken.py": "def (: \n",
                "lib/module.py": "#!/usr/bin/env python3\na = 1\n",
                "debian/postinst": "#!/bin/sh\n",
                "script.sh.in": "#!/bin/sh \n",
            }
        )
        os.symlink("vendor/v.c", "link.c")
        self.commit()
        self.assertEqual(self.fix()[0]["changed"], 0, self.changed_files())

    def test_a_link_in_place_of_a_folder_is_not_followed(self):
        outside = os.path.join(self.scratch, "outside")
        os.mkdir(outside)
        self.commit({"src/a.c": "int a; \n"})
        with open(os.path.join(outside, "a.c"), "w", encoding="utf-8") as file:
            file.write("int a; \n")
        os.remove("src/a.c")
        os.rmdir("src")
        os.symlink(outside, "src")
        self.fix()
        with open(os.path.join(outside, "a.c"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "int a; \n")

    def test_the_limit_holds(self):
        self.commit({"f%d.c" % i: "int a; \n" for i in range(8)})
        output, folder, _ = self.fix(max_fix_files=3)
        self.assertEqual((output["changed"], output["waiting"]), (3, 5))
        self.assertEqual(self.changed_files(), ["f0.c", "f1.c", "f2.c"])
        self.assertIn("-int a; ", artifact((None, folder), "fix.diff"))

    def test_strange_names(self):
        self.commit(
            {
                b"new\nline.c": "int a; \n",
                b"\xff\xfe.c": "int a; \n",
                "tab\there.c": "int a; \n",
                "-rf.c": "int a; \n",
            }
        )
        self.assertEqual(self.fix()[0]["changed"], 4)
        self.verify(0)

    def test_verify_refuses(self):
        self.commit({"a.py": "a = 1\n", "b.json": "{}\n", "c.sh": "echo\n", "d.txt": "x\n"})
        self.base = self.git("rev-parse", "HEAD")
        for path, content, word in (
            ("a.py", "a = 2\n", "more than white space"),
            ("d.txt", "x y\n", "more than white space"),
            ("new.c", "int a;\n", "adds no files"),
            ("a.py", "a =\n", "more than"),
        ):
            self.write(path, content)
            self.assertIn(word, self.verify(1))
            self.git("checkout", "-q", ".")
            self.git("clean", "-fdq")
        os.remove("b.json")
        self.assertIn("only modifies", self.verify(1))
        self.git("checkout", "-q", ".")
        os.chmod("d.txt", 0o755)
        self.assertIn("mode", self.verify(1))
        self.git("checkout", "-q", ".")
        self.verify(0)

    def test_verify_refuses_a_changed_string(self):
        self.commit({"a.py": 'a = """x \n"""\n'})
        self.base = self.git("rev-parse", "HEAD")
        self.write("a.py", 'a = """x\n"""\n')
        self.assertIn("not the same", self.verify(1))

    def test_git_agrees_that_only_white_space_changed(self):
        self.commit({"a.c": "int a; \n\n\n", "b.c": "int b;"})
        self.fix()
        self.assertEqual(subprocess.run(["git", "diff", "-w", "--quiet"], check=False).returncode, 0)


if __name__ == "__main__":
    unittest.main()
