// The providers that need no configuration but a key. Data.
#pragma once

#include <string>
#include <vector>

#include "models/config/config.h"

namespace ez::models {

struct ReadyMade {
  Provider provider;                   // without keys
  std::vector<std::string> key_names;  // environment: NAME, NAME_2 …, NAMES
};

[[nodiscard]] const std::vector<ReadyMade>& ready_made();

}  // namespace ez::models
