// CRC-32C (Castagnoli, RFC 3720 appendix B.4): polynomial 0x1EDC6F41 reflected, initial value and final xor
// all ones. Uses the SSE4.2 instruction where the processor has it, a table elsewhere; both give the same
// numbers.
#pragma once

#include <cstdint>
#include <string_view>

namespace ez::log {

// The checksum of what `crc` covers (0: nothing yet) followed by `bytes`.
[[nodiscard]] std::uint32_t crc32c(std::uint32_t crc, std::string_view bytes);

// The table form, for the test that compares the two.
[[nodiscard]] std::uint32_t crc32c_portable(std::uint32_t crc, std::string_view bytes);

}  // namespace ez::log
