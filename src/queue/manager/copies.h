// Copies: what a migration (migration.h) makes of the messages that lie at a backend, how it recognises them
// at another one, and the file in which it keeps which of them it has copied. Pure but for the file.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "queue/inventory.h"

namespace ez::queue {

// Somebody else's message as one that every backend takes: what cannot be kept as it is goes (headers with
// names that are none, the bus's own header of the journal), a strange id becomes "sha256-…". Its delay ends.
[[nodiscard]] Message tamed(Message message);

// Names a message by what must not change: topic, id, key, priority, headers, payload. 128 bits of SHA-256.
using Digest = std::array<unsigned char, 16>;
[[nodiscard]] Digest digest_of(const Message& message);
// One digest of many, whatever their order: 64 hexadecimal digits.
[[nodiscard]] std::string digest_of(std::vector<Digest> all);

struct DigestHash {
  std::size_t operator()(const Digest& digest) const;
};

struct Copy {
  enum class Kind : std::uint8_t {
    kMove,     // has to be moved
    kOwn,      // a copy of what the log holds
    kExpired,  // outlived its time
    kRefused,  // no message for us (too large, a topic that is none …): it stays where it is
  };
  Kind kind = Kind::kMove;
  Message message;       // as it is to be published: remaining delay and time to live
  Digest digest{};       // of kMove
  bool delayed = false;  // waits for its time
};
// `journal`: the name of the log, whose copies are its own.
[[nodiscard]] Copy copy_of(Lying lying, const std::string& journal, std::int64_t now_ms);

// What was copied, as a file: durable when write() returns, whole or absent. Only the digests are kept.
struct Manifest {
  std::vector<Digest> digests;  // sorted
  [[nodiscard]] bool contains(const Digest& digest) const;
  [[nodiscard]] Status write(const std::string& path) const;
  // IO_FAILED: it is not there, or not whole.
  [[nodiscard]] static Result<Manifest> read(const std::string& path);
};

}  // namespace ez::queue
