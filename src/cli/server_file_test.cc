#include "cli/server_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace ez::cli {
namespace {

class ServerFileTest : public testing::Test {
 protected:
  ServerFileTest() {
    char name[] = "/tmp/ez-server-file-XXXXXX";
    data_ = ::mkdtemp(name);
  }
  ~ServerFileTest() override { std::filesystem::remove_all(data_); }
  [[nodiscard]] Status write(std::int64_t pid) const {
    return write_server_file(data_, {"http://127.0.0.1:1", pid, process_start(pid), "1.2.3"});
  }
  std::string data_;
};

TEST_F(ServerFileTest, FindsARunningServer) {
  ASSERT_TRUE(write(::getpid()).ok());
  const auto found = find_server(data_);
  ASSERT_TRUE(found.ok());
  ASSERT_TRUE(found->has_value());
  EXPECT_EQ((*found)->url, "http://127.0.0.1:1");
  EXPECT_EQ((*found)->pid, ::getpid());
  EXPECT_EQ((*found)->version, "1.2.3");
  struct stat info {};
  ASSERT_EQ(::stat(server_file_path(data_).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
}

TEST_F(ServerFileTest, NoFileIsNoServer) {
  const auto found = find_server(data_);
  ASSERT_TRUE(found.ok());
  EXPECT_FALSE(found->has_value());
}

TEST_F(ServerFileTest, AProcessThatIsGoneIsNoServer) {
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    char byte = 0;
    ::close(pipe[1]);
    (void)!::read(pipe[0], &byte, 1);  // until the parent has looked
    ::_exit(0);
  }
  ::close(pipe[0]);
  ASSERT_TRUE(write(child).ok());
  EXPECT_TRUE(find_server(data_)->has_value());
  ::close(pipe[1]);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_FALSE(find_server(data_)->has_value());
}

TEST_F(ServerFileTest, AProcessIdOfAnotherProgramIsNoServer) {
  ASSERT_TRUE(write_server_file(data_, {"http://127.0.0.1:1", ::getpid(), "1", "1.2.3"}).ok());
  EXPECT_FALSE(find_server(data_)->has_value());
}

TEST_F(ServerFileTest, AFileThatIsNoJsonIsAnError) {
  std::ofstream(server_file_path(data_)) << "{\"url\":";
  const auto found = find_server(data_);
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code(), Code::IoFailed);
}

TEST_F(ServerFileTest, OnlyItsOwnerRemovesIt) {
  ASSERT_TRUE(write(::getpid()).ok());
  remove_server_file(data_, ::getpid() + 1);
  EXPECT_TRUE(std::filesystem::exists(server_file_path(data_)));
  remove_server_file(data_, ::getpid());
  EXPECT_FALSE(std::filesystem::exists(server_file_path(data_)));
}

}  // namespace
}  // namespace ez::cli
