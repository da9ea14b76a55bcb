// Wire: one TCP connection of the client with deadlines and cancellation. Internal to http/. One thread at a
// time.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "http/client.h"
#include "http/url.h"

namespace ez::http {

// What ends a wait early.
struct WaitLimits {
  std::int64_t deadline_us = 0;  // monotonic
  std::vector<const Cancellation*> cancellations;
  int cancel_descriptor = -1;  // -1: none
};

class Wire {
 public:
  Wire() = default;
  ~Wire();
  Wire(Wire&& other) noexcept;
  Wire& operator=(Wire&& other) noexcept;

  // Tries the addresses of the host one after the other. Errors: SERVER_UNREACHABLE, CALL_CANCELLED. The
  // look-up of a name (not of a literal address) may take longer than the deadline: the system's resolver
  // cannot be interrupted.
  [[nodiscard]] static Result<Wire> connect(const ServerAddress& address, const WaitLimits& limits);

  // Errors of both: SERVER_UNREACHABLE (broken or too late), CALL_CANCELLED.
  // Sends as much as it can; returns early with what was sent when the peer has already answered.
  [[nodiscard]] Result<std::size_t> send(std::string_view bytes, const WaitLimits& limits);
  // At least one byte, or 0 when the peer has closed.
  [[nodiscard]] Result<std::size_t> receive(char* buffer, std::size_t size, const WaitLimits& limits);

  // Whether an unused connection is still open and silent.
  [[nodiscard]] bool fresh() const;
  [[nodiscard]] explicit operator bool() const { return fd_ >= 0; }
  std::int64_t idle_since_us = 0;

 private:
  explicit Wire(int fd) : fd_(fd) {}
  [[nodiscard]] Result<short> wait(short events, const WaitLimits& limits) const;
  int fd_ = -1;
};

}  // namespace ez::http
