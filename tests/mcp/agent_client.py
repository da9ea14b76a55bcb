#!/usr/bin/env python3
"""A client for the conformance suite: the whole coding agent, with the server of the last argument as its MCP server.

The suite names its scenario in MCP_CONFORMANCE_SCENARIO; the agent's model calls the tool that this is about.
"""
import os
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
import test_mcp_agent  # noqa: E402

CALLS = {"tools_call": ("mcp__s__add_numbers", {"a": 5, "b": 3}), "sse-retry": ("mcp__s__test_reconnection", {})}


class Client(test_mcp_agent.McpAgentTest):
    def runTest(self):  # the name that unittest asks for
        call = CALLS.get(os.environ.get("MCP_CONFORMANCE_SCENARIO", ""))
        log, _, _ = self.play({"s": {"url": sys.argv[-1]}}, [call] if call else [])
        print(log)


if __name__ == "__main__":
    sys.exit(0 if unittest.TextTestRunner(stream=sys.stdout).run(Client("runTest")).wasSuccessful() else 1)
