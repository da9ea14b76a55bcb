#include "world.h"

namespace ez::sim {
namespace {

// Waiting is what most do.
constexpr const char* kPolicies[] = {"wait", "wait", "wait", "cancel_oldest", "cancel_newest", "reject"};

// The world begins at 2027-01-15T08:00:00Z.
std::string random_wait(SeededRandom& random) {
  switch (random.below(4)) {
    case 0:
      return "    wait: {for: " + std::to_string(1 + random.below(60)) + "s}\n";
    case 1:
      return "    wait: {until: '2027-01-15T08:00:" + std::to_string(10 + random.below(50)) + "Z'}\n";
    default:
      return std::string("    wait: {signal: ") + (random.chance(1, 2) ? "s0" : "s1") +
             (random.chance(1, 3) ? ", timeout: 40s" : "") + "}\n";
  }
}

// A workflow of the same namespace, rarely one that is not there (yet) or leads back.
std::string random_child(SeededRandom& random, const std::string& own, int number,
                         const std::vector<std::string>& earlier) {
  std::string name;
  for (const std::string& text : earlier) {
    const bool near = (text.find("namespace: one") == std::string::npos) ==
                      (own.find("namespace: one") == std::string::npos);
    if (near && (name.empty() || random.chance(1, 2))) name = text.substr(6, text.find('\n') - 6);
  }
  if (name.empty() || random.chance(1, 10)) {
    const std::uint64_t other = random.below(4);
    if (static_cast<int>(other) == number) return "";
    name = "workflow-" + std::to_string(other);
  }
  std::string text = "    workflow: {name: " + name + ", inputs: {flag: '${{ inputs.flag }}'}}\n";
  if (random.chance(1, 3)) text += "    timeout: {start_to_close: 90s}\n";
  if (random.chance(1, 2)) text += "    retry: {max_attempts: 2, backoff: 2s}\n";
  if (random.chance(1, 3))
    text += "    budget: {cost_usd: 0.0000" + std::to_string(1 + random.below(60)) + "}\n";
  return text;
}

std::string random_policy(SeededRandom& random) {
  switch (random.below(5)) {
    case 0:
      return "    on_failure: fail\n";
    case 1:
      return "    on_failure: continue\n";
    case 2:
      return "    on_failure: rollback\n";
    default:
      return "";
  }
}

}  // namespace

std::string random_workflow(SeededRandom& random, int number, const std::vector<std::string>& earlier) {
  std::string text = "name: workflow-" + std::to_string(number) + "\n";
  text += random.chance(1, 2) ? "namespace: one\n" : "namespace: two\n";
  const bool repository = random.chance(1, 3);
  text += "inputs:\n  items: {type: list, default: [1, 2, 3]}\n  flag: {type: bool, default: true}\n";
  if (repository) text += "repository: /srv/repo\n";
  if (repository && random.chance(1, 2)) {
    text += "resolver: {agent: {type: claude}, tries: 2, timeout: 20s" +
            (random.chance(1, 2) ? ", budget: {cost_usd: 0.0000" + std::to_string(1 + random.below(40)) + "}"
                                 : "") +
            "}\n";
  }
  const bool money = random.chance(1, 4);
  if (money) {
    text += "budget: {cost_usd: 0.0000" + std::to_string(10 + random.below(90)) +
            (random.chance(1, 3) ? ", deadline: 10m" : "") +
            (random.chance(1, 4) ? ", when_exceeded: fail" : "") + "}\n";
  } else if (random.chance(1, 8)) {
    text += "budget: {deadline: 10m, warn_at: 50%}\n";
  }
  if (random.chance(1, 3)) text += "priority: " + std::string(random.chance(1, 2) ? "high" : "low") + "\n";
  if (random.chance(1, 4)) {
    text += "concurrency: {key: whole, limit: " + std::to_string(1 + random.below(2)) +
            ", when_full: " + kPolicies[random.below(6)] + "}\n";
  }
  if (random.chance(1, 2)) text += "outputs: {flag: inputs.flag, items: 'size(inputs.items)'}\n";
  text += "tasks:\n";
  const std::uint64_t count = 1 + random.below(7);
  for (std::uint64_t i = 0; i < count; ++i) {
    text += "  - id: t" + std::to_string(i) + "\n";
    std::string dependencies;
    for (std::uint64_t j = 0; j < i; ++j) {
      if (random.chance(1, 3)) dependencies += (dependencies.empty() ? "t" : ", t") + std::to_string(j);
    }
    if (!dependencies.empty()) text += "    dependencies: [" + dependencies + "]\n";
    if (random.chance(1, 6))
      text += random.chance(1, 2) ? "    when: inputs.flag\n" : "    when: '!inputs.flag'\n";
    if (random.chance(1, 8)) {
      text += random_wait(random) + random_policy(random);
      if (random.chance(1, 4)) text += "    for_each: ${{ inputs.items }}\n";
      continue;
    }
    if (random.chance(1, 7)) {
      const std::string child = random_child(random, text, number, earlier);
      if (!child.empty()) {
        text += child + random_policy(random);
        if (random.chance(1, 4)) {
          text += "    for_each: ${{ inputs.items }}\n";
          if (random.chance(1, 2)) text += "    max_parallel: " + std::to_string(1 + random.below(2)) + "\n";
        }
        continue;
      }
    }
    if (random.chance(1, 10)) {
      text += "    approval: {message: 'go on?'}\n";
      if (random.chance(1, 2)) continue;
    }
    text += "    run: echo ${{ inputs.flag }}\n";
    if (random.chance(1, 4)) text += "    agent: {type: exec, capabilities: [fast]}\n";
    if (random.chance(money ? 2 : 1, money ? 3 : 12)) {
      text += "    budget: {cost_usd: 0.0000" + std::to_string(random.below(90)) + "}\n";
    }
    if (random.chance(1, 4)) {
      text += "    for_each: ${{ inputs.items }}\n";
      if (random.chance(1, 2)) text += "    max_parallel: " + std::to_string(1 + random.below(2)) + "\n";
      if (random.chance(1, 3)) text += "    env: {ITEM: '${{ item }}'}\n";
    }
    if (random.chance(1, 4)) {
      text += "    concurrency: {key: 'k" + std::to_string(random.below(2)) +
              "', limit: " + std::to_string(1 + random.below(2)) +
              ", when_full: " + kPolicies[random.below(6)] + "}\n";
    }
    if (random.chance(1, 8)) {
      text += "    rate: {key: r, limit: " + std::to_string(1 + random.below(4)) + ", per: 20s}\n";
    }
    if (random.chance(1, 2)) {
      text += "    retry: {max_attempts: " + std::to_string(1 + random.below(3)) +
              ", backoff: 2s, max_backoff: 20s}\n";
    }
    if (random.chance(1, 3)) {
      text += "    timeout: {start_to_close: 40s, heartbeat: 15s";
      if (random.chance(1, 3)) text += ", schedule_to_start: 60s";
      if (random.chance(1, 3)) text += ", schedule_to_close: 5m";
      text += "}\n";
    }
    if (random.chance(1, 4)) text += "    compensate: {run: undo, retry: {max_attempts: 2, backoff: 2s}}\n";
    text += random_policy(random);
    if (random.chance(1, 5)) text += "    checkpoint: true\n";
    if (repository && random.chance(1, 3)) text += "    workspace: read\n";
  }
  return text;
}

}  // namespace ez::sim
