#include "agents/sandbox.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <atomic>
#include <thread>

#include "agents/process_tree.h"
#include "agents/test_support.h"

namespace ez::agents {
namespace {

using std::chrono::milliseconds;

class SandboxTest : public ::testing::Test {
 protected:
  void SetUp() override {
    EZ_NEED_SANDBOX();
    for (const char* name : {"work", "tmp"}) ASSERT_TRUE(make_folders(dir_ / name).ok());
    spec_.environment = {{"PATH", "/usr/bin:/bin"}, {"HOME", "/tmp"}};
    spec_.directory = "/workspace";
    spec_.mounts = {{dir_ / "work", "/workspace", true}, {dir_ / "tmp", "/tmp", true}};
    spec_.measured = {dir_ / "work", dir_ / "tmp"};
    spec_.timeout = milliseconds(60'000);
  }
  SandboxOutcome run(const std::string& script, const CancelToken* cancel = nullptr) {
    spec_.argv = {"/bin/bash", "-c", script};
    output_.clear();
    auto outcome = sandbox_.run(
        spec_,
        [this](std::string_view bytes) {
          output_ += bytes;
          if (on_output_) on_output_();
        },
        cancel);
    EXPECT_TRUE(outcome.ok()) << outcome.error().to_string();
    return outcome.ok() ? *outcome : SandboxOutcome{};
  }
  void expect_stopped(const SandboxOutcome& outcome, Code code) {
    ASSERT_TRUE(outcome.process.stopped) << "exit " << outcome.process.exit_code << "\n" << output_;
    EXPECT_EQ(outcome.process.stopped->code(), code) << outcome.process.stopped->to_string();
  }
  // Processes on the machine that have this word in their command line.
  static std::string processes_with(const std::string& word) {
    return user_shell("/", "for p in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $p 2>/dev/null | grep -q -- '" +
                               word + "[ ]' && echo $p; done; true");
  }

  TempDir dir_;
  Sandbox sandbox_;
  SandboxSpec spec_;
  std::string output_;
  std::function<void()> on_output_;
};

TEST_F(SandboxTest, RunsACommandAndGivesItsStatusAndOutput) {
  const SandboxOutcome outcome = run("id -un; pwd; echo made > file; echo oops >&2; exit 9");
  EXPECT_EQ(outcome.process.exit_code, 9);
  EXPECT_FALSE(outcome.process.stopped);
  EXPECT_EQ(output_, "ez\n/workspace\noops\n");
  EXPECT_EQ(slurp(dir_ / "work/file"), "made\n");
}

TEST_F(SandboxTest, SeesNoFileOutsideAndCannotWriteToTheSystem) {
  spill(dir_ / "secret", "top secret");
  const SandboxOutcome outcome =
      run("cat " + (dir_ / "secret") +
          " /etc/shadow /etc/ssh/sshd_config; ls /root /home /var/lib; "
          "for d in / /usr /etc /dev /run /proc/sys/kernel; do echo x > $d/ez-probe && echo WROTE $d; done; "
          "for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/self/oom_score_adj; do "
          "[ -w $f ] && ! (echo 1 > $f) 2>/dev/null || [ ! -w $f ] || echo WROTE $f; done; true");
  EXPECT_EQ(outcome.process.exit_code, 0);
  EXPECT_EQ(output_.find("top secret"), std::string::npos);
  EXPECT_EQ(output_.find("WROTE"), std::string::npos) << output_;
  EXPECT_NE(output_.find("No such file"), std::string::npos);
}

TEST_F(SandboxTest, ReadOnlyMountsAndFilesStaySo) {
  ASSERT_TRUE(make_folders(dir_ / "given").ok());
  spill(dir_ / "given/data", "data");
  spec_.mounts.push_back({dir_ / "given", "/given", false});
  spec_.files = {{"/ez/input.json", "{\"a\":1}"}};
  run("cat /given/data /ez/input.json; echo x > /given/data || echo refused1; rm /given/data || echo "
      "refused2; "
      "echo x > /ez/input.json || echo refused3; echo x > /ez/new || echo refused4");
  for (const char* text : {"data", "{\"a\":1}", "refused1", "refused2", "refused3", "refused4"}) {
    EXPECT_NE(output_.find(text), std::string::npos) << text << " in " << output_;
  }
  EXPECT_EQ(slurp(dir_ / "given/data"), "data");
}

TEST_F(SandboxTest, CannotReachALoopbackServerWithoutNetwork) {
  const UniqueFd server(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ASSERT_EQ(::bind(server.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(::listen(server.get(), 4), 0);
  ASSERT_EQ(::getsockname(server.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  const std::string script =
      "exec 7<>/dev/tcp/127.0.0.1/" + std::to_string(ntohs(address.sin_port)) + " && echo reached";
  EXPECT_NE(run(script).process.exit_code, 0);
  EXPECT_EQ(output_.find("reached"), std::string::npos);
  spec_.limits.network = true;
  EXPECT_EQ(run(script).process.exit_code, 0) << output_;
  EXPECT_NE(output_.find("reached"), std::string::npos);
}

TEST_F(SandboxTest, RefusesDangerousCalls) {
  run("unshare -U true 2>&1; unshare -m true 2>&1; mount -t tmpfs x /tmp 2>&1; nsenter -t 1 -m true 2>&1; "
      "grep -E 'Seccomp:|NoNewPrivs|CapEff' /proc/self/status; true");
  std::size_t refusals = 0;
  for (std::size_t at = output_.find("ermi"); at != std::string::npos; at = output_.find("ermi", at + 1))
    ++refusals;
  EXPECT_GE(refusals, 3U) << output_;
  EXPECT_NE(output_.find("Seccomp:\t2"), std::string::npos);
  EXPECT_NE(output_.find("NoNewPrivs:\t1"), std::string::npos);
  EXPECT_NE(output_.find("CapEff:\t0000000000000000"), std::string::npos);
}

TEST_F(SandboxTest, TheTasksEnvironmentDoesNotReachBwrapItself) {
  spec_.environment.emplace_back("LD_PRELOAD", dir_ / "work/evil.so");
  run("echo $LD_PRELOAD");
  // The loader complains once per program inside; had bwrap seen it, its own complaint would come before the
  // shell's.
  EXPECT_NE(output_.find("evil.so"), std::string::npos);
  spec_.environment = {{"A", "1"}};
  run("exec /usr/bin/env");
  EXPECT_EQ(output_.find("LD_PRELOAD"), std::string::npos);
  EXPECT_EQ(output_.find("HOME"), std::string::npos);
  EXPECT_NE(output_.find("A=1\n"), std::string::npos);
}

TEST_F(SandboxTest, StopsAForkBomb) {
  spec_.limits.processes = 64;
  const SandboxOutcome outcome = run("f() { f | f & }; f; sleep 30");
  expect_stopped(outcome, Code::ProcessLimit);
}

TEST_F(SandboxTest, StopsADiskFill) {
  spec_.limits.disk_mb = 40;
  const SandboxOutcome many =
      run("for i in $(seq 1000); do head -c 4000000 /dev/zero > f$i || exit 1; done; sleep 30");
  expect_stopped(many, Code::DiskLimit);
  EXPECT_LT(many.disk_bytes, 2000ULL * 1024 * 1024);
  user_shell(dir_.path(), "rm -rf work/* tmp/*");
  expect_stopped(run("head -c 80000000 /dev/zero > one"), Code::DiskLimit);
  user_shell(dir_.path(), "rm -rf work/* tmp/*");
  // Deleted but open files use disk as well.
  expect_stopped(run("for i in $(seq 10 40); do eval \"exec $i> tmpfile\"; rm tmpfile; head -c 8000000 "
                     "/dev/zero >&$i; done; sleep 30"),
                 Code::DiskLimit);
}

TEST_F(SandboxTest, StopsAMemoryHog) {
  spec_.limits.memory_mb = 100;
  const SandboxOutcome outcome = run("head -c 400000000 /dev/zero | tail; sleep 30");
  expect_stopped(outcome, Code::MemoryLimit);
  EXPECT_GT(outcome.peak_memory_bytes, 100'000'000U);
}

TEST_F(SandboxTest, StopsTooMuchCpuTimeOfAllProcessesTogether) {
  spec_.limits.cpu_s = 1;
  const SandboxOutcome outcome = run("for i in 1 2 3; do (while :; do :; done) & done; wait");
  expect_stopped(outcome, Code::CpuLimit);
}

TEST_F(SandboxTest, StopsTooMuchOutput) {
  spec_.limits.output_mb = 1;
  expect_stopped(run("yes"), Code::OutputLimit);
  EXPECT_EQ(output_.size(), 1024U * 1024U);
}

TEST_F(SandboxTest, TimeoutKillsGrandchildrenThatLeftTheSession) {
  spec_.timeout = milliseconds(400);
  spec_.grace = milliseconds(200);
  const SandboxOutcome outcome =
      run("trap '' TERM; setsid setsid bash -c 'trap \"\" TERM; while :; do sleep 0.1; done; echo "
          "ez-grandchild-marker ' & while :; do sleep 0.1; done");
  expect_stopped(outcome, Code::CommandTimeout);
  EXPECT_EQ(processes_with("ez-grandchild-marker"), "");
}

TEST_F(SandboxTest, GraceReachesTheCommandInside) {
  spec_.timeout = milliseconds(3'000);
  spec_.grace = milliseconds(20'000);
  const SandboxOutcome outcome = run("trap 'echo tidied; exit 0' TERM; while :; do sleep 0.05; done");
  expect_stopped(outcome, Code::CommandTimeout);
  EXPECT_NE(output_.find("tidied\n"), std::string::npos) << output_;
}

TEST_F(SandboxTest, CancelEndsEverythingAndBackgroundProcessesEndWithTheCommand) {
  CancelToken cancel;
  std::thread canceller;
  on_output_ = [&] {
    if (!canceller.joinable()) canceller = std::thread([&cancel] { cancel.cancel(); });
  };
  const SandboxOutcome outcome = run("echo up; exec sleep 3517", &cancel);
  canceller.join();
  expect_stopped(outcome, Code::TaskCancelled);
  on_output_ = nullptr;
  EXPECT_EQ(run("setsid sleep 3518 & setsid sleep 3519 > /dev/null 2>&1 & echo done").process.exit_code, 0);
  EXPECT_EQ(processes_with("sleep 351[0-9]"), "");
}

TEST_F(SandboxTest, NothingSurvivesKillMinusNineOfTheWorker) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t worker = ::fork();
  if (worker == 0) {
    spec_.argv = {"/bin/bash", "-c", "setsid sleep 3521 & echo up; sleep 3522"};
    auto outcome =
        sandbox_.run(spec_, [&](std::string_view) { [[maybe_unused]] auto n = ::write(ready[1], "x", 1); });
    ::_exit(0);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  const std::vector<pid_t> family = descendants(worker, 100);
  EXPECT_GE(family.size(), 3U);
  ::kill(worker, SIGKILL);
  ::waitpid(worker, nullptr, 0);
  // The kernel ends them one after another; a file lock or a pidfd would only tell of one, so look until they
  // are gone.
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  std::string left = "?";
  while (!left.empty() && std::chrono::steady_clock::now() < until) left = processes_with("sleep 352[12]");
  EXPECT_EQ(left, "");
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_F(SandboxTest, SaysSoWhenItCannotBeSetUp) {
  spec_.mounts.push_back({"/no/such/source", "/given", false});
  spec_.argv = {"/bin/true"};
  const auto outcome = sandbox_.run(spec_, [](std::string_view) {});
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.error().code(), Code::SandboxUnavailable);
  EXPECT_NE(outcome.error().message().find("/no/such/source"), std::string::npos);
  EXPECT_EQ(Sandbox(Sandbox::Options{"/no/such/bwrap", {}}).probe().error().code(), Code::SandboxUnavailable);
  EXPECT_EQ(Sandbox(Sandbox::Options{"/bin/false", {}}).probe().error().code(), Code::SandboxUnavailable);
}

}  // namespace
}  // namespace ez::agents
