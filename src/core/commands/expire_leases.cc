#include "core/commands/command.h"

namespace ez::core {

void apply_expire_leases(Context& context, const pb::ExpireLeases& command) {
  for (const std::uint64_t fence : command.fences()) {
    lose_lease(context, Fence{fence}, command.reason(), command.undelivered());
  }
}

}  // namespace ez::core
