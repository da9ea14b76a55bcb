#include "orchestration/definition.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace ez::orchestration {
namespace {

constexpr std::array<std::string_view, 5> kPriorities{"critical", "high", "normal", "low", "deferred"};
constexpr std::array<std::string_view, 4> kPolicies{"pause", "fail", "continue", "rollback"};
constexpr std::array<std::string_view, 2> kWhenExceeded{"pause", "fail"};
constexpr std::array<std::string_view, 4> kWhenFull{"wait", "cancel_oldest", "cancel_newest", "reject"};
constexpr std::array<std::string_view, 3> kModes{"none", "read", "write"};
constexpr std::array<std::string_view, 7> kTypes{"string", "int", "number", "bool", "list", "map", "git"};

template <std::size_t n>
std::string_view name_of(const std::array<std::string_view, n>& names, std::size_t index) {
  EZ_CHECK(index < n, "an enum value without a name");
  return names[index];
}

}  // namespace

std::optional<std::uint32_t> Workflow::find_task(std::string_view id) const {
  const auto found =
      std::lower_bound(by_id.begin(), by_id.end(), id,
                       [this](std::uint32_t index, std::string_view key) { return tasks[index].id < key; });
  if (found == by_id.end() || tasks[*found].id != id) return std::nullopt;
  return *found;
}

bool Workflow::knows_signal(std::string_view signal) const {
  return !signal.empty() && std::any_of(tasks.begin(), tasks.end(), [&](const Task& task) {
    return task.wait && task.wait->signal == signal;
  });
}

std::string_view to_text(Priority priority) {
  return name_of(kPriorities, static_cast<std::size_t>(priority));
}
std::string_view to_text(OnFailure policy) { return name_of(kPolicies, static_cast<std::size_t>(policy)); }
std::string_view to_text(WhenExceeded policy) {
  return name_of(kWhenExceeded, static_cast<std::size_t>(policy));
}
std::string_view to_text(WhenFull policy) { return name_of(kWhenFull, static_cast<std::size_t>(policy)); }
std::string_view to_text(WorkspaceMode mode) { return name_of(kModes, static_cast<std::size_t>(mode)); }
std::string_view to_text(InputType type) { return name_of(kTypes, static_cast<std::size_t>(type)); }

std::optional<Priority> parse_priority(std::string_view text) {
  const auto found = std::find(kPriorities.begin(), kPriorities.end(), text);
  if (found == kPriorities.end()) return std::nullopt;
  return static_cast<Priority>(found - kPriorities.begin());
}

}  // namespace ez::orchestration
