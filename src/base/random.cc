#include "base/random.h"

#include <sys/random.h>

#include "base/check.h"

namespace ez {
namespace {

class SystemRandom final : public Random {
 public:
  std::uint64_t next() override {
    std::uint64_t value = 0;
    EZ_CHECK(getrandom(&value, sizeof value, 0) == static_cast<ssize_t>(sizeof value),
             "getrandom gave no bytes");
    return value;
  }
};

}  // namespace

Random& system_random() {
  static SystemRandom random;
  return random;
}

}  // namespace ez
