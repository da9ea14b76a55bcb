#include "base/value.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <thread>

namespace ez {
namespace {

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();

TEST(Value, KindsAndContents) {
  EXPECT_TRUE(Value().is_null());
  EXPECT_TRUE(Value(nullptr).is_null());
  EXPECT_TRUE(Value(true).as_bool());
  EXPECT_EQ(Value(7).as_int(), 7);
  EXPECT_EQ(Value(2.5).as_double(), 2.5);
  EXPECT_EQ(Value("text").as_string(), "text");
  EXPECT_EQ(Value(std::string_view("a\0b", 3)).as_string().size(), 3U);
  EXPECT_EQ(Value("").as_string(), "");
  EXPECT_TRUE(Value(Value::List{}).as_list().empty());
  EXPECT_TRUE(Value(Value::Map{}).as_map().empty());
  EXPECT_EQ(kind_name(Value(Value::Map{}).kind()), "map");
  EXPECT_EQ(kind_name(Value::Kind::kNull), "null");
}

TEST(Value, AnotherKindAborts) {
  EXPECT_DEATH((void)Value(1).as_string(), "not a string");
  EXPECT_DEATH((void)Value("1").as_int(), "not an int");
  EXPECT_DEATH(Value(1).push(2), "not a list");
  EXPECT_DEATH(Value(1).set("a", 2), "not a map");
}

TEST(Value, MapIsSortedAndTheLastOfEqualKeysStays) {
  const Value value(Value::Map{{"b", 1}, {"a", 2}, {"b", 3}, {"c", 4}, {"a", 5}, {"b", 6}});
  ASSERT_EQ(value.as_map().size(), 3U);
  EXPECT_EQ(value.as_map()[0], (std::pair<std::string, Value>("a", 5)));
  EXPECT_EQ(value.as_map()[1], (std::pair<std::string, Value>("b", 6)));
  EXPECT_EQ(value.as_map()[2], (std::pair<std::string, Value>("c", 4)));
}

TEST(Value, FindAndTypedLookups) {
  Value value;
  for (const char* key : {"m", "c", "x", "a", "z", "m"}) value.set(key, key);
  ASSERT_EQ(value.as_map().size(), 5U);
  for (const char* key : {"a", "c", "m", "x", "z"}) {
    ASSERT_NE(value.find(key), nullptr) << key;
    EXPECT_EQ(value.find(key)->as_string(), key);
  }
  for (const char* key : {"", "b", "zz"}) EXPECT_EQ(value.find(key), nullptr) << key;
  EXPECT_EQ(Value(1).find("a"), nullptr);
  value.set("i", 3);
  value.set("t", true);
  EXPECT_EQ(value.string_or("a", "?"), "a");
  EXPECT_EQ(value.string_or("i", "?"), "?");
  EXPECT_EQ(value.int_or("i", 0), 3);
  EXPECT_EQ(value.int_or("a", 9), 9);
  EXPECT_TRUE(value.bool_or("t", false));
  EXPECT_TRUE(value.bool_or("missing", true));
}

TEST(Value, CopiesAreIndependent) {
  Value list;
  list.push(1);
  const Value copy = list;
  list.push(2);
  EXPECT_EQ(copy.as_list().size(), 1U);
  EXPECT_EQ(list.as_list().size(), 2U);

  Value map;
  map.set("list", list);
  Value other = map;
  other.set("list", "gone");
  EXPECT_EQ(map.find("list")->as_list().size(), 2U);
  EXPECT_EQ(other.find("list")->as_string(), "gone");
}

TEST(Value, PushOfItselfIsSafe) {
  Value list;
  list.push(1);
  list.push(list);
  EXPECT_EQ(list, Value(Value::List{1, Value(Value::List{1})}));
}

TEST(Value, UnsharedStorageIsChangedInPlace) {
  Value list;
  for (int i = 0; i < 3; ++i) list.push(i);
  const Value::List* before = &list.as_list();
  list.push(3);
  EXPECT_EQ(&list.as_list(), before);
}

TEST(Value, MovedFromIsValid) {
  Value value("some text that is longer than a small string");
  const Value taken = std::move(value);
  EXPECT_TRUE(value.is_null() || value.as_string().empty());  // NOLINT: the point of the test
  EXPECT_EQ(taken.as_string().size(), 44U);
}

TEST(Value, EqualityIsDeepAndNumbersCompareMathematically) {
  EXPECT_EQ(Value(1), Value(1.0));
  EXPECT_NE(Value(1), Value(1.5));
  EXPECT_NE(Value(1), Value(true));
  EXPECT_NE(Value(0), Value());
  EXPECT_NE(Value("1"), Value(1));
  EXPECT_NE(Value(std::nan("")), Value(std::nan("")));
  EXPECT_EQ(Value(0.0), Value(-0.0));
  EXPECT_EQ(Value(Value::List{1, "a"}), Value(Value::List{1.0, "a"}));
  EXPECT_NE(Value(Value::List{1, "a"}), Value(Value::List{1}));
  EXPECT_EQ(Value(Value::Map{{"a", 1}, {"b", 2}}), Value(Value::Map{{"b", 2.0}, {"a", 1}}));
  EXPECT_NE(Value(Value::Map{{"a", 1}}), Value(Value::Map{{"b", 1}}));
  EXPECT_EQ(Value(""), Value(std::string()));
}

TEST(Value, CompareNumbersNeverRounds) {
  const double two63 = 9223372036854775808.0;
  EXPECT_TRUE(compare_numbers(kMax, two63) < 0);
  EXPECT_NE(Value(kMax), Value(two63));
  EXPECT_TRUE(compare_numbers(kMin, -two63) == 0);
  EXPECT_TRUE(compare_numbers(kMin, -two63 * 1.0001) > 0);
  EXPECT_TRUE(compare_numbers((1LL << 53) + 1, 9007199254740992.0) > 0);
  EXPECT_TRUE(compare_numbers(-3, -3.5) > 0);
  EXPECT_TRUE(compare_numbers(3, 3.5) < 0);
  EXPECT_TRUE(compare_numbers(0, 1e-300) < 0);
  EXPECT_TRUE(compare_numbers(0, std::numeric_limits<double>::infinity()) < 0);
  EXPECT_TRUE(compare_numbers(0, -std::numeric_limits<double>::infinity()) > 0);
  EXPECT_EQ(compare_numbers(0, std::nan("")), std::partial_ordering::unordered);
}

// Meaningful under the thread sanitizer: a writer must not touch what a reader still holds.
TEST(Value, SharedStorageIsSafeAcrossThreads) {
  for (int round = 0; round < 200; ++round) {
    Value value;
    for (int i = 0; i < 8; ++i) value.push(i);
    std::size_t seen = 0;
    std::thread reader([copy = value, &seen]() mutable {
      seen = copy.as_list().size();
      copy = Value();
    });
    value.push(8);
    value.push(9);
    reader.join();
    ASSERT_EQ(seen, 8U);
    ASSERT_EQ(value.as_list().size(), 10U);
  }
}

}  // namespace
}  // namespace ez
