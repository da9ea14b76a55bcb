#include "security/token_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <set>
#include <thread>
#include <vector>

#include "security/authenticator.h"

namespace ez::security {
namespace {

class TokenFile : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "ez-token-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    file_ = folder_ / "token";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void write(const std::string& text, mode_t mode) {
    std::ofstream(file_) << text;
    ASSERT_EQ(::chmod(file_.c_str(), mode), 0);
  }
  std::filesystem::path folder_, file_;
};

TEST_F(TokenFile, IsMadeOnceWithTightModeAndReadBack) {
  const auto first = load_or_create_token(file_);
  ASSERT_TRUE(first.ok()) << first.error().to_string();
  EXPECT_EQ(first->size(), 43u);
  struct stat facts {};
  ASSERT_EQ(::stat(file_.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
  const auto second = load_or_create_token(file_);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(*first, *second);
  // Nothing is left aside.
  EXPECT_EQ(
      std::distance(std::filesystem::directory_iterator(folder_), std::filesystem::directory_iterator()), 1);
}

TEST_F(TokenFile, ConcurrentStartsAgree) {
  std::vector<std::string> tokens(8);
  std::vector<std::thread> threads;
  for (std::string& token : tokens) {
    threads.emplace_back([&] {
      const auto loaded = load_or_create_token(file_);
      if (loaded.ok()) token = *loaded;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(std::set<std::string>(tokens.begin(), tokens.end()).size(), 1u);
  EXPECT_EQ(tokens[0].size(), 43u);
}

TEST_F(TokenFile, OneThatOthersCanReadIsRefusedWithTheRemedy) {
  for (const mode_t mode : {0644u, 0640u, 0620u, 0604u}) {
    ASSERT_TRUE(std::filesystem::remove(file_) || !std::filesystem::exists(file_));
    write(std::string(43, 'a') + "\n", mode);
    const auto loaded = load_or_create_token(file_);
    ASSERT_FALSE(loaded.ok()) << std::oct << mode;
    EXPECT_EQ(loaded.error().code(), Code::TokenFileUnsafe);
    EXPECT_NE(loaded.error().hint().find("chmod 600 " + file_.string()), std::string::npos);
  }
}

TEST_F(TokenFile, WrongContentIsRefused) {
  for (const std::string& text :
       {std::string(), std::string("short\n"), std::string(43, '/'), std::string(60, 'a')}) {
    write(text, 0600);
    const auto loaded = load_or_create_token(file_);
    ASSERT_FALSE(loaded.ok()) << text;
    EXPECT_EQ(loaded.error().code(), Code::TokenFileUnsafe);
    EXPECT_EQ(loaded.error().message().find(text.empty() ? "?" : text), std::string::npos)
        << "content leaked";
  }
}

TEST_F(TokenFile, LinksAndFoldersAreRefused) {
  std::ofstream(folder_ / "other") << std::string(43, 'a');
  std::filesystem::create_symlink(folder_ / "other", file_);
  EXPECT_EQ(load_or_create_token(file_).error().code(), Code::TokenFileUnsafe);
  std::filesystem::remove(file_);
  std::filesystem::create_directory(file_);
  EXPECT_EQ(load_or_create_token(file_).error().code(), Code::TokenFileUnsafe);
}

TEST_F(TokenFile, MissingFolderAndMissingFileAreIoErrors) {
  EXPECT_EQ(load_or_create_token(folder_ / "none" / "token").error().code(), Code::IoFailed);
  EXPECT_EQ(read_token(file_).error().code(), Code::IoFailed);
}

TEST(Secrets,
     Base64UrlVectors) {  // RFC 4648 section 10, without padding, and the two characters of base64url
  EXPECT_EQ(base64url(""), "");
  EXPECT_EQ(base64url("f"), "Zg");
  EXPECT_EQ(base64url("fo"), "Zm8");
  EXPECT_EQ(base64url("foo"), "Zm9v");
  EXPECT_EQ(base64url("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64url("\xfb\xff\xfe"), "-__-");
}

TEST(Secrets, CompareWholeTexts) {
  EXPECT_TRUE(same_secret("abc", "abc"));
  EXPECT_FALSE(same_secret("abc", "abd"));
  EXPECT_FALSE(same_secret("abc", "abcd"));
  EXPECT_FALSE(same_secret("abc", ""));
}

TEST(TokenAuthenticator, OnlyTheTokenOpens) {
  const TokenAuthenticator authenticator("secret");
  const auto principal = authenticator.authenticate("secret");
  ASSERT_TRUE(principal.ok());
  EXPECT_EQ((*principal)->id, "token:local");
  for (const char* wrong : {"", "secre", "secret ", "SECRET"}) {
    const auto refused = authenticator.authenticate(wrong);
    ASSERT_FALSE(refused.ok()) << wrong;
    EXPECT_EQ(refused.error().code(), Code::Unauthenticated);
  }
}

}  // namespace
}  // namespace ez::security
