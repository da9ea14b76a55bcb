// Tasks that start a run of another workflow, and the values that a workflow gives to those who ask: outputs.
#include <algorithm>
#include <array>
#include <string>

#include "orchestration/decoder.h"
#include "orchestration/text.h"

namespace ez::orchestration {
namespace {

constexpr std::array<std::string_view, 3> kSubWorkflowKeys{"name", "version", "inputs"};
constexpr std::string_view kExample = "workflow: {name: build-all, inputs: {depth: 5}}";

void read_inputs(Decoder& decoder, NodeId node, const Scope& scope, SubWorkflow& out) {
  const SourceTree& tree = decoder.tree;
  if (tree.kind(node) != SourceTree::Kind::kMap) {
    decoder.error(node, "`inputs` must be a map", "Write `" + std::string(kExample) + "`.");
    return;
  }
  if (tree.size(node) / 2 > kMaxNamedValues) {
    decoder.error(node, "there are more than " + std::to_string(kMaxNamedValues) + " inputs");
    return;
  }
  for (std::size_t i = 0; i < tree.size(node); i += 2) {
    const NodeId key = tree.child(node, i);
    const NodeId value = tree.child(node, i + 1);
    const std::string_view name = tree.text(key);
    if (!is_identifier(name)) {
      decoder.error(key, "the name of an input cannot be " + quoted(name), "Name inputs of that workflow.");
    } else if (!tree.is_scalar(value)) {
      decoder.error(value, "the value of " + quoted(name) + " must be a text or an expression",
                    "Write a list or a map as an expression: `${{ ['a', 'b'] }}`.");
    } else if (auto read = decoder.read_template(value, scope)) {
      out.inputs.emplace_back(std::string(name), std::move(*read));
    }
  }
  std::sort(out.inputs.begin(), out.inputs.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
}

}  // namespace

std::optional<SubWorkflow> read_sub_workflow(Decoder& decoder, const Fields& fields,
                                             const std::string& own_name, const Scope& scope) {
  const auto node = fields.get("workflow");
  if (!node) return std::nullopt;
  if (decoder.tree.kind(*node) != SourceTree::Kind::kMap) {
    decoder.error(*node, "`workflow` must be a map", "Write `" + std::string(kExample) + "`.");
    return std::nullopt;
  }
  const Fields map(decoder, *node, "`workflow`", kSubWorkflowKeys);
  SubWorkflow out;
  map.read_name("name", out.name);
  map.read_uint("version", out.version, 1, UINT32_MAX);
  if (!map.get("name")) {
    decoder.error(*node, "`workflow` needs a `name`", "Write `" + std::string(kExample) + "`.");
  } else if (!out.name.empty() && out.name == own_name) {
    decoder.error(*map.get("name"), "the workflow " + quoted(out.name) + " would start itself",
                  "Use `for_each` to do something several times.");
  }
  if (const auto inputs = map.get("inputs")) read_inputs(decoder, *inputs, scope, out);
  return out;
}

NamedExpressions read_named_expressions(Decoder& decoder, const Fields& fields, std::string_view key) {
  NamedExpressions out;
  const auto node = fields.get(key);
  if (!node) return out;
  const SourceTree& tree = decoder.tree;
  const std::string example = "Write `" + std::string(key) + ": {count: size(tasks.scan.output.files)}`.";
  if (tree.kind(*node) != SourceTree::Kind::kMap) {
    decoder.error(*node, quoted(key) + " must be a map", example);
    return out;
  }
  if (tree.size(*node) / 2 > kMaxNamedValues) {
    decoder.error(*node, quoted(key) + " has more than " + std::to_string(kMaxNamedValues) + " members");
    return out;
  }
  for (std::size_t i = 0; i < tree.size(*node); i += 2) {
    const NodeId name = tree.child(*node, i);
    if (!is_identifier(tree.text(name))) {
      decoder.error(name, "a name in " + quoted(key) + " cannot be " + quoted(tree.text(name)),
                    "Letters, digits and `_`, not starting with a digit, for example `build_type`.");
      continue;
    }
    const std::string place = "`" + std::string(key) + "." + std::string(tree.text(name)) + "`";
    Scope scope{Scope::kNoTask, false, place};
    scope.whole_run = true;
    auto read = decoder.read_expression(tree.child(*node, i + 1), scope);
    if (read) out.emplace_back(std::string(tree.text(name)), std::move(*read));
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return out;
}

}  // namespace ez::orchestration
