#include "agents/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <thread>

namespace ez::agents {
namespace {

using std::chrono::milliseconds;

ProcessSpec shell(std::string script) {
  ProcessSpec spec;
  spec.argv = {"/bin/sh", "-c", std::move(script)};
  spec.environment = {"PATH=/usr/bin:/bin", "ANSWER=42"};
  return spec;
}

TEST(Process, GivesOutputExitCodeAndOnlyTheGivenEnvironment) {
  const auto outcome = run_process(shell("echo out $ANSWER; echo err >&2; echo \"[$HOME]\"; exit 7"));
  ASSERT_TRUE(outcome.ok()) << outcome.error().to_string();
  EXPECT_EQ(outcome->exit_code, 7);
  EXPECT_EQ(outcome->out, "out 42\n[]\n");
  EXPECT_EQ(outcome->err, "err\n");
  EXPECT_FALSE(outcome->stopped);
}

TEST(Process, FeedsInputAndEndsIt) {
  ProcessSpec spec = shell("cat; echo end");
  spec.input = "line\n";
  EXPECT_EQ(run_process(spec)->out, "line\nend\n");
  spec.input.clear();
  EXPECT_EQ(run_process(spec)->out, "end\n");
}

TEST(Process, NamesWhatCouldNotBeStarted) {
  ProcessSpec spec;
  spec.argv = {"/no/such/program"};
  const auto missing = run_process(spec);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code(), Code::InvalidArgument);
  EXPECT_NE(missing.error().message().find("/no/such/program"), std::string::npos);
  ProcessSpec nowhere = shell("true");
  nowhere.directory = "/no/such/directory";
  EXPECT_EQ(run_process(nowhere).error().code(), Code::InvalidArgument);
}

TEST(Process, OnlyListedDescriptorsReachTheChild) {
  const auto bytes = memory_file("secret", "x");
  ASSERT_TRUE(bytes.ok());
  const int leaked =
      ::fcntl(bytes->get(), F_DUPFD, 50);  // without O_CLOEXEC, as a careless library would leave it
  ASSERT_GE(leaked, 50);
  ProcessSpec spec = shell("[ -e /proc/$$/fd/5 ] && echo 5; [ -e /proc/$$/fd/" + std::to_string(leaked) +
                           " ] && echo leaked; cat <&5");
  spec.descriptors = {{bytes->get(), 5}};
  const auto outcome = run_process(spec);
  ::close(leaked);
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->out, "5\nx");
}

TEST(Process, DeadlineKillsTheWholeGroupEvenWhenSigtermIsIgnored) {
  ProcessSpec spec = shell(
      "trap '' TERM; (trap '' TERM; while :; do sleep 0.05; done) & echo $!; while :; do sleep 0.05; done");
  spec.timeout = milliseconds(1500);
  spec.grace = milliseconds(100);
  const auto outcome = run_process(spec);
  ASSERT_TRUE(outcome.ok());
  ASSERT_TRUE(outcome->stopped);
  EXPECT_EQ(outcome->stopped->code(), Code::CommandTimeout);
  EXPECT_EQ(outcome->signal, SIGKILL);
  EXPECT_LT(outcome->duration, milliseconds(6'350));
  const pid_t grandchild = std::stoi(outcome->out);
  // It was killed with its group. Who dies closes what it has open first, and is a zombie of init then.
  std::string state;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  do {
    std::ifstream stat("/proc/" + std::to_string(grandchild) + "/stat");
    std::string pid;
    std::string name;
    state = "gone";
    stat >> pid >> name >> state;
  } while (state != "gone" && state != "Z" && state != "X" && std::chrono::steady_clock::now() < end);
  EXPECT_TRUE(state == "gone" || state == "Z" || state == "X") << state;
}

TEST(Process, GraceLetsACommandTidyUp) {
  ProcessSpec spec = shell("trap 'echo tidy; exit 3' TERM; echo ready; while :; do sleep 0.02; done");
  spec.timeout = milliseconds(1500);
  spec.grace = milliseconds(5000);
  const auto outcome = run_process(spec);
  EXPECT_EQ(outcome->out, "ready\ntidy\n");
  EXPECT_EQ(outcome->exit_code, 3);
  EXPECT_EQ(outcome->stopped->code(), Code::CommandTimeout);
}

TEST(Process, CancelFromAnotherThread) {
  class Ready final : public ProcessHooks {
   public:
    explicit Ready(CancelToken& token) : token_(token) {}
    bool output(std::string_view) override {
      canceller_ = std::thread([this] { token_.cancel(); });
      return true;
    }
    ~Ready() override {
      if (canceller_.joinable()) canceller_.join();
    }

   private:
    CancelToken& token_;
    std::thread canceller_;
  };
  CancelToken token;
  Ready hooks(token);
  const auto outcome = run_process(shell("echo ready; exec sleep 600"), &hooks, &token);
  ASSERT_TRUE(outcome->stopped);
  EXPECT_EQ(outcome->stopped->code(), Code::TaskCancelled);
  EXPECT_EQ(run_process(shell("true"), nullptr, &token)->stopped->code(), Code::TaskCancelled);
}

TEST(Process, OutputIsBounded) {
  ProcessSpec spec = shell("while :; do echo 0123456789012345678901234567890123456789; done");
  spec.max_output_bytes = 100'000;
  const auto outcome = run_process(spec);
  ASSERT_TRUE(outcome->stopped);
  EXPECT_EQ(outcome->stopped->code(), Code::OutputLimit);
  EXPECT_EQ(outcome->out.size(), 100'000U);
  ProcessSpec capture = shell("head -c 5000 /dev/zero");
  capture.max_capture_bytes = 1000;
  const auto cut = run_process(capture);
  EXPECT_EQ(cut->out.size(), 1000U);
  EXPECT_TRUE(cut->cut);
  EXPECT_EQ(cut->exit_code, 0);
}

TEST(Process, ReturnsWhileAnEscapedDescendantHoldsThePipe) {
  const auto outcome = run_process(shell("setsid sleep 5 & echo done"));
  EXPECT_EQ(outcome->out, "done\n");
  EXPECT_LT(outcome->duration, milliseconds(4000));
}

TEST(Process, HooksMayStopIt) {
  class Stopper final : public ProcessHooks {
   public:
    Status tick() override { return ++ticks_ < 3 ? Status() : Status(Error(Code::InputInvalid, "enough")); }
    int ticks_ = 0;
  };
  Stopper hooks;
  ProcessSpec spec = shell("exec sleep 600");
  spec.tick = milliseconds(5);
  const auto outcome = run_process(spec, &hooks);
  EXPECT_EQ(outcome->stopped->code(), Code::InputInvalid);
  EXPECT_EQ(hooks.ticks_, 3);
}

TEST(Process, ManyThreadsAtOnce) {
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&good, t] {
      for (int i = 0; i < 20; ++i) {
        const auto outcome = run_process(shell("echo " + std::to_string(t * 100 + i)));
        if (outcome.ok() && outcome->out == std::to_string(t * 100 + i) + "\n") good.fetch_add(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good.load(), 160);
}

}  // namespace
}  // namespace ez::agents
