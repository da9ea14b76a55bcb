#include "base/expression_resolver.h"

#include <re2/re2.h>

#include <algorithm>

#include "base/expression_evaluator.h"
#include "base/expression_functions.h"

namespace ez::expression {
namespace {

// Of all literal patterns of one expression together, some 256 KiB: they stay in memory as long as the
// workflow does.
constexpr int kMaxInstructions = 16'384;

class Resolver {
 public:
  explicit Resolver(References& references, Problem& problem) : references_(references), problem_(problem) {}

  bool resolve(Node& node) {
    if (node.op == Op::kName) return resolve_name(node);
    if (node.op == Op::kMacro) return resolve_macro(node);
    for (Node& child : node.children) {
      if (!resolve(child)) return false;
    }
    if (node.op == Op::kCall && (node.function->name == "matches")) return resolve_pattern(node);
    return true;
  }

  // Puts the path of each selection that nothing continues into the references. To be called after resolve().
  void collect(const Node& node) {
    std::vector<std::string> path;
    if (path_of(node, path)) {
      references_.variables.push_back(path.front());
      references_.paths.push_back(std::move(path));
      return;
    }
    for (const Node& child : node.children) collect(child);
  }

 private:
  bool resolve_name(Node& node) {
    for (std::size_t i = scope_.size(); i > 0; --i) {
      if (scope_[i - 1] != node.text) continue;
      node.slot = static_cast<int>(i - 1);
      return true;
    }
    if (is_type_name(node.text)) {
      node.op = Op::kLiteral;
      node.literal = std::move(node.text);
    }
    return true;
  }

  bool resolve_macro(Node& node) {
    if (!resolve(node.children[0])) return false;
    node.slot = static_cast<int>(scope_.size());
    scope_.push_back(node.text);
    for (std::size_t i = 1; i < node.children.size(); ++i) {
      if (!resolve(node.children[i])) return false;
    }
    scope_.pop_back();
    return true;
  }

  bool resolve_pattern(Node& node) {
    const Node& pattern = node.children[1];
    if (pattern.op != Op::kLiteral || !pattern.literal.is_string()) return true;
    std::string reason;
    node.pattern = compile_pattern(pattern.literal.as_string(), reason);
    if (node.pattern != nullptr) {
      instructions_ += std::max(node.pattern->ProgramSize(), 0);
      if (instructions_ <= kMaxInstructions) return true;
      reason = "the patterns of this expression are too large together";
    }
    problem_ = {pattern.offset, reason, false};
    return false;
  }

  // The path when the node is a free name or a selection with constant names from one.
  static bool path_of(const Node& node, std::vector<std::string>& path) {
    if (node.op == Op::kName) {
      if (node.slot < 0) path.push_back(node.text);
      return node.slot < 0;
    }
    const bool field = node.op == Op::kSelect || node.op == Op::kHas;
    const bool index =
        node.op == Op::kIndex && node.children[1].op == Op::kLiteral && node.children[1].literal.is_string();
    if ((!field && !index) || !path_of(node.children[0], path)) return false;
    path.push_back(field ? node.text : node.children[1].literal.as_string());
    return true;
  }

  std::vector<std::string> scope_;
  int instructions_ = 0;
  References& references_;
  Problem& problem_;
};

template <typename T>
void sort_unique(std::vector<T>& list) {
  std::sort(list.begin(), list.end());
  list.erase(std::unique(list.begin(), list.end()), list.end());
}

}  // namespace

bool resolve(Node& root, References& references, Problem& problem) {
  Resolver resolver(references, problem);
  if (!resolver.resolve(root)) return false;
  resolver.collect(root);
  sort_unique(references.variables);
  sort_unique(references.paths);
  return true;
}

}  // namespace ez::expression
