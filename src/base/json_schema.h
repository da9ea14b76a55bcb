// JSON Schema (draft 2020-12): whether a Value fits a schema, and where it does not.
//
// A subset that is either checked or refused: compile() reports every keyword that check() would not honour,
// so that a schema never promises more than is looked at. Supported: type, enum, const; properties, required,
// additionalProperties, patternProperties, propertyNames, minProperties, maxProperties, dependentRequired;
// items, prefixItems, contains, minContains, maxContains, minItems, maxItems, uniqueItems; minLength,
// maxLength, pattern; minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf; allOf, anyOf, oneOf,
// not, if, then, else; $ref to "#" and "#/…" of the same document, $defs. `format` and the other annotations
// are allowed and say nothing. Lengths count code points; patterns are RE2 expressions that may match
// anywhere.
//
// Threads: immutable once compiled; a copy is cheap. Limits: kMaxSchemaNodes, kMaxSchemaDepth; a check ends
// after kMaxSchemaSteps steps with a complaint.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/value.h"

namespace ez {

inline constexpr std::size_t kMaxSchemaNodes = 10'000;
inline constexpr std::size_t kMaxSchemaDepth = 64;
inline constexpr std::size_t kMaxSchemaSteps = 1'000'000;
inline constexpr std::size_t kMaxSchemaComplaints = 20;

class JsonSchema {
 public:
  // INVALID_ARGUMENT with the JSON pointer of the place in the schema.
  [[nodiscard]] static Result<JsonSchema> compile(const Value& schema);

  // Empty: it fits. Otherwise what is wrong, each with the JSON pointer of its place ("/a/0: must be a
  // string"), at most kMaxSchemaComplaints.
  [[nodiscard]] std::vector<std::string> check(const Value& value) const;

  [[nodiscard]] const Value& source() const { return schema_; }

 private:
  explicit JsonSchema(Value schema) : schema_(std::move(schema)) {}
  Value schema_;
};

}  // namespace ez
