#!/usr/bin/env python3
"""Runs the unittest files of one folder and leaves a report that scripts/test adds up.

usage: run_python.py FOLDER PATTERN REPORT.xml
"""
import sys
import unittest
from pathlib import Path
from xml.sax.saxutils import quoteattr

MAX_TEXT = 4000  # characters of a failure that the report keeps: its end, where the assertion is


def main() -> int:
    folder, pattern, report = sys.argv[1:4]
    sys.path.insert(0, folder)
    suite = unittest.defaultTestLoader.discover(folder, pattern=pattern, top_level_dir=folder)
    result = unittest.TextTestRunner(verbosity=2, stream=sys.stdout).run(suite)
    failed = len(result.failures) + len(result.errors)
    reasons = "".join(
        f"<skipped name={quoteattr(str(test))} message={quoteattr(reason)}/>" for test, reason in result.skipped)
    reasons += "".join(
        f"<testcase name={quoteattr(str(test))}><failure message={quoteattr(text[-MAX_TEXT:])}/></testcase>"
        for test, text in result.failures + result.errors)
    Path(report).parent.mkdir(parents=True, exist_ok=True)
    Path(report).write_text(
        f'<testsuites tests="{result.testsRun}" failures="{failed}" skipped="{len(result.skipped)}">'
        f"{reasons}</testsuites>\n", encoding="utf-8")
    # A folder in which nothing ran is a mistake, not a success.
    return 0 if result.testsRun > 0 and result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
