#include "security/lease_keys.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "security/permission.h"
#include "security/token_file.h"

namespace ez::security {
namespace {

const std::string kSecret(43, 's');

TEST(LeaseKeys, AKeyReadsBackAndStaysTheSame) {
  const LeaseKeys keys(kSecret);
  const std::string key = keys.make(RunId{12}, Fence{345});
  EXPECT_EQ(key, LeaseKeys(kSecret).make(RunId{12}, Fence{345}));
  const auto lease = keys.read(key);
  ASSERT_TRUE(lease);
  EXPECT_EQ(lease->run, RunId{12});
  EXPECT_EQ(lease->fence, Fence{345});
}

TEST(LeaseKeys, TheEndOfAKeyIsAnHmacOfRunAndFence) {
  for (const std::size_t size : {32, 43, 64, 65, 200}) {
    const std::string secret(size, 'k');
    const std::string run = to_text(RunId{UINT64_MAX});
    const std::string text = "ez lease key 1\n" + run + "\n18446744073709551615";
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    ASSERT_NE(HMAC(EVP_sha256(), secret.data(), static_cast<int>(size),
                   reinterpret_cast<const unsigned char*>(text.data()), text.size(), bytes, &length),
              nullptr);
    const LeaseKeys keys(secret);
    EXPECT_EQ(
        keys.make(RunId{UINT64_MAX}, Fence{UINT64_MAX}),
        "ezl_" + run + "_18446744073709551615_" + base64url({reinterpret_cast<const char*>(bytes), length}));
  }
}

TEST(LeaseKeys, NothingElseIsAccepted) {
  const LeaseKeys keys(kSecret);
  const std::string key = keys.make(RunId{12}, Fence{345});
  for (std::size_t i = 0; i < key.size(); ++i) {
    std::string other = key;
    other[i] = other[i] == '1' ? '2' : '1';
    EXPECT_FALSE(keys.read(other)) << other;
    EXPECT_FALSE(keys.read(key.substr(0, i)));
  }
  EXPECT_FALSE(keys.read(key + "x"));
  EXPECT_FALSE(keys.read("ezl_r12_345_"));
  EXPECT_FALSE(keys.read("ezl_r12_-1_x"));
  EXPECT_FALSE(LeaseKeys(std::string(43, 't')).read(key));
}

TEST(LeaseKeys, ATaskMayCallModelsAndNothingElse) {
  const auto keys = std::make_shared<const LeaseKeys>(kSecret);
  const LeaseAuthenticator all(keys, std::make_shared<TokenAuthenticator>("the-token"));
  const auto task = all.authenticate(keys->make(RunId{1}, Fence{2}));
  ASSERT_TRUE(task.ok());
  EXPECT_EQ((*task)->id, "task:r1:2");
  EXPECT_EQ((*task)->lease, Fence{2});
  for (std::size_t i = 0; i < kPermissionCount; ++i) {
    const auto permission = static_cast<Permission>(i);
    EXPECT_EQ(decide(**task, permission, "any").allowed, permission == Permission::kModelCall);
  }
  EXPECT_EQ(all.authenticate("ezl_r1_2_guessed").error().code(), Code::Unauthenticated);
  const auto person = all.authenticate("the-token");
  ASSERT_TRUE(person.ok());
  EXPECT_FALSE((*person)->lease.valid());
}

}  // namespace
}  // namespace ez::security
