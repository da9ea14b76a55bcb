// Walks a syntax tree and counts what it costs. One Evaluator serves one evaluation. Internal to the
// expression rooms.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/expression.h"
#include "base/expression_ast.h"

namespace ez::expression {

class Evaluator {
 public:
  // All three must outlive the evaluator.
  Evaluator(std::string_view source, const Variables& variables, const ExpressionLimits& limits)
      : source_(source), variables_(variables), limits_(limits) {}

  [[nodiscard]] Result<Value> run(const Node& root);

  // The rest is for functions and macros.

  // Notes a failure at that node and returns false. `cost` marks the end of the budget, which nothing
  // absorbs.
  bool fail(const Node& node, std::string message);
  bool fail_cost(const Node& node, std::string message);
  // Takes from the budget; false when it is used up.
  [[nodiscard]] bool charge(const Node& node, std::uint64_t cost);
  // One unit for each 16 bytes begun.
  [[nodiscard]] bool charge_bytes(const Node& node, std::size_t bytes) {
    return charge(node, (bytes + 15) / 16);
  }
  // Says whether a string or list of that many bytes may be built.
  [[nodiscard]] bool check_size(const Node& node, std::size_t bytes);
  // Deep equality that pays for each element; false when the budget is used up.
  [[nodiscard]] bool equal(const Node& node, const Value& a, const Value& b, bool& out);
  // The pattern compiled within bounds, kept for the rest of the evaluation; nullptr after a failure.
  [[nodiscard]] const re2::RE2* pattern(const Node& node, const std::string& text);

 private:
  // The value of a node: in `slot`, or somewhere that stays unchanged until the evaluation of the enclosing
  // node ends. nullptr after a failure.
  const Value* eval(const Node& node, Value& slot);
  const Value* eval_name(const Node& node);
  const Value* eval_select(const Node& node, Value& slot);
  const Value* eval_index(const Node& node, Value& slot);
  const Value* eval_list(const Node& node, Value& slot);
  const Value* eval_map(const Node& node, Value& slot);
  const Value* eval_call(const Node& node, Value& slot);
  const Value* eval_logic(const Node& node, Value& slot);
  const Value* eval_binary(const Node& node, Value& slot);

  // In expression_operators.cc.
  bool negate(const Node& node, const Value& operand, Value& out);
  bool arithmetic(const Node& node, const Value& a, const Value& b, Value& out);
  bool add(const Node& node, const Value& a, const Value& b, Value& out);
  bool compare(const Node& node, const Value& a, const Value& b, Value& out);
  bool contains(const Node& node, const Value& needle, const Value& container, Value& out);
  bool no_overload(const Node& node, const Value& a, const Value& b);

  // In expression_macros.cc.
  const Value* eval_macro(const Node& node, Value& slot);
  bool eval_condition(const Node& node, bool& out);

  struct Failure {
    Code code = Code::ExpressionFailed;
    std::size_t offset = 0;
    std::string message;
  };

  std::string_view source_;
  const Variables& variables_;
  const ExpressionLimits& limits_;
  std::uint64_t spent_ = 0;
  std::vector<const Value*> bound_;  // the variables of the macros around the present node
  std::map<std::string, std::shared_ptr<const re2::RE2>, std::less<>> patterns_;
  Failure failure_;
};

// A pattern in a bounded amount of memory; nullptr with the reason in `problem`.
[[nodiscard]] std::shared_ptr<const re2::RE2> compile_pattern(std::string_view text, std::string& problem);

// The size of the text that a Value stands for, counted until it exceeds `limit`. Values share storage, so a
// small one in memory may be a large one in writing.
[[nodiscard]] std::size_t written_size(const Value& value, std::size_t limit);

}  // namespace ez::expression
