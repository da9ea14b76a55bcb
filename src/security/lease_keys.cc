#include "security/lease_keys.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <charconv>

#include "base/check.h"
#include "security/token_file.h"

namespace ez::security {

LeaseKeys::LeaseKeys(std::string secret) : secret_(std::move(secret)) {
  EZ_CHECK(secret_.size() >= 32, "a secret that can be guessed");
}

std::string LeaseKeys::mac(RunId run, Fence fence) const {
  const std::string text = "ez lease key 1\n" + to_text(run) + "\n" + std::to_string(fence.value);
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned int size = 0;
  const unsigned char* made =
      HMAC(EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(), bytes.data(), &size);
  EZ_CHECK(made != nullptr, "HMAC failed");
  return base64url({reinterpret_cast<const char*>(bytes.data()), size});
}

std::string LeaseKeys::make(RunId run, Fence fence) const {
  return std::string(kPrefix) + to_text(run) + "_" + std::to_string(fence.value) + "_" + mac(run, fence);
}

std::optional<LeaseKeys::Lease> LeaseKeys::read(std::string_view key) const {
  if (!key.starts_with(kPrefix)) return std::nullopt;
  std::string_view rest = key.substr(kPrefix.size());
  const std::size_t first = rest.find('_');
  if (first == std::string_view::npos) return std::nullopt;
  const auto run = parse_run_id(rest.substr(0, first));
  rest.remove_prefix(first + 1);
  const std::size_t second = rest.find('_');
  if (!run || second == std::string_view::npos) return std::nullopt;
  Fence fence;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + second, fence.value);
  if (error != std::errc() || end != rest.data() + second || !fence.valid()) return std::nullopt;
  if (!same_secret(mac(*run, fence), rest.substr(second + 1))) return std::nullopt;
  return Lease{*run, fence};
}

Result<std::shared_ptr<const Principal>> LeaseAuthenticator::authenticate(std::string_view token) const {
  if (!token.starts_with(LeaseKeys::kPrefix)) return others_->authenticate(token);
  const auto lease = keys_->read(token);
  if (!lease) return Error(Code::Unauthenticated, "the key of a task is not valid here");
  auto principal = std::make_shared<Principal>();
  principal->id = "task:" + to_text(lease->run) + ":" + std::to_string(lease->fence.value);
  principal->kind = PrincipalKind::kAgent;
  principal->roles = {{Role::kTask, "*"}};
  principal->run = lease->run;
  principal->lease = lease->fence;
  return std::shared_ptr<const Principal>(std::move(principal));
}

}  // namespace ez::security
