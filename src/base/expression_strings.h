// What the string functions of expressions do with bytes, without costs and types. Internal to the expression
// rooms. Texts are UTF-8; an empty separator stands between all characters (code points), as in CEL's strings
// extension.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace ez::expression {

// Linear in both texts together.
[[nodiscard]] bool contains_text(std::string_view text, std::string_view part);

[[nodiscard]] std::string lower_ascii(std::string_view text);
[[nodiscard]] std::string upper_ascii(std::string_view text);

// Without the Unicode white space at both ends.
[[nodiscard]] std::string trim_space(std::string_view text);

// At most `limit` pieces, the last of which is the whole rest; views into `text`.
[[nodiscard]] std::vector<std::string_view> split_text(std::string_view text, std::string_view separator,
                                                       std::size_t limit);

// How many places replace_text() replaces.
[[nodiscard]] std::size_t count_places(std::string_view text, std::string_view old, std::size_t limit);

// From the left, at most `limit` places. An empty `old` is found before each character and at the end.
[[nodiscard]] std::string replace_text(std::string_view text, std::string_view old, std::string_view now,
                                       std::size_t limit);

}  // namespace ez::expression
