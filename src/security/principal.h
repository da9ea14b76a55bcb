// Principal: who is calling. A value; made by an Authenticator, carried by every request.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ez::security {

enum class PrincipalKind : std::uint8_t { kPerson, kAgent, kService };

enum class Role : std::uint8_t { kAdmin, kMaintainer, kOperator, kViewer, kAgent };
inline constexpr std::size_t kRoleCount = 5;

// A role in one namespace, or in all of them ("*").
struct Grant {
  Role role = Role::kViewer;
  std::string name_space = "*";
};

struct Principal {
  std::string id;  // stable and shown in the audit record, for example "token:local"
  PrincipalKind kind = PrincipalKind::kPerson;
  std::vector<Grant> roles;
};

}  // namespace ez::security
