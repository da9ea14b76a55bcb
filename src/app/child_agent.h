// The embedded worker: a child process `ez agent` of the server, started again when it ends, with growing
// pauses.
//
// Its own process, so that what a task does to memory or descriptors never reaches the server, and so that it
// is the same worker as on any other machine. It dies with the server (parent-death signal; that signal is
// tied to the thread that started the child, so one thread starts it, waits for it and lives until stop()).
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace ez::app {

class ChildAgent {
 public:
  static constexpr std::chrono::milliseconds kFirstPause{200};
  static constexpr std::chrono::milliseconds kLongestPause{10'000};
  static constexpr std::chrono::milliseconds kSteady{30'000};  // a life that long resets the pause

  // The program is this one; argv[0] is the name that it shows.
  explicit ChildAgent(std::vector<std::string> argv);
  ~ChildAgent();  // stop() without patience

  // SIGTERM, and SIGKILL when it has not ended after `patience`. Idempotent.
  void stop(std::chrono::milliseconds patience);

 private:
  void run();
  // One life of the child; false: it could not be started or stop() was called.
  void live_once();

  const std::vector<std::string> argv_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  int pid_ = 0;  // 0: none alive; guarded by mutex_
  std::thread thread_;
};

}  // namespace ez::app
