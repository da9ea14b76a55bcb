#include "security/lease_keys.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <array>
#include <charconv>

#include "base/check.h"
#include "security/token_file.h"

namespace ez::security {

namespace {

constexpr std::size_t kBlock = 64;  // of SHA-256
using Digest = std::array<unsigned char, EVP_MAX_MD_SIZE>;

class Hash {
 public:
  Hash() : context_(EVP_MD_CTX_new()) { EZ_CHECK(context_ != nullptr, "no memory for a hash"); }
  ~Hash() { EVP_MD_CTX_free(context_); }
  Hash(const Hash&) = delete;
  Hash& operator=(const Hash&) = delete;

  Hash& begin() {
    EZ_CHECK(EVP_DigestInit_ex(context_, EVP_sha256(), nullptr) == 1, "SHA-256 is not available");
    return *this;
  }
  Hash& continue_from(const Hash& other) {
    EZ_CHECK(EVP_MD_CTX_copy_ex(context_, other.context_) == 1, "a hash cannot be copied");
    return *this;
  }
  Hash& add(const void* bytes, std::size_t size) {
    EZ_CHECK(EVP_DigestUpdate(context_, bytes, size) == 1, "SHA-256 update failed");
    return *this;
  }
  unsigned int end(Digest& out) {
    unsigned int size = 0;
    EZ_CHECK(EVP_DigestFinal_ex(context_, out.data(), &size) == 1, "SHA-256 finish failed");
    return size;
  }

 private:
  EVP_MD_CTX* const context_;
};

// HMAC (RFC 2104) hashes a block made of the secret before anything else, twice. Each task that is handed out
// has a key, so those two states are kept and copied: a third of the cost of starting from the secret.
class Keyed {
 public:
  // Its size.
  unsigned int mac(std::string_view secret, std::string_view text, Digest& out) {
    if (secret != secret_) use(secret);
    const unsigned int size = hash_.continue_from(inner_).add(text.data(), text.size()).end(out);
    return hash_.continue_from(outer_).add(out.data(), size).end(out);
  }

 private:
  void use(std::string_view secret) {
    secret_ = secret;
    Digest key{};
    static_assert(EVP_MAX_MD_SIZE >= kBlock);
    if (secret.size() > kBlock) {
      inner_.begin().add(secret.data(), secret.size()).end(key);
    } else {
      secret.copy(reinterpret_cast<char*>(key.data()), secret.size());
    }
    for (std::size_t i = 0; i < kBlock; ++i) key[i] ^= 0x36;
    inner_.begin().add(key.data(), kBlock);
    for (std::size_t i = 0; i < kBlock; ++i) key[i] ^= 0x36 ^ 0x5c;
    outer_.begin().add(key.data(), kBlock);
    OPENSSL_cleanse(key.data(), key.size());
  }
  std::string secret_;
  Hash hash_, inner_, outer_;
};

}  // namespace

LeaseKeys::LeaseKeys(std::string secret) : secret_(std::move(secret)) {
  EZ_CHECK(secret_.size() >= 32, "a secret that can be guessed");
}

std::string LeaseKeys::mac(RunId run, Fence fence) const {
  static thread_local Keyed keyed;  // of one secret at a time: a server has one
  const std::string text = "ez lease key 1\n" + to_text(run) + "\n" + std::to_string(fence.value);
  Digest bytes{};
  const unsigned int size = keyed.mac(secret_, text, bytes);
  return base64url({reinterpret_cast<const char*>(bytes.data()), size});
}

std::string LeaseKeys::make(RunId run, Fence fence) const {
  std::string key(kPrefix);
  key.reserve(96);
  key.append(to_text(run))
      .append("_")
      .append(std::to_string(fence.value))
      .append("_")
      .append(mac(run, fence));
  return key;
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
