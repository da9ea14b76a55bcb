// Topic names and patterns.
//
// A topic is words of [A-Za-z0-9_-] joined by dots, with its namespace before a slash unless that is
// `default`: orders.new, team-a/orders.new. In a pattern the word `*` stands for exactly one word and `#` for
// any number of words, also none: orders.*, orders.#, *.new, #. The namespace of a pattern is literal: no
// pattern reaches over namespaces.
#pragma once

#include <string_view>

#include "base/result.h"

namespace ez::queue {

[[nodiscard]] Status check_topic(std::string_view topic);      // INVALID_ARGUMENT
[[nodiscard]] Status check_pattern(std::string_view pattern);  // INVALID_ARGUMENT
[[nodiscard]] Status check_group(std::string_view group);      // [A-Za-z0-9_.-]{1,64}; INVALID_ARGUMENT

// Both valid. Time: words of the topic times words of the pattern.
[[nodiscard]] bool matches(std::string_view pattern, std::string_view topic);
// Contains `*` or `#`.
[[nodiscard]] bool is_wild(std::string_view pattern);

}  // namespace ez::queue
