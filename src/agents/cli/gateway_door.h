// A door from a sandbox without network to the model gateway, and to nothing else: a port of the sandbox's
// own loopback whose connections are carried, byte by byte, to one address outside.
//
// The listening socket is made inside the sandbox's network namespace (a helper process enters it and hands
// the socket back), but served by a thread of the worker. So nothing of ours runs inside, the port is open
// before the command starts, and what is behind it cannot be chosen from inside.
//
// Bounds: kMaxDoorConnections at once, further ones are closed; two buffers of kDoorBuffer for each.
// Threads: open() from the thread that starts the sandbox, before its command runs; the destructor ends all
// connections.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"

namespace ez::agents {

inline constexpr std::uint16_t kDoorPort = 17'878;
inline constexpr std::size_t kMaxDoorConnections = 64;
inline constexpr std::size_t kDoorBuffer = 64 * 1024;

class GatewayDoor {
 public:
  // `url`: "http://HOST[:PORT]", whose host is looked up now. Errors: GATEWAY_MISSING (the address).
  [[nodiscard]] static Result<std::unique_ptr<GatewayDoor>> to(const std::string& url);
  ~GatewayDoor();

  // In the network of that process, which has to be one of its own. Once. SANDBOX_UNAVAILABLE.
  [[nodiscard]] Status open(pid_t inside);
  // What it is called inside.
  [[nodiscard]] static std::string url();

 private:
  class Impl;
  explicit GatewayDoor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ez::agents
