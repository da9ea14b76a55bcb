// Expressions: a subset of CEL (the Common Expression Language, github.com/google/cel-spec). Always
// terminates; the cost of an evaluation is bounded. docs/formats/expressions.md says exactly what is in it.
//
// Threads: an Expression is immutable and may be evaluated from any thread. The same expression over the same
// values gives the same result on every machine.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/value.h"

namespace ez {

// The variables of an evaluation by their first name ("tasks", "inputs", "item" …). Returns nullptr for an
// unknown one; the pointer stays valid until the evaluation ends.
using Variables = std::function<const Value*(std::string_view name)>;

struct ExpressionLimits {
  // Visits of nodes, plus elements touched, plus one for each 16 bytes touched.
  std::uint64_t max_cost = 100'000;
  std::size_t max_source_bytes = 16 * 1024;
  std::size_t max_depth = 64;                  // nesting of the syntax tree
  std::size_t max_result_bytes = 1024 * 1024;  // of any string or list that is built
};

class Expression {
 public:
  // Errors: EXPRESSION_INVALID with "column N: …", or "line L, column N: …" when the source has several
  // lines.
  [[nodiscard]] static Result<Expression> parse(std::string_view source, const ExpressionLimits& limits = {});

  // Errors: EXPRESSION_FAILED (unknown name, wrong type, division by zero, overflow, index), EXPRESSION_COST.
  [[nodiscard]] Result<Value> evaluate(const Variables& variables, const ExpressionLimits& limits = {}) const;

  [[nodiscard]] const std::string& source() const;
  // The free variables (first names), sorted, without those bound by macros.
  [[nodiscard]] const std::vector<std::string>& variables() const;
  // The paths that are selected from a free variable with constant names, for example
  // {"tasks","build","output"}; lets the workflow checker find references to unknown tasks and inputs.
  [[nodiscard]] const std::vector<std::vector<std::string>>& paths() const;

 private:
  friend class Template;
  struct Program;
  explicit Expression(std::shared_ptr<const Program> program) : program_(std::move(program)) {}
  std::shared_ptr<const Program> program_;
};

// A text with `${{ expression }}` inside; `$${{` stands for a literal `${{`.
class Template {
 public:
  [[nodiscard]] static Result<Template> parse(std::string_view text, const ExpressionLimits& limits = {});

  // How an inserted value is written: kPlain as it is, kShell quoted as one POSIX shell word. Strings are
  // inserted as they are, everything else as JSON.
  enum class Quoting { kPlain, kShell };
  [[nodiscard]] Result<std::string> render(const Variables& variables, Quoting quoting,
                                           const ExpressionLimits& limits = {}) const;

  // When the whole text is one `${{ }}`, its value with its type; otherwise the rendered string.
  [[nodiscard]] Result<Value> evaluate(const Variables& variables, const ExpressionLimits& limits = {}) const;

  // A text that parses to this template again: the same for the same meaning, whatever the spaces inside `${{
  // }}` were.
  [[nodiscard]] std::string source() const;

  [[nodiscard]] bool is_constant() const { return pieces_.size() <= 1 && expressions_.empty(); }
  [[nodiscard]] const std::vector<Expression>& expressions() const { return expressions_; }
  // pieces()[i] is the literal text before expressions()[i]; one more may follow the last expression.
  [[nodiscard]] const std::vector<std::string>& pieces() const { return pieces_; }

 private:
  // is_constant() holds without a piece as well: the empty text.
  // pieces_[i] is the literal before expressions_[i]; one more literal may follow the last expression.
  std::vector<std::string> pieces_;
  std::vector<Expression> expressions_;
};

}  // namespace ez
