"""aider, from PyPI, as an agent of the real binary."""
import unittest

from packages import aider
from play import AgentTest


class AiderTest(AgentTest):
    def test_writes_is_checked_and_merged(self):
        end, _ = self.play("aider", aider(), "openai-chat", [])
        self.assertNotIn("usage", end)  # it names its usage to people only


if __name__ == "__main__":
    unittest.main()
