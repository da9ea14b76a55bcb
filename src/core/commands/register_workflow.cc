#include "core/commands/command.h"
#include "orchestration/parse.h"

namespace ez::core {
namespace {

bool same_files(const std::vector<ShippedFile>& have, const pb::RegisterWorkflow& command) {
  if (have.size() != static_cast<std::size_t>(command.files_size())) return false;
  for (std::size_t i = 0; i < have.size(); ++i) {
    const pb::ShippedFile& file = command.files(static_cast<int>(i));
    if (have[i].path != file.path() || have[i].sha256 != file.sha256() || have[i].mode != file.mode())
      return false;
  }
  return true;
}

}  // namespace

void apply_register_workflow(Context& context, const pb::RegisterWorkflow& command) {
  auto definition = orchestration::from_canonical(command.canonical());
  if (!definition.ok()) {
    context.effects.reply.error = definition.error();
    return;
  }
  const std::string& name = (*definition)->name;
  const auto newest = context.state.find_workflow(command.namespace_(), name, 0);
  if (newest && newest->canonical == command.canonical() && same_files(newest->files, command)) {
    context.effects.reply.version = newest->version;
    return;
  }
  if (!context.state.namespace_ids.contains(command.namespace_()) &&
      context.state.namespaces.size() >= kMaxNamespaces) {
    context.effects.reply.error =
        Error(Code::Overloaded, std::to_string(kMaxNamespaces) + " namespaces are known already");
    return;
  }
  auto version = std::make_shared<WorkflowVersion>();
  version->namespace_name = command.namespace_();
  version->version = newest ? newest->version + 1 : 1;
  version->definition = std::move(definition).value();
  version->canonical = command.canonical();
  version->source = command.source();
  version->registered_ms = context.now_ms;
  for (const pb::ShippedFile& file : command.files()) {
    version->files.push_back({file.path(), file.sha256(), file.mode()});
  }
  context.effects.reply.version = version->version;
  context.effects.reply.created = true;
  context.state.add_workflow(std::move(version));
}

}  // namespace ez::core
