#include "base/value.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace ez {
namespace {

constexpr double kTwoTo63 = 9223372036854775808.0;

// Null pointers stand for empty strings, lists and maps: these need no storage, and a moved-from Value stays
// valid.
template <typename T>
std::shared_ptr<const T> box(T value) {
  return value.empty() ? nullptr : std::make_shared<T>(std::move(value));
}

template <typename T>
const T& unbox(const std::shared_ptr<const T>& pointer) {
  static const T* empty = new T();  // never destroyed: Values may outlive static destruction
  return pointer == nullptr ? *empty : *pointer;
}

// Storage that only this Value holds, ready to be changed; copies it when it is shared.
template <typename T>
T& own(std::shared_ptr<const T>& pointer) {
  // Taking one more reference is an acquire-release operation, which a plain use_count() is not: it orders
  // this write after the last read of another thread that has just dropped its reference.
  const std::shared_ptr<const T> held = pointer;
  if (held == nullptr) {
    pointer = std::make_shared<T>();
  } else if (held.use_count() != 2) {
    pointer = std::make_shared<T>(*held);
  }
  // The object was made by make_shared<T>, so it is not const itself.
  return const_cast<T&>(*pointer);  // NOLINT
}

bool key_less(const std::pair<std::string, Value>& member, std::string_view key) {
  return member.first < key;
}

Value::Map sorted(Value::Map map) {
  const auto in_order = [](const auto& a, const auto& b) { return a.first < b.first; };
  const auto not_less = [](const auto& a, const auto& b) { return a.first >= b.first; };
  if (std::adjacent_find(map.begin(), map.end(), not_less) == map.end()) return map;
  std::stable_sort(map.begin(), map.end(), in_order);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < map.size(); ++i) {
    if (i + 1 < map.size() && map[i].first == map[i + 1].first) continue;  // the later one stays
    if (kept != i) map[kept] = std::move(map[i]);
    ++kept;
  }
  map.erase(map.begin() + static_cast<std::ptrdiff_t>(kept), map.end());
  return map;
}

}  // namespace

Value::Value(std::string value) : data_(box<std::string>(std::move(value))) {}
Value::Value(std::string_view value) : Value(std::string(value)) {}
Value::Value(const char* value) : Value(std::string(value)) {}
Value::Value(List value) : data_(box<List>(std::move(value))) {}
Value::Value(Map value) : data_(box<Map>(sorted(std::move(value)))) {}

bool Value::as_bool() const {
  EZ_CHECK(is_bool(), "the Value is not a bool");
  return *std::get_if<bool>(&data_);
}

std::int64_t Value::as_int() const {
  EZ_CHECK(is_int(), "the Value is not an int");
  return *std::get_if<std::int64_t>(&data_);
}

double Value::as_double() const {
  EZ_CHECK(is_double(), "the Value is not a double");
  return *std::get_if<double>(&data_);
}

const std::string& Value::as_string() const {
  EZ_CHECK(is_string(), "the Value is not a string");
  return unbox(*std::get_if<std::shared_ptr<const std::string>>(&data_));
}

const Value::List& Value::as_list() const {
  EZ_CHECK(is_list(), "the Value is not a list");
  return unbox(*std::get_if<std::shared_ptr<const List>>(&data_));
}

const Value::Map& Value::as_map() const {
  EZ_CHECK(is_map(), "the Value is not a map");
  return unbox(*std::get_if<std::shared_ptr<const Map>>(&data_));
}

const Value* Value::find(std::string_view key) const {
  if (!is_map()) return nullptr;
  const Map& map = as_map();
  const auto found = std::lower_bound(map.begin(), map.end(), key, key_less);
  return found != map.end() && found->first == key ? &found->second : nullptr;
}

std::string_view Value::string_or(std::string_view key, std::string_view fallback) const {
  const Value* member = find(key);
  return member != nullptr && member->is_string() ? std::string_view(member->as_string()) : fallback;
}

std::int64_t Value::int_or(std::string_view key, std::int64_t fallback) const {
  const Value* member = find(key);
  return member != nullptr && member->is_int() ? member->as_int() : fallback;
}

bool Value::bool_or(std::string_view key, bool fallback) const {
  const Value* member = find(key);
  return member != nullptr && member->is_bool() ? member->as_bool() : fallback;
}

void Value::set(std::string_view key, Value value) {
  if (is_null()) data_ = std::shared_ptr<const Map>();
  EZ_CHECK(is_map(), "set() on a Value that is not a map");
  Map& map = own(*std::get_if<std::shared_ptr<const Map>>(&data_));
  if (map.empty() || map.back().first < key) {  // members often come in order
    map.emplace_back(std::string(key), std::move(value));
    return;
  }
  const auto place = std::lower_bound(map.begin(), map.end(), key, key_less);
  if (place->first == key) {
    place->second = std::move(value);
  } else {
    map.emplace(place, std::string(key), std::move(value));
  }
}

void Value::push(Value value) {
  if (is_null()) data_ = std::shared_ptr<const List>();
  EZ_CHECK(is_list(), "push() on a Value that is not a list");
  own(*std::get_if<std::shared_ptr<const List>>(&data_)).push_back(std::move(value));
}

// Exact: the int is never rounded to a double.
std::partial_ordering compare_numbers(std::int64_t a, double b) {
  if (std::isnan(b)) return std::partial_ordering::unordered;
  if (b >= kTwoTo63) return std::partial_ordering::less;
  if (b < -kTwoTo63) return std::partial_ordering::greater;
  const auto whole = static_cast<std::int64_t>(b);  // towards zero, and in range after the two lines above
  if (a != whole) return a <=> whole;
  return 0.0 <=> (b - static_cast<double>(whole));
}

bool operator==(const Value& a, const Value& b) {
  if (a.kind() != b.kind()) {
    if (a.is_int() && b.is_double()) return compare_numbers(a.as_int(), b.as_double()) == 0;
    if (a.is_double() && b.is_int()) return compare_numbers(b.as_int(), a.as_double()) == 0;
    return false;
  }
  switch (a.kind()) {
    case Value::Kind::kNull:
      return true;
    case Value::Kind::kBool:
      return a.as_bool() == b.as_bool();
    case Value::Kind::kInt:
      return a.as_int() == b.as_int();
    case Value::Kind::kDouble:
      return a.as_double() == b.as_double();
    case Value::Kind::kString:
      return a.as_string() == b.as_string();
    case Value::Kind::kList:
      return a.as_list() == b.as_list();
    case Value::Kind::kMap:
      return a.as_map() == b.as_map();
  }
  return false;
}

std::string_view kind_name(Value::Kind kind) {
  constexpr std::string_view kNames[] = {"null", "bool", "int", "double", "string", "list", "map"};
  return kNames[static_cast<std::size_t>(kind)];
}

}  // namespace ez
