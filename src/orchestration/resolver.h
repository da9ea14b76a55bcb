// A resolver in the canonical form of a workflow: one JSON object, with the members that say something.
#pragma once

#include <memory>
#include <string>

#include "base/value.h"
#include "orchestration/definition.h"

namespace ez::orchestration {

[[nodiscard]] std::string resolver_text(const Resolver& resolver);
// Null when that is not what resolver_text() writes.
[[nodiscard]] std::shared_ptr<const Resolver> parse_resolver(const Value& value);

}  // namespace ez::orchestration
