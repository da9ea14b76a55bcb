#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace ez {

void check_failed(const char* file, int line, const char* condition, const char* message) {
  std::fprintf(stderr, "ez: broken invariant at %s:%d: %s (%s)\n", file, line, message, condition);
  std::abort();
}

}  // namespace ez
