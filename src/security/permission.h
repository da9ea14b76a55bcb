// Permissions and roles: who may do what, as data, and the one function that decides.
//
// A permission is a verb on a kind of thing. A role is a named set of permissions and inherits the sets of
// other roles. docs/guide/api.md lists both; the text names are stable.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "security/principal.h"

namespace ez::security {

enum class Permission : std::uint8_t {
  kWorkflowRead,
  kWorkflowWrite,
  kRunRead,
  kRunStart,
  kRunControl,
  kApprovalDecide,
  kAgentRead,
  kAgentRegister,
  kAgentWork,
  kArtifactRead,
  kArtifactWrite,
  kMetricsRead,
  kAdminRead,
  kAdminWrite,
  kModelCall,
};
inline constexpr std::size_t kPermissionCount = 15;

struct RoleInfo {
  Role role;
  std::string_view name;
  std::span<const Role> inherits;  // acyclic; checked by the tests
  std::span<const Permission> permissions;
};

// "run.start" and the like.
[[nodiscard]] std::string_view permission_name(Permission permission);
[[nodiscard]] std::string_view role_name(Role role);
// nullptr when no role has that name.
[[nodiscard]] const RoleInfo* find_role(std::string_view name);
[[nodiscard]] std::span<const RoleInfo> all_roles();

// Whether `role` is `wanted` or inherits it, directly or not (an admin is a maintainer; an approval names a
// role).
[[nodiscard]] bool includes(Role role, Role wanted);

struct Decision {
  bool allowed = false;
  std::string
      reason;  // names the principal, the permission, the namespace and the role that decided; never a secret
};

// Pure. Allowed when a grant of the principal covers the namespace and its role has the permission.
[[nodiscard]] Decision decide(const Principal& principal, Permission permission, std::string_view name_space);

// The same for "holds this role there", as approvals ask.
[[nodiscard]] Decision decide_role(const Principal& principal, Role role, std::string_view name_space);

}  // namespace ez::security
