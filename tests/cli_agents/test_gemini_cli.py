"""Gemini CLI, from npm, as an agent of the real binary: its own dialect, translated for the provider."""
import unittest

from packages import npm_agents
from play import AgentTest


class GeminiCliTest(AgentTest):
    def test_writes_is_checked_and_merged(self):
        end, _ = self.play("gemini-cli", npm_agents(), "openai-chat", ["write_file"])
        self.assert_same_usage(end)
        self.assertIn("> write_file", self.log)


if __name__ == "__main__":
    unittest.main()
