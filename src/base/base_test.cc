#include <gtest/gtest.h>

#include "base/clock.h"
#include "base/cow.h"
#include "base/error.h"
#include "base/ids.h"
#include "base/sha256.h"

namespace ez {
namespace {

TEST(Ids, TextFormsReadBack) {
  EXPECT_EQ(to_text(RunId{17}), "r17");
  EXPECT_EQ(parse_run_id("r17"), RunId{17});
  const RunId sharded{(3ULL << 48) | 17};
  EXPECT_EQ(to_text(sharded), "r3-17");
  EXPECT_EQ(parse_run_id("r3-17"), sharded);
  for (const char* bad :
       {"", "r", "17", "r0", "r-1", "rx", "r1x", "r99999999999999999999", "r70000-1", "a1"}) {
    EXPECT_FALSE(parse_run_id(bad)) << bad;
  }
}

TEST(Clock, FormatsRfc3339) {
  EXPECT_EQ(format_time(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(format_time(1'795'366'080'123), "2026-11-22T16:48:00.123Z");
  EXPECT_EQ(format_time(-1), "1969-12-31T23:59:59.999Z");
}

TEST(Errors, CatalogueIsFoundByName) {
  ASSERT_NE(find_code("LOG_DISK_FULL"), nullptr);
  EXPECT_TRUE(find_code("LOG_DISK_FULL")->retry);
  EXPECT_EQ(find_code("NO_SUCH_CODE"), nullptr);
  EXPECT_EQ(info(Code::RunNotFound).http_status, 404);
}

TEST(Sha256, KnownVector) {
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Cow, WriteCopiesOnlyWhenShared) {
  Cow<std::string> first(std::string("one"));
  const std::string* before = &first.read();
  first.write() = "two";
  EXPECT_EQ(&first.read(), before);
  Cow<std::string> second = first;
  first.write() = "three";
  EXPECT_EQ(second.read(), "two");
  EXPECT_EQ(first.read(), "three");
}

}  // namespace
}  // namespace ez
