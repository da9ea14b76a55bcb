// Any bytes as a snapshot: it is refused, or it is a state that is written and read back to the same one.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "core/snapshot.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ez::core;
  const auto once = [](std::string bytes) {
    return [bytes = std::move(bytes), given = false]() mutable -> ez::Result<std::string> {
      if (given) return std::string();
      given = true;
      return bytes;
    };
  };
  State state;
  if (!decode_snapshot(once(std::string(reinterpret_cast<const char*>(data), size)), state).ok()) return 0;
  std::string written;
  EZ_CHECK(encode_snapshot(freeze(state),
                           [&](std::string_view piece) -> ez::Status {
                             written.append(piece);
                             return {};
                           })
               .ok(),
           "a state that cannot be written");
  State again;
  EZ_CHECK(decode_snapshot(once(written), again).ok(), "a snapshot of ours that does not read back");
  EZ_CHECK(state_hash(again) == state_hash(state), "a snapshot that reads back to another state");
  return 0;
}
