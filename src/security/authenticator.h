// Authenticator: from a credential to a Principal. The token file is the embedded default; OIDC, mTLS and API
// keys are further implementations of this interface.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "security/principal.h"

namespace ez::security {

class Authenticator {
 public:
  virtual ~Authenticator() = default;
  // The principal behind a bearer token. Must not block; thread-safe. The pointer is shared because requests
  // that wait for a long time keep their principal while tokens come and go. Errors: UNAUTHENTICATED, never
  // naming the token.
  [[nodiscard]] virtual Result<std::shared_ptr<const Principal>> authenticate(
      std::string_view token) const = 0;
};

// One token, one principal: the holder of <data>/token is "token:local" with the role admin.
class TokenAuthenticator final : public Authenticator {
 public:
  explicit TokenAuthenticator(std::string token);
  TokenAuthenticator(std::string token, Principal principal);
  [[nodiscard]] Result<std::shared_ptr<const Principal>> authenticate(std::string_view token) const override;

 private:
  std::string token_;
  std::shared_ptr<const Principal> principal_;
};

}  // namespace ez::security
