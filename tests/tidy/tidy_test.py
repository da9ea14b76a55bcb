#!/usr/bin/env python3
"""Tests of tidy.py: a small repository that keeps every rule, and one change for each way to break one."""
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tidy  # noqa: E402

GOOD = {
    "src/base/CMakeLists.txt": "ez_module(base TIER 0 LIBS re2)\n",
    "src/base/error_catalog.def": 'EZ_ERROR(Internal, "INTERNAL", 500, 70, false, "A bug.")\n',
    "src/base/x.h": "// What x is for.\n#pragma once\n",
    "src/base/x.cc": '#include "base/x.h"\n',
    "src/log/CMakeLists.txt": "ez_module(log TIER 4\n  DEPS base  # the ground\n  LIBS zstd)\n",
    "src/log/log.cc": '#include <sqlite3.h>\n\n#include "base/x.h"\n',
    "src/log/log_test.cc": 'void f() { EXPECT_TRUE(g()); }\n',
    "docs/errors/INTERNAL.md": "# INTERNAL\n",
    "docs/ARCHITECTURE.md": "# Map\n\n## The map\n\n```mermaid\ngraph TD\n  subgraph tier4 [tier 4]\n    log\n  end\n"
                            "  subgraph tier0 [tier 0]\n    base\n  end\n  log --> base\n```\n"
                            "[code](errors/INTERNAL.md) [here](#the-map) [web](https://example.org/x) [all](errors/)\n",
}


class TidyTest(unittest.TestCase):
    def findings(self, changes=None):
        with tempfile.TemporaryDirectory() as root:
            subprocess.run(["git", "init", "-q", root], check=True)
            for path, text in {**GOOD, **(changes or {})}.items():
                if text is None:
                    continue
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            found, self.warned = tidy.check(root)
            return [(finding.path, finding.rule) for finding in found]

    def breaks(self, path, text, rule, where=None):
        self.assertEqual(self.findings({path: text}), [(where or path, rule)], text)

    def test_a_good_tree_has_no_findings(self):
        self.assertEqual(self.findings(), [])
        self.assertEqual(self.warned, [])

    def test_sizes(self):
        self.breaks("src/log/long.cc", "\n" * 601, "file-size")
        self.assertEqual(self.findings({"src/log/long.cc": "\n" * 600}), [])
        self.breaks("src/log/wide.cc", "//" + "x" * 109 + "\n", "line-length")
        self.assertEqual(self.findings({"src/log/wide.cc": "//" + "é" * 108 + "\n"}), [])

    def test_words(self):
        for word in ("TODO", "FIXME", "XXX", "HACK"):
            self.breaks("src/log/a.cc", f"// {word}: later\n", "word")
        self.assertEqual(self.findings({"src/log/a.cc": "// HACKING, mkdtemp(XXXXXX), TODOS\n"}), [])
        self.breaks("src/log/a_test.cc", "std::this_thread::sleep_for(1s);\n", "word")
        self.breaks("tests/sim/a.cc", "usleep (5);\n", "word")
        self.assertEqual(self.findings({"src/log/a.cc": "std::this_thread::sleep_for(pause);\n"}), [])
        self.breaks("src/log/a_test.cc", "GTEST_SKIP();\n", "word")
        self.breaks("src/log/a_test.cc", 'GTEST_SKIP() << "";\n', "word")
        self.assertEqual(self.findings({"src/log/a_test.cc": 'GTEST_SKIP() << "no bubblewrap here";\n'}), [])
        self.breaks("src/log/a_test.cc", "EXPECT_TRUE( true );\n", "word")
        self.breaks("src/log/a_test.cc", "ASSERT_FALSE(false);\n", "word")

    def test_machine_paths(self):
        for path in ("/work/some/x", "/home/someone/src", "cd /root/thing"):
            self.breaks("docs/a.md", f"see {path} there\n", "machine-path")
        self.assertEqual(self.findings({"docs/a.md": "POST /v1/work, https://x.org/home/a, ./work/x, /v1/work/7\n"}), [])

    def test_errors(self):
        self.assertIn(("src/base/error_catalog.def", "errors"), self.findings({"docs/errors/INTERNAL.md": None}))
        self.breaks("docs/errors/GONE.md", "# GONE\n", "errors")
        self.breaks("docs/errors/INTERNAL.md", "# OTHER\n", "errors")
        twice = self.findings({"src/base/error_catalog.def": GOOD["src/base/error_catalog.def"] * 2})
        self.assertEqual(twice, [("src/base/error_catalog.def", "errors")] * 2)

    def test_diagram(self):
        page = GOOD["docs/ARCHITECTURE.md"]
        name = "docs/ARCHITECTURE.md"
        self.breaks(name, page.replace("  log --> base\n", ""), "diagram")
        self.breaks(name, page.replace("  log --> base\n", "  log --> base\n  base --> log\n"), "diagram")
        self.breaks(name, page.replace("tier4", "tier3"), "diagram")
        self.breaks("src/storage/CMakeLists.txt", "ez_module(storage TIER 4)\n", "diagram", name)
        drawn = page.replace("    log\n", "    log\n    agents\n").replace("log --> base", "log --> base\n  agents --> base")
        self.assertEqual(self.findings({name: drawn}), [])
        self.assertEqual(len(self.warned), 1)
        self.assertIn("agents", self.warned[0])

    def test_includes(self):
        self.breaks("src/base/y.cc", '#include "log/log.h"\n', "include")
        self.breaks("src/log/y.cc", '#include "../base/x.h"\n', "include")
        self.breaks("src/log/y.cc", '#include "y.h"\n', "include")

    def test_headers(self):
        self.breaks("src/log/y.h", "#pragma once\n", "header")
        self.breaks("src/log/y.h", "// Why.\nint f();\n", "header")
        for heavy in ("<boost/beast/http.hpp>", "<boost/asio.hpp>", "<google/protobuf/message.h>", '"log/command.pb.h"',
                      "<yaml-cpp/yaml.h>", "<sqlite3.h>", "<spdlog/spdlog.h>", "<re2/re2.h>",
                      "<librdkafka/rdkafka.h>"):
            self.breaks("src/log/y.h", f"// Why.\n#pragma once\n#include {heavy}\n", "header")

    def test_links(self):
        self.breaks("docs/a.md", "[x](absent.md)\n", "link")
        self.breaks("docs/a.md", "[x](../src/base/absent.h)\n", "link")
        self.breaks("docs/a.md", "[x](ARCHITECTURE.md#absent)\n", "link")
        self.assertEqual(self.findings({"docs/a.md": "[x](ARCHITECTURE.md#the-map) `[no](link)`\n```\n[x](y)\n```\n"}), [])

    def test_untracked_outputs_do_not_count(self):
        self.assertEqual(self.findings({".gitignore": "/build/\n", "build/a.cc": "// TODO\n"}), [])


if __name__ == "__main__":
    unittest.main()
