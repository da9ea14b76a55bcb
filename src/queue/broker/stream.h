// Stream: one TCP connection, plain or TLS (OpenSSL), non-blocking inside, with deadlines outside. Debian's
// hiredis has no TLS; its reader gets its bytes from here.
//
// Threads: one at a time. Errors: QUEUE_UNREACHABLE (no connection, broke, took too long), QUEUE_TLS_FAILED
// (certificate), QUEUE_PROTOCOL (what answers does not speak TLS).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "queue/broker/options.h"

namespace ez::queue::broker {

class Stream {
 public:
  // Connects, and shakes hands when options.tls is set.
  [[nodiscard]] static Result<std::unique_ptr<Stream>> connect(const BrokerOptions& options,
                                                               const Address& address);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  [[nodiscard]] Status write(std::string_view bytes, std::int64_t deadline_us);
  // At least one byte, at most `size`.
  [[nodiscard]] Result<std::size_t> read(char* buffer, std::size_t size, std::int64_t deadline_us);
  // For poll; bytes that TLS has decrypted already are not seen there: ask buffered() first.
  [[nodiscard]] int descriptor() const;
  [[nodiscard]] bool buffered() const;

 private:
  struct Impl;
  explicit Stream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ez::queue::broker
