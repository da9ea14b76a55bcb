// `compensate` of a task: the id of the task that undoes it, or that task itself.
#include "orchestration/compensation.h"
#include "orchestration/decoder.h"
#include "orchestration/text.h"

namespace ez::orchestration {
namespace {

// Reports what does not go with a compensation, and makes the one that `index` is depend on what it undoes.
void adopt(Decoder& decoder, NodeId at, Workflow& workflow, std::uint32_t owner, std::uint32_t index,
           bool workspace_given) {
  Task& undo = workflow.tasks[index];
  const std::string name = "the compensation " + quoted(undo.id);
  if (undo.compensates) {
    decoder.error(at, name + " undoes " + quoted(workflow.tasks[*undo.compensates].id) + " already",
                  "Give each task a compensation of its own.");
    return;
  }
  if (workflow.tasks[owner].compensates || undo.compensate) {
    decoder.error(at, name + " is part of a chain of compensations", "A compensation has none itself.");
    return;
  }
  if (!undo.dependencies.empty()) {
    decoder.error(at, name + " has dependencies of its own",
                  "It runs when its turn comes in a rollback; remove `dependencies`.");
  }
  if (undo.for_each) {
    decoder.error(at, name + " has `for_each`",
                  "It runs once; `tasks.<id>.outputs` has what the instances produced.");
  }
  if (undo.approval) {
    decoder.error(at, name + " waits for an approval", "A rollback runs by itself; remove `approval`.");
  }
  if (undo.workspace == WorkspaceMode::kWrite && workspace_given) {
    decoder.error(at, name + " writes into a workspace, but nothing is merged in a rollback",
                  "Set `workspace: read` or `none`.");
  }
  if (undo.workspace == WorkspaceMode::kWrite) undo.workspace = WorkspaceMode::kRead;
  undo.verify.reset();
  undo.dependencies = {owner};
  undo.on_failure = OnFailure::kPause;
  undo.compensates = owner;
  workflow.tasks[owner].compensate = index;
}

}  // namespace

void decode_compensations(Decoder& decoder, const std::vector<NodeId>& nodes, Workflow& workflow,
                          const InlineTaskReader& read_inline) {
  const SourceTree& tree = decoder.tree;
  for (std::uint32_t i = 0; i < nodes.size(); ++i) {
    if (tree.kind(nodes[i]) != SourceTree::Kind::kMap) continue;
    const auto given = Fields(decoder, nodes[i]).get("compensate");
    if (!given) continue;
    if (tree.kind(*given) == SourceTree::Kind::kMap) {
      if (workflow.tasks[i].id.empty()) continue;
      const std::string id = "undo-" + workflow.tasks[i].id;
      if (workflow.find_task(id) || id.size() > kMaxNameLength) {
        decoder.error(*given,
                      "the compensation of " + quoted(workflow.tasks[i].id) + " would be called " +
                          quoted(id) + ", which " +
                          (id.size() > kMaxNameLength ? "is too long" : "is another task"),
                      "Make it a task of its own and write its id here.");
        continue;
      }
      const auto index = static_cast<std::uint32_t>(workflow.tasks.size());
      workflow.tasks.push_back(read_inline(*given, index, id));
      adopt(decoder, *given, workflow, i, index, Fields(decoder, *given).get("workspace").has_value());
      continue;
    }
    const auto index = workflow.find_task(tree.text(*given));
    if (!tree.is_scalar(*given) || !index || *index == i) {
      decoder.error(*given, "`compensate` must be what undoes the task, or the id of another task that does",
                    "Write `compensate: {run: ./undo.sh}`.");
      continue;
    }
    adopt(decoder, *given, workflow, i, *index, Fields(decoder, nodes[*index]).get("workspace").has_value());
  }
  for (std::uint32_t i = 0; i < nodes.size(); ++i) {
    for (const std::uint32_t dependency : workflow.tasks[i].dependencies) {
      if (!workflow.tasks[dependency].compensates || workflow.tasks[i].compensates) continue;
      decoder.error(nodes[i],
                    "the task " + quoted(workflow.tasks[i].id) + " depends on the compensation " +
                        quoted(workflow.tasks[dependency].id) + ", which runs in a rollback only",
                    "Remove it from `dependencies`.");
    }
  }
}

}  // namespace ez::orchestration
