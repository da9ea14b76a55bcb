// Base64 (RFC 4648 section 4, with padding). Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ez {

[[nodiscard]] std::string to_base64(std::string_view bytes);
// Empty when it is not the canonical form of any bytes: no line ends, no missing padding, no spare bits.
[[nodiscard]] std::optional<std::string> from_base64(std::string_view text);

}  // namespace ez
