#include "base/expression_parser.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/expression_functions.h"

namespace ez::expression {
namespace {

constexpr std::uint64_t kMaxInt = std::numeric_limits<std::int64_t>::max();

// CEL keeps these for host languages: they are no names of variables, but fields may have them.
constexpr std::string_view kReserved[] = {"as",        "break",  "const",  "continue", "else", "for",
                                          "function",  "if",     "import", "let",      "loop", "package",
                                          "namespace", "return", "var",    "void",     "while"};
constexpr std::string_view kKeywords[] = {"true", "false", "null", "in"};

template <std::size_t N>
bool contains(const std::string_view (&words)[N], std::string_view word) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

constexpr std::pair<std::string_view, Op> kRelations[] = {{"==", Op::kEqual},     {"!=", Op::kNotEqual},
                                                          {"<=", Op::kLessEqual}, {">=", Op::kGreaterEqual},
                                                          {"<", Op::kLess},       {">", Op::kGreater}};

std::optional<Op> relation_of(const Token& token) {
  if (token.kind == TokenKind::kName && token.text == "in") return Op::kIn;
  for (const auto& [symbol, op] : kRelations) {
    if (token.is(symbol)) return op;
  }
  return std::nullopt;
}

Node binary(Op op, std::size_t offset, Node left, Node right) {
  Node node;
  node.op = op;
  node.offset = static_cast<std::uint32_t>(offset);
  node.children.push_back(std::move(left));
  node.children.push_back(std::move(right));
  return node;
}

}  // namespace

bool Parser::fail(std::size_t offset, std::string message) {
  problem_ = {offset, std::move(message), token_.kind == TokenKind::kEnd};
  return false;
}

bool Parser::advance() {
  if (lexer_.next(token_)) return true;
  problem_ = lexer_.problem();
  return false;
}

bool Parser::fail_here(std::string_view expected) {
  std::string message = "expected ";
  message += expected;
  if (token_.kind == TokenKind::kEnd) return fail(token_.offset, message + ", but the expression ends");
  return fail(token_.offset,
              message + ", found " + quoted(text_.substr(token_.offset, token_.end - token_.offset)));
}

bool Parser::expect(std::string_view symbol) {
  if (token_.is(symbol)) return advance();
  return fail_here("'" + std::string(symbol) + "'");
}

std::optional<Node> Parser::parse_all() {
  Node root;
  if (!advance() || !parse_expression(root)) return std::nullopt;
  if (token_.kind != TokenKind::kEnd) {
    fail_here("an operator or the end");
    return std::nullopt;
  }
  return root;
}

std::optional<Node> Parser::parse_until_braces(std::size_t& end) {
  Node root;
  if (!advance() || !parse_expression(root)) return std::nullopt;
  if (!token_.is("}") || !text_.substr(token_.end).starts_with('}')) {
    fail_here("an operator or '}}'");
    return std::nullopt;
  }
  end = token_.end + 1;
  return root;
}

// Called when a node has all its children.
bool Parser::finish(Node& node) {
  node.depth = 1;
  for (const Node& child : node.children) node.depth = std::max(node.depth, child.depth + 1);
  if (node.depth <= limits_.max_depth) return true;
  return fail(node.offset, "nested deeper than " + std::to_string(limits_.max_depth) + " levels");
}

bool Parser::parse_expression(Node& out) {
  if (++nesting_ > limits_.max_depth) {
    return fail(token_.offset, "nested deeper than " + std::to_string(limits_.max_depth) + " levels");
  }
  if (!parse_or(out)) return false;
  if (token_.is("?")) {
    Node node;
    node.op = Op::kConditional;
    node.offset = static_cast<std::uint32_t>(token_.offset);
    node.children.resize(3);
    node.children[0] = std::move(out);
    if (!advance() || !parse_or(node.children[1]) || !expect(":") || !parse_expression(node.children[2]))
      return false;
    if (!finish(node)) return false;
    out = std::move(node);
  }
  --nesting_;
  return true;
}

// Operands joined by one symbol become one node, however many there are.
bool Parser::parse_chain(Node& out, Production operand, std::string_view symbol, Op op) {
  if (!(this->*operand)(out)) return false;
  if (!token_.is(symbol)) return true;
  Node node;
  node.op = op;
  node.offset = static_cast<std::uint32_t>(token_.offset);
  node.children.push_back(std::move(out));
  while (token_.is(symbol)) {
    Node next;
    if (!advance() || !(this->*operand)(next)) return false;
    node.children.push_back(std::move(next));
  }
  out = std::move(node);
  return finish(out);
}

bool Parser::parse_or(Node& out) { return parse_chain(out, &Parser::parse_and, "||", Op::kOr); }
bool Parser::parse_and(Node& out) { return parse_chain(out, &Parser::parse_relation, "&&", Op::kAnd); }

bool Parser::parse_relation(Node& out) {
  if (!parse_sum(out)) return false;
  while (const std::optional<Op> op = relation_of(token_)) {
    const std::size_t offset = token_.offset;
    Node right;
    if (!advance() || !parse_sum(right)) return false;
    out = binary(*op, offset, std::move(out), std::move(right));
    if (!finish(out)) return false;
  }
  return true;
}

bool Parser::parse_sum(Node& out) {
  if (!parse_product(out)) return false;
  while (token_.is("+") || token_.is("-")) {
    const Op op = token_.is("+") ? Op::kAdd : Op::kSubtract;
    const std::size_t offset = token_.offset;
    Node right;
    if (!advance() || !parse_product(right)) return false;
    out = binary(op, offset, std::move(out), std::move(right));
    if (!finish(out)) return false;
  }
  return true;
}

bool Parser::parse_product(Node& out) {
  if (!parse_unary(out)) return false;
  while (token_.is("*") || token_.is("/") || token_.is("%")) {
    const Op op = token_.is("*") ? Op::kMultiply : token_.is("/") ? Op::kDivide : Op::kModulo;
    const std::size_t offset = token_.offset;
    Node right;
    if (!advance() || !parse_unary(right)) return false;
    out = binary(op, offset, std::move(out), std::move(right));
    if (!finish(out)) return false;
  }
  return true;
}

bool Parser::parse_unary(Node& out) {
  if (!token_.is("!") && !token_.is("-")) return parse_member(out);
  const std::string_view symbol = token_.symbol;
  std::vector<std::size_t> offsets;
  while (token_.is(symbol)) {
    offsets.push_back(token_.offset);
    if (offsets.size() > limits_.max_depth) {
      return fail(token_.offset, "nested deeper than " + std::to_string(limits_.max_depth) + " levels");
    }
    if (!advance()) return false;
  }
  if (symbol == "-" && token_.kind == TokenKind::kInt && token_.magnitude <= kMaxInt + 1) {
    // The sign belongs to the literal: the smallest int has no positive counterpart.
    Node literal;
    literal.offset = static_cast<std::uint32_t>(offsets.back());
    literal.literal = static_cast<std::int64_t>(0 - token_.magnitude);
    offsets.pop_back();
    if (!advance()) return false;
    out = std::move(literal);
    if (!parse_selection(out)) return false;
  } else if (!parse_member(out)) {
    return false;
  }
  for (; !offsets.empty(); offsets.pop_back()) {
    Node node;
    node.op = symbol == "!" ? Op::kNot : Op::kNegate;
    node.offset = static_cast<std::uint32_t>(offsets.back());
    node.children.push_back(std::move(out));
    if (!finish(node)) return false;
    out = std::move(node);
  }
  return true;
}

bool Parser::parse_member(Node& out) { return parse_primary(out) && parse_selection(out); }

bool Parser::parse_primary(Node& out) {
  out = Node{};
  out.offset = static_cast<std::uint32_t>(token_.offset);
  switch (token_.kind) {
    case TokenKind::kInt:
      if (token_.magnitude > kMaxInt) return fail(token_.offset, "this number is too large for an int");
      out.literal = static_cast<std::int64_t>(token_.magnitude);
      return advance();
    case TokenKind::kDouble:
      out.literal = token_.number;
      return advance();
    case TokenKind::kString:
      out.literal = std::move(token_.text);
      return advance();
    case TokenKind::kName:
      return parse_name(out);
    case TokenKind::kSymbol:
      if (token_.is("(")) return advance() && parse_expression(out) && expect(")");
      if (token_.is("[")) return parse_list(out);
      if (token_.is("{")) return parse_map(out);
      break;
    case TokenKind::kSelector:
      return fail(token_.offset, "a name in backticks is only possible after a '.'");
    case TokenKind::kEnd:
      break;
  }
  return fail_here("a value");
}

bool Parser::parse_name(Node& out) {
  const std::string name = std::move(token_.text);
  const std::size_t offset = token_.offset;
  if (name == "in") {
    token_.text = name;
    return fail_here("a value");
  }
  if (contains(kReserved, name)) return fail(offset, "'" + name + "' is a reserved word");
  if (!advance()) return false;
  if (name == "null") return true;
  if (name == "true" || name == "false") {
    out.literal = name == "true";
    return true;
  }
  if (token_.is("(")) {
    std::vector<Node> arguments;
    return parse_arguments(arguments) && make_call(out, name, offset, std::nullopt, std::move(arguments));
  }
  out.op = Op::kName;
  out.text = name;
  return true;
}

bool Parser::parse_list(Node& out) {
  out.op = Op::kList;
  if (!advance()) return false;
  while (!token_.is("]")) {
    Node element;
    if (!parse_expression(element)) return false;
    out.children.push_back(std::move(element));
    if (token_.is(",")) {
      if (!advance()) return false;
    } else if (!token_.is("]")) {
      return fail_here("',' or ']'");
    }
  }
  return advance() && finish(out);
}

bool Parser::parse_map(Node& out) {
  out.op = Op::kMap;
  if (!advance()) return false;
  while (!token_.is("}")) {
    Node key;
    Node value;
    if (!parse_expression(key)) return false;
    if (key.op == Op::kLiteral && !key.literal.is_string()) {
      return fail(key.offset, "the keys of a map are strings");
    }
    if (!expect(":") || !parse_expression(value)) return false;
    out.children.push_back(std::move(key));
    out.children.push_back(std::move(value));
    if (token_.is(",")) {
      if (!advance()) return false;
    } else if (!token_.is("}")) {
      return fail_here("',' or '}'");
    }
  }
  return advance() && finish(out);
}

// What follows a value: `.field`, `.function(…)` and `[index]`, as often as they come.
bool Parser::parse_selection(Node& out) {
  while (true) {
    if (token_.is("[")) {
      const std::size_t offset = token_.offset;
      Node index;
      if (!advance() || !parse_expression(index) || !expect("]")) return false;
      out = binary(Op::kIndex, offset, std::move(out), std::move(index));
    } else if (token_.is(".")) {
      if (!advance()) return false;
      const bool name = token_.kind == TokenKind::kName && !contains(kKeywords, token_.text);
      if (!name && token_.kind != TokenKind::kSelector) return fail_here("the name of a field");
      const bool plain = token_.kind == TokenKind::kName;
      const std::string field = std::move(token_.text);
      const std::size_t offset = token_.offset;
      if (!advance()) return false;
      if (plain && token_.is("(")) {
        std::vector<Node> arguments;
        if (!parse_arguments(arguments)) return false;
        Node call;
        if (!make_call(call, field, offset, std::move(out), std::move(arguments))) return false;
        out = std::move(call);
      } else {
        Node select;
        select.op = Op::kSelect;
        select.offset = static_cast<std::uint32_t>(offset);
        select.text = field;
        select.children.push_back(std::move(out));
        out = std::move(select);
      }
    } else {
      return true;
    }
    if (!finish(out)) return false;
  }
}

bool Parser::parse_arguments(std::vector<Node>& out) {
  if (!expect("(")) return false;
  if (token_.is(")")) return advance();
  while (true) {
    Node argument;
    if (!parse_expression(argument)) return false;
    out.push_back(std::move(argument));
    if (token_.is(")")) return advance();
    if (!token_.is(",")) return fail_here("',' or ')'");
    if (!advance()) return false;
  }
}

bool Parser::make_call(Node& out, std::string_view name, std::size_t offset, std::optional<Node> receiver,
                       std::vector<Node> arguments) {
  if (!receiver && name == "has") return make_has(out, offset, std::move(arguments));
  constexpr std::pair<std::string_view, Macro> kMacros[] = {{"all", Macro::kAll},
                                                            {"exists", Macro::kExists},
                                                            {"exists_one", Macro::kExistsOne},
                                                            {"map", Macro::kMap},
                                                            {"filter", Macro::kFilter}};
  for (const auto& [macro_name, macro] : kMacros) {
    if (receiver && name == macro_name) {
      return make_macro(out, macro, name, offset, std::move(*receiver), std::move(arguments));
    }
  }
  const Function* function = nullptr;
  std::string shown(name);
  if (receiver && receiver->op == Op::kName) {
    const std::string full = receiver->text + "." + shown;
    function = find_function(full, false);
    if (function != nullptr) {
      receiver.reset();
      shown = full;
    }
  }
  if (function == nullptr) function = find_function(name, receiver.has_value());
  if (function == nullptr) {
    const bool other = find_function(name, !receiver.has_value()) != nullptr;
    std::string message = "there is no function " + shown + "()";
    if (other && receiver) message += " of a value; write " + shown + "(value)";
    if (other && !receiver) message += "; write value." + shown + "(…)";
    return fail(offset, message);
  }
  if (arguments.size() < function->min_arguments || arguments.size() > function->max_arguments) {
    return fail(offset, shown + "() takes " + argument_count(*function) + ", not " +
                            std::to_string(arguments.size()));
  }
  out = Node{};
  out.op = Op::kCall;
  out.offset = static_cast<std::uint32_t>(offset);
  out.text = shown;
  out.function = function;
  if (receiver) out.children.push_back(std::move(*receiver));
  std::move(arguments.begin(), arguments.end(), std::back_inserter(out.children));
  return finish(out);
}

bool Parser::make_has(Node& out, std::size_t offset, std::vector<Node> arguments) {
  if (arguments.size() != 1 || arguments[0].op != Op::kSelect) {
    return fail(offset, "has() takes one selection of a field, such as has(inputs.name)");
  }
  out = std::move(arguments[0]);
  out.op = Op::kHas;
  return true;
}

bool Parser::make_macro(Node& out, Macro macro, std::string_view name, std::size_t offset, Node receiver,
                        std::vector<Node> arguments) {
  const bool three = macro == Macro::kMap && arguments.size() == 3;
  if (arguments.size() != 2 && !three) {
    return fail(offset, std::string(name) + "() takes a variable and " +
                            (macro == Macro::kMap ? "one or two expressions" : "one expression"));
  }
  if (arguments[0].op != Op::kName) {
    return fail(arguments[0].offset,
                "the first argument of " + std::string(name) + "() is the name of a variable");
  }
  out = Node{};
  out.op = Op::kMacro;
  out.macro = macro;
  out.offset = static_cast<std::uint32_t>(offset);
  out.text = std::move(arguments[0].text);
  out.children.push_back(std::move(receiver));
  std::move(arguments.begin() + 1, arguments.end(), std::back_inserter(out.children));
  return finish(out);
}

}  // namespace ez::expression
