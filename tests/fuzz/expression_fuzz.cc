// libFuzzer entry point: any text as an expression and as a template, evaluated over a small document. What
// must hold: an end within the limits, a result that is the same every time, an error of the three expression
// codes otherwise.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/expression.h"
#include "base/json.h"

namespace {

const ez::Value* lookup(std::string_view name) {
  static const ez::Value variables = ez::parse_json(R"({
    "inputs": {"n": 3, "f": 2.5, "s": "some text", "list": [1, "x", null, {"k": [true]}],
               "big": 9223372036854775807},
    "tasks": {"build": {"state": "succeeded", "output": {"changed": 1}}, "unit-tests": {"output": []}},
    "item": "a b", "index": 0})")
                                         .value();
  return variables.find(name);
}

void check_error(const ez::Error& error) {
  const bool known = error.code() == ez::Code::ExpressionInvalid ||
                     error.code() == ez::Code::ExpressionFailed || error.code() == ez::Code::ExpressionCost;
  EZ_CHECK(known && !error.message().empty() && error.message().size() < 2'000, "an unexpected error");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  ez::ExpressionLimits limits;
  limits.max_cost = 20'000;
  limits.max_result_bytes = 64 * 1024;
  const ez::Result<ez::Expression> parsed = ez::Expression::parse(text, limits);
  if (!parsed.ok()) {
    check_error(parsed.error());
  } else {
    for (const auto& path : parsed->paths()) EZ_CHECK(!path.empty(), "an empty path");
    const ez::Result<ez::Value> value = parsed->evaluate(lookup, limits);
    const ez::Result<ez::Value> again = parsed->evaluate(lookup, limits);
    EZ_CHECK(value.ok() == again.ok(), "two evaluations differ");
    if (value.ok()) {
      EZ_CHECK(ez::to_json(*value) == ez::to_json(*again), "two evaluations differ");
    } else {
      check_error(value.error());
    }
  }
  const ez::Result<ez::Template> pieces = ez::Template::parse(text, limits);
  if (!pieces.ok()) {
    check_error(pieces.error());
    return 0;
  }
  for (const auto quoting : {ez::Template::Quoting::kPlain, ez::Template::Quoting::kShell}) {
    const ez::Result<std::string> rendered = pieces->render(lookup, quoting, limits);
    if (!rendered.ok()) check_error(rendered.error());
  }
  if (pieces->is_constant() && text.find("${{") == std::string_view::npos) {
    const ez::Result<std::string> same = pieces->render(lookup, ez::Template::Quoting::kPlain, limits);
    EZ_CHECK(!same.ok() || *same == text, "a text without inserts changed");
  }
  return 0;
}
