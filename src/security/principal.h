// Principal: who is calling. A value; made by an Authenticator, carried by every request.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"

namespace ez::security {

enum class PrincipalKind : std::uint8_t { kPerson, kAgent, kService };

// kTask: the holder of a lease's key (lease_keys.h).
enum class Role : std::uint8_t { kAdmin, kMaintainer, kOperator, kViewer, kAgent, kTask };
inline constexpr std::size_t kRoleCount = 6;

// A role in one namespace, or in all of them ("*").
struct Grant {
  Role role = Role::kViewer;
  std::string name_space = "*";
};

struct Principal {
  std::string id;  // stable and shown in the audit record, for example "token:local"
  PrincipalKind kind = PrincipalKind::kPerson;
  std::vector<Grant> roles;
  RunId run{};  // of a lease's key, like the lease itself; otherwise invalid
  Fence lease{};
};

}  // namespace ez::security
