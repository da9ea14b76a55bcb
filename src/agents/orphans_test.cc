#include "agents/orphans.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

namespace ez::agents {
namespace {

TEST(Orphans, TheSandboxOfALiveWorkerIsLeftAlone) {
  const std::string variable = sandbox_owner_variable();
  EXPECT_EQ(variable, "EZ_SANDBOX_OWNER=" + std::to_string(::getpid()));
  // Our own child with the variable; the crash test sees to those of dead workers.
  const pid_t mine = ::fork();
  ASSERT_GE(mine, 0);
  if (mine == 0) {
    char* environment[] = {const_cast<char*>(variable.c_str()), nullptr};
    char* arguments[] = {const_cast<char*>("cat"), nullptr};
    int never[2];
    if (::pipe(never) != 0) ::_exit(1);
    ::dup2(never[0], 0);
    ::execve("/bin/cat", arguments, environment);
    ::_exit(1);
  }
  kill_orphaned_sandboxes();
  EXPECT_EQ(::kill(mine, 0), 0);
  EXPECT_EQ(::waitpid(mine, nullptr, WNOHANG), 0);
  ::kill(mine, SIGKILL);
  ::waitpid(mine, nullptr, 0);
}

}  // namespace
}  // namespace ez::agents
