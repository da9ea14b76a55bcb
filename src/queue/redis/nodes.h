// Nodes: the connections of one session to the server that is responsible for a topic. Standalone: the first
// address that answers. Sentinel: the primary that the Sentinels name. Cluster: by hash slot, following
// MOVED. ASK is not followed: while a slot moves, the keys of a topic are at two servers, and a script would
// see half of them; it is refused (retry) until all have moved.
//
// Threads: one at a time. An error of Nodes ends the session that uses it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "queue/redis/connection.h"

namespace ez::queue::redis {

// Of a key without braces in its tag (or of the tag itself): CRC16/XMODEM modulo 16384.
[[nodiscard]] std::uint16_t slot_of(std::string_view tag);

class Nodes {
 public:
  explicit Nodes(const RedisOptions& options) : options_(options) {}

  // Where commands for this tag go; connects when there is no connection yet.
  [[nodiscard]] Result<Connection*> of(std::string_view tag);
  // A server's refusal of a command for this tag: when it says that the slot has moved, asks of(tag) as it is
  // then. Everything else is given back as it is. No reply may be under way.
  [[nodiscard]] Result<Reply> redirect(std::string_view tag, Reply refusal, const Words& words);
  // One command and its reply; refusals are errors.
  [[nodiscard]] Result<Reply> ask(std::string_view tag, const Words& words);
  // A connection of this one to the server that a connection of another one has.
  [[nodiscard]] Result<Connection*> beside(const Nodes& other, const Connection* connection);

 private:
  [[nodiscard]] Result<Connection*> connect(const std::string& address);
  [[nodiscard]] Result<std::string> primary_by_sentinel() const;
  [[nodiscard]] Status read_slots();

  const RedisOptions& options_;
  std::map<std::string, std::unique_ptr<Connection>> connections_;  // by address
  std::string only_;                                                // address; not for a cluster
  std::map<std::uint16_t, std::string> slots_;                      // by the last slot of a range
};

}  // namespace ez::queue::redis
