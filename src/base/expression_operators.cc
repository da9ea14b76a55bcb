// The operators on values: arithmetic, order, equality, membership.
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/expression_evaluator.h"

namespace ez::expression {
namespace {

std::string_view symbol_of(Op op) {
  switch (op) {
    case Op::kAdd:
      return "+";
    case Op::kSubtract:
      return "-";
    case Op::kMultiply:
      return "*";
    case Op::kDivide:
      return "/";
    case Op::kModulo:
      return "%";
    case Op::kLess:
      return "<";
    case Op::kLessEqual:
      return "<=";
    case Op::kGreater:
      return ">";
    case Op::kGreaterEqual:
      return ">=";
    case Op::kIn:
      return "in";
    default:
      return "?";
  }
}

bool is_number(const Value& value) { return value.is_int() || value.is_double(); }

std::partial_ordering compare_any_numbers(const Value& a, const Value& b) {
  if (a.is_int() && b.is_int()) return a.as_int() <=> b.as_int();
  if (a.is_double() && b.is_double()) return a.as_double() <=> b.as_double();
  if (a.is_int()) return compare_numbers(a.as_int(), b.as_double());
  return 0 <=> compare_numbers(b.as_int(), a.as_double());
}

}  // namespace

bool Evaluator::no_overload(const Node& node, const Value& a, const Value& b) {
  std::string message(kind_name(a.kind()));
  message += ' ';
  message += symbol_of(node.op);
  message += ' ';
  message += kind_name(b.kind());
  message += " is not possible";
  if (is_number(a) && is_number(b)) message += "; convert one side with int() or double()";
  if (a.is_string() != b.is_string() && node.op == Op::kAdd) message += "; convert one side with string()";
  return fail(node, message);
}

bool Evaluator::negate(const Node& node, const Value& operand, Value& out) {
  if (operand.is_double()) {
    out = -operand.as_double();
    return true;
  }
  if (!operand.is_int()) return fail(node, "-" + std::string(kind_name(operand.kind())) + " is not possible");
  if (operand.as_int() == std::numeric_limits<std::int64_t>::min()) return fail(node, "int overflow");
  out = -operand.as_int();
  return true;
}

bool Evaluator::add(const Node& node, const Value& a, const Value& b, Value& out) {
  if (a.is_string() && b.is_string()) {
    const std::size_t bytes = a.as_string().size() + b.as_string().size();
    if (!check_size(node, bytes) || !charge_bytes(node, bytes)) return false;
    std::string text;
    text.reserve(bytes);
    text += a.as_string();
    text += b.as_string();
    out = std::move(text);
    return true;
  }
  if (a.is_list() && b.is_list()) {
    const std::size_t count = a.as_list().size() + b.as_list().size();
    if (!check_size(node, count * sizeof(Value)) || !charge(node, count)) return false;
    Value::List list;
    list.reserve(count);
    list.insert(list.end(), a.as_list().begin(), a.as_list().end());
    list.insert(list.end(), b.as_list().begin(), b.as_list().end());
    out = std::move(list);
    return true;
  }
  return arithmetic(node, a, b, out);
}

bool Evaluator::arithmetic(const Node& node, const Value& a, const Value& b, Value& out) {
  if (a.is_double() && b.is_double() && node.op != Op::kModulo) {
    const double x = a.as_double();
    const double y = b.as_double();
    switch (node.op) {
      case Op::kAdd:
        out = x + y;
        return true;
      case Op::kSubtract:
        out = x - y;
        return true;
      case Op::kMultiply:
        out = x * y;
        return true;
      default:
        break;
    }
    // IEEE 754 says what a division by zero is; the language of C++ does not.
    if (y != 0) {
      out = x / y;
    } else if (x == 0 || std::isnan(x) || std::isnan(y)) {
      out = std::numeric_limits<double>::quiet_NaN();
    } else {
      out = std::copysign(std::numeric_limits<double>::infinity(),
                          std::signbit(x) == std::signbit(y) ? 1.0 : -1.0);
    }
    return true;
  }
  if (!a.is_int() || !b.is_int()) return no_overload(node, a, b);
  const std::int64_t x = a.as_int();
  const std::int64_t y = b.as_int();
  std::int64_t result = 0;
  bool overflow = false;
  switch (node.op) {
    case Op::kAdd:
      overflow = __builtin_add_overflow(x, y, &result);
      break;
    case Op::kSubtract:
      overflow = __builtin_sub_overflow(x, y, &result);
      break;
    case Op::kMultiply:
      overflow = __builtin_mul_overflow(x, y, &result);
      break;
    default:
      if (y == 0)
        return fail(node, node.op == Op::kDivide ? "division by zero" : "remainder of a division by zero");
      overflow = x == std::numeric_limits<std::int64_t>::min() && y == -1;
      if (!overflow) result = node.op == Op::kDivide ? x / y : x % y;
  }
  if (overflow) return fail(node, "int overflow");
  out = result;
  return true;
}

bool Evaluator::compare(const Node& node, const Value& a, const Value& b, Value& out) {
  std::partial_ordering order = std::partial_ordering::unordered;
  if (is_number(a) && is_number(b)) {
    order = compare_any_numbers(a, b);
  } else if (a.is_string() && b.is_string()) {
    if (!charge_bytes(node, std::min(a.as_string().size(), b.as_string().size()))) return false;
    // The order of UTF-8 bytes is the order of code points.
    order = a.as_string().compare(b.as_string()) <=> 0;
  } else if (a.is_bool() && b.is_bool()) {
    order = a.as_bool() <=> b.as_bool();
  } else {
    return no_overload(node, a, b);
  }
  switch (node.op) {
    case Op::kLess:
      out = order < 0;
      break;
    case Op::kLessEqual:
      out = order <= 0;
      break;
    case Op::kGreater:
      out = order > 0;
      break;
    default:
      out = order >= 0;
      break;
  }
  return true;
}

bool Evaluator::equal(const Node& node, const Value& a, const Value& b, bool& out) {
  if (a.is_list() && b.is_list()) {
    const Value::List& x = a.as_list();
    const Value::List& y = b.as_list();
    out = x.size() == y.size();
    for (std::size_t i = 0; out && i < x.size(); ++i) {
      if (!charge(node, 1) || !equal(node, x[i], y[i], out)) return false;
    }
    return true;
  }
  if (a.is_map() && b.is_map()) {
    const Value::Map& x = a.as_map();
    const Value::Map& y = b.as_map();
    out = x.size() == y.size();
    for (std::size_t i = 0; out && i < x.size(); ++i) {
      if (!charge(node, 1) || !charge_bytes(node, x[i].first.size())) return false;
      out = x[i].first == y[i].first;
      if (out && !equal(node, x[i].second, y[i].second, out)) return false;
    }
    return true;
  }
  if (a.is_string() && b.is_string()) {
    const std::string& x = a.as_string();
    const std::string& y = b.as_string();
    if (x.size() == y.size() && !charge_bytes(node, x.size())) return false;
    out = x == y;
    return true;
  }
  out = a == b;
  return true;
}

bool Evaluator::contains(const Node& node, const Value& needle, const Value& container, Value& out) {
  if (container.is_map()) {
    if (needle.is_list() || needle.is_map() || needle.is_null()) return no_overload(node, needle, container);
    out = needle.is_string() && container.find(needle.as_string()) != nullptr;
    return true;
  }
  if (!container.is_list()) return no_overload(node, needle, container);
  for (const Value& element : container.as_list()) {
    bool same = false;
    if (!charge(node, 1) || !equal(node, needle, element, same)) return false;
    if (same) {
      out = true;
      return true;
    }
  }
  out = false;
  return true;
}

}  // namespace ez::expression
