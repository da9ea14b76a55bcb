#include "agents/web_port.h"

#include <strings.h>

namespace ez::agents {

std::optional<std::string> WebAnswer::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key.size() == name.size() && ::strncasecmp(key.data(), name.data(), name.size()) == 0) return value;
  }
  return std::nullopt;
}

}  // namespace ez::agents
