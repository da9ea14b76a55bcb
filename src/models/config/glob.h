// Patterns of model names: `*` is any run of characters, `?` one. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ez::models {

[[nodiscard]] bool matches_glob(std::string_view pattern, std::string_view text);
[[nodiscard]] bool matches_any(const std::vector<std::string>& patterns, std::string_view text);

}  // namespace ez::models
