// The macros: all, exists, exists_one, map, filter (CEL specification, "Macros").
#include "base/expression_evaluator.h"

namespace ez::expression {

const Value* Evaluator::eval_macro(const Node& node, Value& slot) {
  Value own;
  const Value* range = eval(node.children[0], own);
  if (range == nullptr) return nullptr;
  if (!range->is_list() && !range->is_map()) {
    fail(node, std::string(kind_name(range->kind())) + " is neither a list nor a map, so it has no elements");
    return nullptr;
  }
  const std::size_t count = range->is_list() ? range->as_list().size() : range->as_map().size();
  const bool builds = node.macro == Macro::kMap || node.macro == Macro::kFilter;
  Value::List built;
  std::size_t matches = 0;
  bool failed = false;
  Failure first;

  for (std::size_t i = 0; i < count; ++i) {
    if (!charge(node, 1)) return nullptr;
    Value key;  // of a map its keys are the elements
    if (range->is_map()) {
      const std::string& text = range->as_map()[i].first;
      if (!charge_bytes(node, text.size())) return nullptr;
      key = text;
    }
    const Value& element = range->is_list() ? range->as_list()[i] : key;
    bound_.push_back(&element);
    bool condition = true;
    bool fine = true;
    const bool transform = node.macro == Macro::kMap;
    if (!transform || node.children.size() == 3) fine = eval_condition(node.children[1], condition);
    if (fine && transform && condition) {
      Value made;
      const Value* result = eval(node.children.back(), made);
      fine = result != nullptr;
      if (fine) built.push_back(result == &made ? std::move(made) : *result);
    }
    bound_.pop_back();

    if (!fine) {
      const bool absorbs = node.macro == Macro::kAll || node.macro == Macro::kExists;
      if (!absorbs || failure_.code == Code::ExpressionCost) return nullptr;
      if (!failed) first = std::move(failure_);
      failed = true;
      continue;
    }
    if (condition) ++matches;
    if (condition && node.macro == Macro::kFilter) built.push_back(element);
    if (node.macro == Macro::kAll && !condition) {
      slot = false;
      return &slot;
    }
    if (node.macro == Macro::kExists && condition) {
      slot = true;
      return &slot;
    }
  }
  if (failed) {
    failure_ = std::move(first);
    return nullptr;
  }
  if (builds) {
    if (!check_size(node, built.size() * sizeof(Value))) return nullptr;
    slot = std::move(built);
  } else if (node.macro == Macro::kExistsOne) {
    slot = matches == 1;
  } else {
    slot = node.macro == Macro::kAll;  // nothing has decided it: all of them, or none exists
  }
  return &slot;
}

}  // namespace ez::expression
