// Value: the one dynamic type of the house. JSON documents, workflow inputs, task outputs and expression
// operands are Values. A value type: copies are deep except that lists, maps and strings share immutable
// storage; set() and push() copy the storage first when another Value shares it. A moved-from Value is valid.
//
// Threads: one Value is used like an int (many readers or one writer); Values that share storage need no
// care. Limits: none of its own; whoever builds a Value bounds its size and depth (JsonLimits,
// ExpressionLimits).
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace ez {

class Value {
 public:
  using List = std::vector<Value>;
  // Sorted by key (byte order), keys unique: so that iteration, text and hashes are the same everywhere.
  using Map = std::vector<std::pair<std::string, Value>>;

  enum class Kind : std::uint8_t { kNull, kBool, kInt, kDouble, kString, kList, kMap };

  Value() = default;
  Value(std::nullptr_t) {}                          // NOLINT: implicit on purpose, like the ones below
  Value(bool value) : data_(value) {}               // NOLINT
  Value(std::int64_t value) : data_(value) {}       // NOLINT
  Value(int value) : data_(std::int64_t{value}) {}  // NOLINT
  Value(double value) : data_(value) {}             // NOLINT
  Value(std::string value);                         // NOLINT
  Value(std::string_view value);                    // NOLINT
  Value(const char* value);                         // NOLINT
  Value(List value);                                // NOLINT
  Value(Map value);                                 // NOLINT: sorts; of equal keys the last one stays

  [[nodiscard]] Kind kind() const { return static_cast<Kind>(data_.index()); }
  [[nodiscard]] bool is_null() const { return kind() == Kind::kNull; }
  [[nodiscard]] bool is_bool() const { return kind() == Kind::kBool; }
  [[nodiscard]] bool is_int() const { return kind() == Kind::kInt; }
  [[nodiscard]] bool is_double() const { return kind() == Kind::kDouble; }
  [[nodiscard]] bool is_string() const { return kind() == Kind::kString; }
  [[nodiscard]] bool is_list() const { return kind() == Kind::kList; }
  [[nodiscard]] bool is_map() const { return kind() == Kind::kMap; }

  // Each aborts on another kind: ask first.
  [[nodiscard]] bool as_bool() const;
  [[nodiscard]] std::int64_t as_int() const;
  [[nodiscard]] double as_double() const;
  [[nodiscard]] const std::string& as_string() const;
  [[nodiscard]] const List& as_list() const;
  [[nodiscard]] const Map& as_map() const;

  // The member of a map, or nullptr when this is not a map or has no such key. O(log n).
  [[nodiscard]] const Value* find(std::string_view key) const;

  // For reading documents: the member when it has that kind, otherwise the fallback.
  [[nodiscard]] std::string_view string_or(std::string_view key, std::string_view fallback) const;
  [[nodiscard]] std::int64_t int_or(std::string_view key, std::int64_t fallback) const;
  [[nodiscard]] bool bool_or(std::string_view key, bool fallback) const;

  // Sets or replaces a member; turns null into a map first. Aborts on any other kind.
  void set(std::string_view key, Value value);
  // Appends; turns null into a list first. Aborts on any other kind.
  void push(Value value);

  // Deep equality; an int and a double that are mathematically equal are equal (as in CEL), NaN equals
  // nothing.
  friend bool operator==(const Value& a, const Value& b);

 private:
  std::variant<std::monostate, bool, std::int64_t, double, std::shared_ptr<const std::string>,
               std::shared_ptr<const List>, std::shared_ptr<const Map>>
      data_;
};

// Exact order of an int and a double: nothing is rounded; NaN is unordered.
[[nodiscard]] std::partial_ordering compare_numbers(std::int64_t a, double b);

// "null", "bool", "int", "double", "string", "list", "map".
[[nodiscard]] std::string_view kind_name(Value::Kind kind);

}  // namespace ez
