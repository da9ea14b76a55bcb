// Shard: one I/O thread with its loop, its connections and what they share. Internal to http/.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "http/connection.h"
#include "http/server.h"

namespace ez::http {

// What all shards of a server share.
struct ServerShared {
  ServerOptions options;
  Router router;
  Gate gate;
  std::atomic<std::uint64_t> connections{0}, accepted{0}, refused{0}, requests{0};
};

class Shard final : public LoopOwner {
 public:
  static constexpr std::size_t kReadBytes = 64 * 1024;

  Shard(std::shared_ptr<EventLoop> loop, ServerShared& shared);
  ~Shard() override;

  void run() { loop_->run(*this); }
  // Loop thread (or any, before run()): takes over a connected socket. `beyond_limit`: only to be told
  // SERVER_BUSY.
  void adopt(int fd, bool beyond_limit);
  // Any thread; ends run() when all connections are gone or at the deadline.
  void stop(std::int64_t deadline_us);
  std::int64_t round_done(std::int64_t now_us) override;
  // Any thread: adopt() on the loop. Closes the socket when the loop has ended.
  void hand_over(int fd, bool beyond_limit);
  // Called on the loop thread once when stop() arrives.
  std::function<void()> on_stop;

  // For connections.
  [[nodiscard]] const std::shared_ptr<EventLoop>& loop() const { return loop_; }
  [[nodiscard]] ServerShared& shared() { return shared_; }
  [[nodiscard]] const ServerOptions& options() const { return shared_.options; }
  [[nodiscard]] bool draining() const { return draining_; }
  void set_deadline(Connection& connection, Deadline deadline) {
    deadlines_[static_cast<std::size_t>(deadline)].add(connection, loop_->now_us());
  }
  [[nodiscard]] std::unique_ptr<Incoming> lend_incoming();
  void give_back(std::unique_ptr<Incoming> incoming);
  [[nodiscard]] std::string fresh_request_id();
  [[nodiscard]] const std::string& date();
  void bury(Connection& connection);

  std::unique_ptr<char[]> read_buffer;  // kReadBytes, for the connection that reads just now
  std::string write_buffer;             // for the connection that answers just now

 private:
  const std::shared_ptr<EventLoop> loop_;
  ServerShared& shared_;
  std::array<DeadlineQueue, kDeadlineCount> deadlines_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<std::unique_ptr<Connection>>
      buried_;  // until the end of the round, as events may still name them
  std::vector<std::unique_ptr<Incoming>> spare_;
  std::size_t beyond_limit_ = 0;
  std::string id_prefix_;
  std::uint64_t id_count_ = 0;
  std::string date_;
  std::int64_t date_s_ = 0;
  bool draining_ = false;
  std::int64_t stop_deadline_us_ = 0;
};

}  // namespace ez::http
