// What the tests of this room share: a temporary folder, a real git repository, and the question whether the
// kernel lets bubblewrap work. Used by *_test.cc only.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

#include "agents/files.h"
#include "agents/process.h"
#include "agents/sandbox.h"

namespace ez::agents {

class TempDir {
 public:
  TempDir() {
    char name[] = "/tmp/ez-agents-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  ~TempDir() { EXPECT_TRUE(remove_tree(path_).ok()); }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline std::string slurp(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

inline void spill(const std::string& path, const std::string& text) {
  const std::size_t slash = path.rfind('/');
  EXPECT_TRUE(make_folders(path.substr(0, slash)).ok());
  std::ofstream(path) << text;
}

// Runs a script outside of any sandbox, as a user at a terminal would, and gives its trimmed output.
inline std::string user_shell(const std::string& directory, const std::string& script) {
  ProcessSpec spec;
  spec.argv = {"/bin/sh", "-ec", script};
  spec.environment = {"PATH=/usr/bin:/bin",
                      "HOME=" + directory,
                      "GIT_CONFIG_NOSYSTEM=1",
                      "GIT_AUTHOR_NAME=user",
                      "GIT_AUTHOR_EMAIL=u@localhost",
                      "GIT_COMMITTER_NAME=user",
                      "GIT_COMMITTER_EMAIL=u@localhost"};
  spec.directory = directory;
  auto outcome = run_process(spec);
  EXPECT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->exit_code, 0) << script << "\n" << outcome->err;
  std::string out = outcome->out;
  while (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

// A repository with one commit on main: README and src/a.txt.
inline std::string make_repository(const TempDir& dir, const std::string& name = "repo") {
  const std::string path = dir / name;
  EXPECT_TRUE(make_folders(path).ok());
  user_shell(path,
             "git init -q -b main . && echo hello > README && mkdir src && printf '1\\n2\\n3\\n4\\n5\\n' > "
             "src/a.txt && "
             "git add -A && git commit -qm first");
  return path;
}

}  // namespace ez::agents

// The thread sanitizer starts a thread of its own in a forked child, which counts as a process and may not
// enter a user namespace.
#ifdef __SANITIZE_THREAD__
#define EZ_NEED_CHILDREN_WITHOUT_THREADS() GTEST_SKIP() << "the thread sanitizer has a thread in each child"
#else
#define EZ_NEED_CHILDREN_WITHOUT_THREADS() static_cast<void>(0)
#endif

// Skips a test where the kernel refuses sandboxes, and says so.
#define EZ_NEED_SANDBOX()                                                                              \
  do {                                                                                                 \
    /* Once: a sandbox that worked and later does not is a failure, not a reason to skip. */           \
    static const ::ez::Status ez_probe = ::ez::agents::Sandbox().probe();                              \
    if (!ez_probe.ok()) GTEST_SKIP() << "no sandbox on this kernel: " << ez_probe.error().to_string(); \
  } while (false)
