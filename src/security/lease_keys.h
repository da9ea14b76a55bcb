// Keys of tasks: what an agent uses instead of a provider's key while it holds a lease. A key is derived, not
// stored: "ezl_r12_345_" and an HMAC-SHA-256 of run and fence under the server's secret, so it survives a
// restart, cannot be guessed and says nothing about any other. Whether its lease still lives is asked when it
// is used.
//
// Immutable and thread-safe.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "security/authenticator.h"

namespace ez::security {

class LeaseKeys {
 public:
  static constexpr std::string_view kPrefix = "ezl_";

  // `secret`: that of <data>/gateway.secret (security/token_file.h).
  explicit LeaseKeys(std::string secret);

  [[nodiscard]] std::string make(RunId run, Fence fence) const;
  struct Lease {
    RunId run;
    Fence fence;
  };
  // Nothing for what make() did not give.
  [[nodiscard]] std::optional<Lease> read(std::string_view key) const;

 private:
  [[nodiscard]] std::string mac(RunId run, Fence fence) const;
  const std::string secret_;
};

// Keys of tasks are principals of their own ("task:r12:345", role task); everything else is asked of
// `others`.
class LeaseAuthenticator final : public Authenticator {
 public:
  LeaseAuthenticator(std::shared_ptr<const LeaseKeys> keys, std::shared_ptr<const Authenticator> others)
      : keys_(std::move(keys)), others_(std::move(others)) {}
  [[nodiscard]] Result<std::shared_ptr<const Principal>> authenticate(std::string_view token) const override;

 private:
  const std::shared_ptr<const LeaseKeys> keys_;
  const std::shared_ptr<const Authenticator> others_;
};

}  // namespace ez::security
