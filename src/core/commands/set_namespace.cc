#include "core/commands/command.h"
#include "orchestration/fair_share.h"
#include "orchestration/text.h"

namespace ez::core {

void apply_set_namespace(Context& context, const pb::SetNamespace& command) {
  State& state = context.state;
  Reply& reply = context.effects.reply;
  if (!orchestration::is_name(command.name())) {
    reply.error = Error(Code::InvalidArgument, "the name of a namespace cannot be '" + command.name() + "'",
                        "Small letters, digits, - and _, for example team-a.");
    return;
  }
  if (command.weight() > orchestration::kMaxWeight) {
    reply.error =
        Error(Code::InvalidArgument, "a weight is 1 to " + std::to_string(orchestration::kMaxWeight));
    return;
  }
  if (command.set_max_running() && command.max_running() > kMaxNamespaceTasks) {
    reply.error =
        Error(Code::InvalidArgument, "max_running is at most " + std::to_string(kMaxNamespaceTasks));
    return;
  }
  const bool known = state.namespace_ids.contains(command.name());
  if (!known && state.namespaces.size() >= kMaxNamespaces) {
    reply.error = Error(Code::Overloaded, std::to_string(kMaxNamespaces) + " namespaces are known already");
    return;
  }
  Namespace& owner = state.namespaces[state.namespace_of(command.name())];
  if (command.weight() != 0) owner.weight = command.weight();
  if (command.set_max_running()) owner.max_running = command.max_running();
  reply.created = !known;
}

}  // namespace ez::core
