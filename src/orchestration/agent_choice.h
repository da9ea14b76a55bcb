// Which of several waiting agents gets a task: a pure decision over what is known of them.
//
// Load first: an agent that has taken fewer tasks in the present round goes before one that has taken more,
// so that work spreads. Among those that have taken equally much, one whose worker still has a worktree of
// the task's repository (warm) goes first, because preparing a workspace anew costs more than everything else
// about a short task; then the one whose share of capacity in use is smaller; then the one that has waited
// longest. So warmth never lets work pile up on one agent while another one idles.
#pragma once

#include <cstdint>
#include <span>
#include <tuple>

namespace ez::orchestration {

// As many candidates as one choice looks at; with more waiting, those beyond are as good as these.
inline constexpr std::size_t kMaxCandidates = 16;

struct AgentCandidate {
  std::uint32_t rounds = 0;    // grains of tasks taken in the present round
  bool warm = false;           // has a worktree of the task's repository
  std::uint32_t running = 0;   // tasks it has, those of the present round included
  std::uint32_t capacity = 1;  // at least 1
};

// Index of the best of them; they are in the order in which they wait. `candidates` is not empty.
[[nodiscard]] constexpr std::size_t choose_agent(std::span<const AgentCandidate> candidates) {
  const auto load = [](const AgentCandidate& candidate) {
    return std::uint64_t{candidate.running} * 1000 / candidate.capacity;
  };
  std::size_t best = 0;
  for (std::size_t i = 1; i < candidates.size(); ++i) {
    const AgentCandidate& a = candidates[i];
    const AgentCandidate& b = candidates[best];
    if (std::tuple(a.rounds, !a.warm, load(a)) < std::tuple(b.rounds, !b.warm, load(b))) best = i;
  }
  return best;
}

}  // namespace ez::orchestration
