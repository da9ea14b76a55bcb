#include "base/expression_evaluator.h"

#include <re2/re2.h>

#include <cmath>
#include <utility>

#include "base/expression_functions.h"

namespace ez::expression {
namespace {

// RE2 gives about a sixth of this to the program: some 2,700 instructions.
constexpr std::int64_t kPatternMemory = 256 * 1024;
constexpr std::uint64_t kPatternCost = 500;

std::string kind_of(const Value& value) { return std::string(kind_name(value.kind())); }

}  // namespace

std::shared_ptr<const re2::RE2> compile_pattern(std::string_view text, std::string& problem) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kPatternMemory);
  auto pattern = std::make_shared<re2::RE2>(re2::StringPiece(text.data(), text.size()), options);
  if (pattern->ok()) return pattern;
  problem = "the pattern " + quoted(text) + " is not possible: " + pattern->error();
  return nullptr;
}

std::size_t written_size(const Value& value, std::size_t limit) {
  std::size_t size = 2;
  switch (value.kind()) {
    case Value::Kind::kNull:
    case Value::Kind::kBool:
    case Value::Kind::kInt:
    case Value::Kind::kDouble:
      return 8;
    case Value::Kind::kString:
      return size + value.as_string().size();
    case Value::Kind::kList:
      for (const Value& element : value.as_list()) {
        size += 1 + written_size(element, limit);
        if (size > limit) break;
      }
      return size;
    case Value::Kind::kMap:
      for (const auto& [key, member] : value.as_map()) {
        size += 4 + key.size() + written_size(member, limit);
        if (size > limit) break;
      }
      return size;
  }
  return size;
}

bool Evaluator::fail(const Node& node, std::string message) {
  failure_ = {Code::ExpressionFailed, node.offset, std::move(message)};
  return false;
}

bool Evaluator::fail_cost(const Node& node, std::string message) {
  failure_ = {Code::ExpressionCost, node.offset, std::move(message)};
  return false;
}

bool Evaluator::charge(const Node& node, std::uint64_t cost) {
  if (cost <= limits_.max_cost - spent_) {
    spent_ += cost;
    return true;
  }
  spent_ = limits_.max_cost;
  return fail_cost(node, "the evaluation costs more than " + std::to_string(limits_.max_cost));
}

bool Evaluator::check_size(const Node& node, std::size_t bytes) {
  if (bytes <= limits_.max_result_bytes) return true;
  return fail_cost(node, "a result of more than " + std::to_string(limits_.max_result_bytes) + " bytes");
}

const re2::RE2* Evaluator::pattern(const Node& node, const std::string& text) {
  if (node.pattern != nullptr) return node.pattern.get();
  if (const auto found = patterns_.find(text); found != patterns_.end()) return found->second.get();
  if (!charge(node, kPatternCost) || !charge_bytes(node, text.size())) return nullptr;
  std::string problem;
  std::shared_ptr<const re2::RE2> compiled = compile_pattern(text, problem);
  if (compiled == nullptr) {
    fail(node, problem);
    return nullptr;
  }
  return patterns_.emplace(text, std::move(compiled)).first->second.get();
}

Result<Value> Evaluator::run(const Node& root) {
  Value slot;
  const Value* result = eval(root, slot);
  // What is only looked up may be larger: it was bounded where it came in.
  const bool built = result == &slot;
  if (built && !check_size(root, written_size(slot, limits_.max_result_bytes))) result = nullptr;
  if (result != nullptr) return *result;
  return Error(failure_.code, place_in(source_, failure_.offset) + ": " + failure_.message);
}

const Value* Evaluator::eval(const Node& node, Value& slot) {
  if (!charge(node, 1)) return nullptr;
  switch (node.op) {
    case Op::kLiteral:
      return &node.literal;
    case Op::kName:
      return eval_name(node);
    case Op::kSelect:
    case Op::kHas:
      return eval_select(node, slot);
    case Op::kIndex:
      return eval_index(node, slot);
    case Op::kList:
      return eval_list(node, slot);
    case Op::kMap:
      return eval_map(node, slot);
    case Op::kCall:
      return eval_call(node, slot);
    case Op::kMacro:
      return eval_macro(node, slot);
    case Op::kAnd:
    case Op::kOr:
      return eval_logic(node, slot);
    case Op::kConditional: {
      bool condition = false;
      if (!eval_condition(node.children[0], condition)) return nullptr;
      return eval(node.children[condition ? 1 : 2], slot);
    }
    case Op::kNot: {
      bool operand = false;
      if (!eval_condition(node.children[0], operand)) return nullptr;
      slot = !operand;
      return &slot;
    }
    case Op::kNegate: {
      Value own;
      const Value* operand = eval(node.children[0], own);
      return operand != nullptr && negate(node, *operand, slot) ? &slot : nullptr;
    }
    default:
      return eval_binary(node, slot);
  }
}

bool Evaluator::eval_condition(const Node& node, bool& out) {
  Value own;
  const Value* value = eval(node, own);
  if (value == nullptr) return false;
  if (!value->is_bool()) return fail(node, "expected a bool, found " + kind_of(*value));
  out = value->as_bool();
  return true;
}

const Value* Evaluator::eval_name(const Node& node) {
  if (node.slot >= 0) return bound_[static_cast<std::size_t>(node.slot)];
  const Value* value = variables_ ? variables_(node.text) : nullptr;
  if (value == nullptr) fail(node, "unknown name " + quoted(node.text));
  return value;
}

const Value* Evaluator::eval_select(const Node& node, Value& slot) {
  Value own;
  const Value* target = eval(node.children[0], own);
  if (target == nullptr) return nullptr;
  if (!target->is_map()) {
    fail(node, kind_of(*target) + " has no field " + quoted(node.text));
    return nullptr;
  }
  const Value* member = target->find(node.text);
  if (node.op == Op::kHas) {
    slot = member != nullptr;
    return &slot;
  }
  if (member == nullptr) {
    fail(node, "no such key " + quoted(node.text));
    return nullptr;
  }
  if (target != &own) return member;
  // The map is about to go; `slot` may hold none of it yet.
  slot = *member;
  return &slot;
}

const Value* Evaluator::eval_index(const Node& node, Value& slot) {
  Value own_target;
  Value own_index;
  const Value* target = eval(node.children[0], own_target);
  if (target == nullptr) return nullptr;
  const Value* index = eval(node.children[1], own_index);
  if (index == nullptr) return nullptr;
  const Value* member = nullptr;
  if (target->is_map()) {
    if (index->is_string()) member = target->find(index->as_string());
    if (member == nullptr) {
      fail(node, index->is_string() ? "no such key " + quoted(index->as_string())
                                    : "the keys of a map are strings, not " + kind_of(*index));
      return nullptr;
    }
  } else if (target->is_list() && (index->is_int() || index->is_double())) {
    const Value::List& list = target->as_list();
    std::int64_t place = -1;
    if (index->is_int()) place = index->as_int();
    // A whole double is as good as an int; any other is no place in a list.
    if (index->is_double() && std::fabs(index->as_double()) < 1e15) {
      place = static_cast<std::int64_t>(index->as_double());
      if (compare_numbers(place, index->as_double()) != 0) place = -1;
    }
    if (place < 0 || static_cast<std::uint64_t>(place) >= list.size()) {
      fail(node, "the index is outside of a list of " + std::to_string(list.size()));
      return nullptr;
    }
    member = &list[static_cast<std::size_t>(place)];
  } else {
    fail(node, kind_of(*target) + "[" + kind_of(*index) + "] is not possible");
    return nullptr;
  }
  if (target != &own_target) return member;
  slot = *member;
  return &slot;
}

const Value* Evaluator::eval_list(const Node& node, Value& slot) {
  Value::List list;
  list.reserve(node.children.size());
  for (const Node& child : node.children) {
    Value own;
    const Value* element = eval(child, own);
    if (element == nullptr) return nullptr;
    list.push_back(element == &own ? std::move(own) : *element);
  }
  slot = std::move(list);
  return &slot;
}

const Value* Evaluator::eval_map(const Node& node, Value& slot) {
  Value::Map map;
  map.reserve(node.children.size() / 2);
  for (std::size_t i = 0; i + 1 < node.children.size(); i += 2) {
    Value own_key;
    Value own_value;
    const Value* key = eval(node.children[i], own_key);
    if (key == nullptr) return nullptr;
    if (!key->is_string()) {
      fail(node.children[i], "the keys of a map are strings, not " + kind_of(*key));
      return nullptr;
    }
    if (!charge_bytes(node, key->as_string().size())) return nullptr;
    const Value* value = eval(node.children[i + 1], own_value);
    if (value == nullptr) return nullptr;
    map.emplace_back(key->as_string(), *value);
  }
  const std::size_t given = map.size();
  Value built(std::move(map));
  if (built.as_map().size() != given) {
    fail(node, "a key is there twice");
    return nullptr;
  }
  slot = std::move(built);
  return &slot;
}

const Value* Evaluator::eval_call(const Node& node, Value& slot) {
  std::vector<Value> own(node.children.size());
  std::vector<const Value*> arguments(node.children.size());
  for (std::size_t i = 0; i < node.children.size(); ++i) {
    arguments[i] = eval(node.children[i], own[i]);
    if (arguments[i] == nullptr) return nullptr;
  }
  return node.function->call({*this, node, arguments}, slot) ? &slot : nullptr;
}

// CEL's logic is commutative: an operand that decides the result does so even when another one fails.
const Value* Evaluator::eval_logic(const Node& node, Value& slot) {
  const bool deciding = node.op == Op::kOr;
  bool failed = false;
  Failure first;
  for (const Node& child : node.children) {
    bool operand = false;
    if (eval_condition(child, operand)) {
      if (operand != deciding) continue;
      slot = deciding;
      return &slot;
    }
    if (failure_.code == Code::ExpressionCost) return nullptr;
    if (!failed) first = std::move(failure_);
    failed = true;
  }
  if (failed) {
    failure_ = std::move(first);
    return nullptr;
  }
  slot = !deciding;
  return &slot;
}

const Value* Evaluator::eval_binary(const Node& node, Value& slot) {
  Value own_a;
  Value own_b;
  const Value* a = eval(node.children[0], own_a);
  if (a == nullptr) return nullptr;
  const Value* b = eval(node.children[1], own_b);
  if (b == nullptr) return nullptr;
  switch (node.op) {
    case Op::kEqual:
    case Op::kNotEqual: {
      bool same = false;
      if (!equal(node, *a, *b, same)) return nullptr;
      slot = same == (node.op == Op::kEqual);
      return &slot;
    }
    case Op::kLess:
    case Op::kLessEqual:
    case Op::kGreater:
    case Op::kGreaterEqual:
      return compare(node, *a, *b, slot) ? &slot : nullptr;
    case Op::kIn:
      return contains(node, *a, *b, slot) ? &slot : nullptr;
    case Op::kAdd:
      return add(node, *a, *b, slot) ? &slot : nullptr;
    default:
      return arithmetic(node, *a, *b, slot) ? &slot : nullptr;
  }
}

}  // namespace ez::expression
