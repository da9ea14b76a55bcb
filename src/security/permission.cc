#include "security/permission.h"

#include <iterator>

#include "base/check.h"

namespace ez::security {
namespace {

constexpr std::string_view kPermissionNames[] = {
    "workflow.read",   "workflow.write", "run.read",       "run.start",   "run.control",
    "approval.decide", "agent.read",     "agent.register", "agent.work",  "artifact.read",
    "artifact.write",  "metrics.read",   "admin.read",     "admin.write", "model.call",
};
static_assert(std::size(kPermissionNames) == kPermissionCount);

constexpr Permission kViewerPermissions[] = {Permission::kWorkflowRead, Permission::kRunRead,
                                             Permission::kAgentRead, Permission::kArtifactRead,
                                             Permission::kMetricsRead};
constexpr Permission kOperatorPermissions[] = {Permission::kRunStart, Permission::kRunControl,
                                               Permission::kArtifactWrite, Permission::kModelCall};
constexpr Permission kMaintainerPermissions[] = {Permission::kWorkflowWrite, Permission::kApprovalDecide};
constexpr Permission kAdminPermissions[] = {Permission::kAdminRead, Permission::kAdminWrite};
// An agent works; it neither starts runs nor reads those of others.
constexpr Permission kAgentPermissions[] = {Permission::kAgentRegister, Permission::kAgentWork,
                                            Permission::kArtifactRead, Permission::kArtifactWrite};
// The key of a lease: calls of models, on the lease's account.
constexpr Permission kTaskPermissions[] = {Permission::kModelCall};

constexpr Role kOperatorInherits[] = {Role::kViewer};
constexpr Role kMaintainerInherits[] = {Role::kOperator};
constexpr Role kAdminInherits[] = {Role::kMaintainer, Role::kAgent};

// In the order of enum Role.
constexpr RoleInfo kRoles[] = {
    {Role::kAdmin, "admin", kAdminInherits, kAdminPermissions},
    {Role::kMaintainer, "maintainer", kMaintainerInherits, kMaintainerPermissions},
    {Role::kOperator, "operator", kOperatorInherits, kOperatorPermissions},
    {Role::kViewer, "viewer", {}, kViewerPermissions},
    {Role::kAgent, "agent", {}, kAgentPermissions},
    {Role::kTask, "task", {}, kTaskPermissions},
};
static_assert(std::size(kRoles) == kRoleCount);

const RoleInfo& info_of(Role role) {
  const auto index = static_cast<std::size_t>(role);
  EZ_CHECK(index < kRoleCount, "a role outside of the catalogue");
  return kRoles[index];
}

bool has(Role role, Permission permission) {
  const RoleInfo& info = info_of(role);
  for (Permission own : info.permissions) {
    if (own == permission) return true;
  }
  for (Role inherited : info.inherits) {
    if (has(inherited, permission)) return true;
  }
  return false;
}

bool covers(const Grant& grant, std::string_view name_space) {
  return grant.name_space == "*" || grant.name_space == name_space;
}

std::string explain(const Principal& principal, std::string_view verb, std::string_view what,
                    std::string_view name_space) {
  std::string text = principal.id;
  text += verb;
  text += what;
  text += " in namespace ";
  text += name_space;
  return text;
}

template <typename Accepts>
Decision decide_by(const Principal& principal, std::string_view what, std::string_view name_space,
                   Accepts accepts) {
  for (const Grant& grant : principal.roles) {
    if (!covers(grant, name_space) || !accepts(grant.role)) continue;
    std::string reason = explain(principal, " has ", what, name_space);
    reason += " through the role ";
    reason += role_name(grant.role);
    return {true, std::move(reason)};
  }
  std::string reason = explain(principal, " lacks ", what, name_space);
  if (principal.roles.empty()) {
    reason += ": it has no role";
  } else {
    reason += "; its roles: ";
    for (std::size_t i = 0; i < principal.roles.size(); ++i) {
      if (i != 0) reason += ", ";
      reason += role_name(principal.roles[i].role);
      reason += " in ";
      reason += principal.roles[i].name_space;
    }
  }
  return {false, std::move(reason)};
}

}  // namespace

std::string_view permission_name(Permission permission) {
  const auto index = static_cast<std::size_t>(permission);
  EZ_CHECK(index < kPermissionCount, "a permission outside of the catalogue");
  return kPermissionNames[index];
}

std::string_view role_name(Role role) { return info_of(role).name; }

const RoleInfo* find_role(std::string_view name) {
  for (const RoleInfo& role : kRoles) {
    if (role.name == name) return &role;
  }
  return nullptr;
}

std::span<const RoleInfo> all_roles() { return kRoles; }

bool includes(Role role, Role wanted) {
  if (role == wanted) return true;
  for (Role inherited : info_of(role).inherits) {
    if (includes(inherited, wanted)) return true;
  }
  return false;
}

Decision decide(const Principal& principal, Permission permission, std::string_view name_space) {
  return decide_by(principal, permission_name(permission), name_space,
                   [&](Role role) { return has(role, permission); });
}

Decision decide_role(const Principal& principal, Role role, std::string_view name_space) {
  std::string what = "the role ";
  what += role_name(role);
  return decide_by(principal, what, name_space, [&](Role own) { return includes(own, role); });
}

}  // namespace ez::security
