// Listener: the bound socket. Accepts on the loop of the first shard and spreads the connections over all.
// Internal.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "http/event_loop.h"
#include "http/shard.h"

namespace ez::http {

class Listener final : public Watcher {
 public:
  // Errors: INVALID_ARGUMENT, ADDRESS_IN_USE, IO_FAILED.
  [[nodiscard]] static Result<std::unique_ptr<Listener>> bind(const ServerOptions& options);
  ~Listener() override;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  // `shards` outlive the listening. Before the first shard runs.
  [[nodiscard]] Status start(std::vector<std::unique_ptr<Shard>>& shards);
  void stop();  // on the first shard's loop
  void ready(std::uint32_t events) override;

 private:
  Listener(int fd, int reserve, std::uint16_t port) : fd_(fd), reserve_(reserve), port_(port) {}
  void place(int fd);
  void shed_without_descriptors();

  int fd_;
  int reserve_;  // given up for a moment to turn a client away when the process has no descriptor left
  const std::uint16_t port_;
  std::vector<std::unique_ptr<Shard>>* shards_ = nullptr;
  std::size_t next_ = 0;
};

}  // namespace ez::http
