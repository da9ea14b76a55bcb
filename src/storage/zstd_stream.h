// Streaming zstd (RFC 8878) behind two small classes; frames carry a checksum. Not thread-safe, one frame
// each.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ez::storage {

inline constexpr int kZstdLevel = 3;

// A whole frame in memory, with its plain size and a checksum.
[[nodiscard]] std::string zstd_pack(std::string_view bytes);
// The bytes of a whole frame, at most `max_bytes`. `failure` is the code when the frame is damaged or larger.
[[nodiscard]] Result<std::string> zstd_unpack(std::string_view frame, std::size_t max_bytes, Code failure);

class ZstdPacker {
 public:
  ZstdPacker();
  ~ZstdPacker();
  // Appends what the frame has grown by to `out`; `end` closes the frame.
  void pack(std::string_view bytes, bool end, std::string& out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class ZstdUnpacker {
 public:
  ZstdUnpacker();
  ~ZstdUnpacker();
  // Unpacks from the front of `frame` and removes what it used, at most `limit` plain bytes into `out`.
  // False: damaged.
  [[nodiscard]] bool unpack(std::string_view& frame, std::size_t limit, std::string& out);
  // The frame has been read to its end.
  [[nodiscard]] bool ended() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ez::storage
