#include "security/permission.h"

#include <gtest/gtest.h>

#include <set>

namespace ez::security {
namespace {

Principal with(Role role, std::string name_space = "*") {
  return Principal{"token:test", PrincipalKind::kPerson, {Grant{role, std::move(name_space)}}};
}

TEST(Permission, NamesAreUniqueAndReadBackAsRoles) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kPermissionCount; ++i)
    names.insert(permission_name(static_cast<Permission>(i)));
  EXPECT_EQ(names.size(), kPermissionCount);
  for (const RoleInfo& role : all_roles()) EXPECT_EQ(find_role(role.name)->role, role.role);
  EXPECT_EQ(find_role("root"), nullptr);
}

TEST(Permission, AdminHasEverything) {
  for (std::size_t i = 0; i < kPermissionCount; ++i) {
    EXPECT_TRUE(decide(with(Role::kAdmin), static_cast<Permission>(i), "default").allowed) << i;
  }
}

// The whole table, so that a change of a role is seen in review.
TEST(Permission, EachRoleHasExactlyItsPermissions) {
  const auto list = [](Role role) {
    std::set<std::string_view> out;
    for (std::size_t i = 0; i < kPermissionCount; ++i) {
      const auto permission = static_cast<Permission>(i);
      if (decide(with(role), permission, "default").allowed) out.insert(permission_name(permission));
    }
    return out;
  };
  const std::set<std::string_view> viewer = {"workflow.read", "run.read", "agent.read", "artifact.read",
                                             "metrics.read"};
  EXPECT_EQ(list(Role::kViewer), viewer);
  std::set<std::string_view> wanted = viewer;
  wanted.insert({"run.start", "run.control", "artifact.write", "model.call"});
  EXPECT_EQ(list(Role::kOperator), wanted);
  wanted.insert({"workflow.write", "approval.decide"});
  EXPECT_EQ(list(Role::kMaintainer), wanted);
  EXPECT_EQ(list(Role::kAgent),
            (std::set<std::string_view>{"agent.register", "agent.work", "artifact.read", "artifact.write"}));
  EXPECT_EQ(list(Role::kTask), (std::set<std::string_view>{"model.call"}));
}

TEST(Permission, GrantsHoldInTheirNamespaceOnly) {
  const Principal principal = with(Role::kOperator, "team-a");
  EXPECT_TRUE(decide(principal, Permission::kRunStart, "team-a").allowed);
  const Decision refused = decide(principal, Permission::kRunStart, "team-b");
  EXPECT_FALSE(refused.allowed);
  EXPECT_EQ(refused.reason, "token:test lacks run.start in namespace team-b; its roles: operator in team-a");
}

TEST(Permission, NobodyHasNothing) {
  const Decision refused =
      decide(Principal{"token:empty", PrincipalKind::kService, {}}, Permission::kRunRead, "default");
  EXPECT_FALSE(refused.allowed);
  EXPECT_EQ(refused.reason, "token:empty lacks run.read in namespace default: it has no role");
}

TEST(Permission, RolesInheritUpwardsOnly) {
  EXPECT_TRUE(decide_role(with(Role::kAdmin), Role::kMaintainer, "default").allowed);
  EXPECT_TRUE(decide_role(with(Role::kMaintainer), Role::kMaintainer, "default").allowed);
  EXPECT_FALSE(decide_role(with(Role::kOperator), Role::kMaintainer, "default").allowed);
  EXPECT_FALSE(decide_role(with(Role::kAgent), Role::kViewer, "default").allowed);
  EXPECT_EQ(decide_role(with(Role::kAdmin), Role::kMaintainer, "default").reason,
            "token:test has the role maintainer in namespace default through the role admin");
}

}  // namespace
}  // namespace ez::security
