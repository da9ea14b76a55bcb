#include "security/authenticator.h"

#include "base/check.h"
#include "security/token_file.h"

namespace ez::security {

TokenAuthenticator::TokenAuthenticator(std::string token)
    : TokenAuthenticator(std::move(token),
                         Principal{"token:local", PrincipalKind::kPerson, {Grant{Role::kAdmin, "*"}}}) {}

TokenAuthenticator::TokenAuthenticator(std::string token, Principal principal)
    : token_(std::move(token)), principal_(std::make_shared<const Principal>(std::move(principal))) {
  EZ_CHECK(!token_.empty(), "an empty token would let everybody in");
}

Result<std::shared_ptr<const Principal>> TokenAuthenticator::authenticate(std::string_view token) const {
  if (!same_secret(token_, token)) return Error(Code::Unauthenticated, "the bearer token is not valid here");
  return principal_;
}

}  // namespace ez::security
