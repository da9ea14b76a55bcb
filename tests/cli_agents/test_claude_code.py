"""Claude Code, from npm, as an agent of the real binary."""
import unittest

from packages import npm_agents
from play import AgentTest


class ClaudeCodeTest(AgentTest):
    def test_writes_is_checked_and_merged(self):
        end, costs = self.play("claude-code", npm_agents(), "anthropic-messages", ["Write"])
        self.assert_same_usage(end)
        # It knows no price of this model and guesses one; what counts is the gateway's figure.
        self.assertEqual(costs["cost_microusd"], end["gateway"]["cost_microusd"])
        self.assertIn("> Write", self.log)

    def test_on_a_model_that_speaks_another_dialect(self):
        self.play("claude-code", npm_agents(), "openai-chat", ["Write"])


if __name__ == "__main__":
    unittest.main()
