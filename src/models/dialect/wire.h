// Header fields as the dialects see them: an ordered list of names and values, independent of any HTTP
// library.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ez::models {

using Headers = std::vector<std::pair<std::string, std::string>>;

// The value of the first field of that name (ASCII, without case), or nothing. Valid as long as `headers`.
[[nodiscard]] std::optional<std::string_view> find_header(const Headers& headers, std::string_view name);

[[nodiscard]] bool same_header_name(std::string_view a, std::string_view b);

}  // namespace ez::models
