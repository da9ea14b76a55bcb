// Where in a shell script its inserts stand. An inserted value is written as one quoted word, which is safe
// where a word may begin, and nowhere else: inside quotes the shell would take the value apart again, and
// what an earlier task or a stranger put into it would run.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/expression.h"

namespace ez::orchestration {

struct UnsafeInsert {
  std::size_t expression;  // its number in the template
  std::string_view place;  // "double quotes", "single quotes", "backquotes", "a here-document", "a comment"
};

// The first insert that does not stand where a word may. Follows quotes, comments, here-documents and command
// substitutions as POSIX sh and bash read them (XCU 2.2, 2.6.3, 2.7.4), not the whole grammar: a stray
// parenthesis of a `case` inside $( ) may end that substitution early.
[[nodiscard]] std::optional<UnsafeInsert> find_unsafe_insert(const Template& script);

}  // namespace ez::orchestration
