// EZ_CHECK(condition, "what is broken"): a broken invariant is a bug of ours and ends the process with a
// message, in every build. Expected failures use Result<T> (base/result.h) instead.
#pragma once

namespace ez {

// Writes `file:line: message` to standard error and aborts. Never returns.
[[noreturn]] void check_failed(const char* file, int line, const char* condition, const char* message);

}  // namespace ez

#define EZ_CHECK(condition, message)                                               \
  do {                                                                             \
    if (!(condition)) ::ez::check_failed(__FILE__, __LINE__, #condition, message); \
  } while (false)
