"""Codex, from npm, as an agent of the real binary."""
import unittest

from packages import npm_agents
from play import AgentTest


class CodexTest(AgentTest):
    def test_writes_is_checked_and_merged(self):
        end, _ = self.play("codex", npm_agents(), "openai-responses", ["exec_command", "shell_command", "shell"])
        self.assert_same_usage(end)
        self.assertIn("> run", self.log)


if __name__ == "__main__":
    unittest.main()
