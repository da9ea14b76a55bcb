// The arguments of bubblewrap for one sandbox. Internal to sandbox.cc; apart because it is the list that a
// reviewer of the isolation reads.
#pragma once

#include <string>
#include <vector>

#include "agents/process.h"
#include "agents/sandbox.h"
#include "base/result.h"

namespace ez::agents {

struct SandboxCommand {
  std::vector<std::string>
      options;  // handed over by --args, so that neither values nor their number show in the process list
  std::vector<UniqueFd> held;                    // in-memory files that the options name
  std::vector<std::pair<int, int>> descriptors;  // {ours, number in bwrap}
  [[nodiscard]] std::string packed() const;      // each option followed by a zero byte
};

// The numbers that bwrap finds its own descriptors under.
inline constexpr int kArgsFd = 3;
inline constexpr int kSeccompFd = 4;
inline constexpr int kStatusFd = 5;
inline constexpr int kBlockFd = 6;
inline constexpr int kFirstFileFd = 10;
inline constexpr std::size_t kMaxFiles = 64;

// INVALID_ARGUMENT: a zero byte in a value, a relative path, too many files. IO_FAILED.
[[nodiscard]] Result<SandboxCommand> sandbox_command(const SandboxSpec& spec,
                                                     const Sandbox::Options& options);

}  // namespace ez::agents
