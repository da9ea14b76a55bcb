#include "base/base64.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace ez {
namespace {

TEST(Base64, ExamplesOfTheSpecification) {
  const std::pair<const char*, const char*> examples[] = {
      {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, coded] : examples) {
    EXPECT_EQ(to_base64(plain), coded);
    EXPECT_EQ(from_base64(coded), plain);
  }
}

TEST(Base64, AnyBytesComeBack) {
  SeededRandom random(5);
  for (std::size_t size = 0; size < 200; ++size) {
    std::string bytes;
    for (std::size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(random.below(256)));
    EXPECT_EQ(from_base64(to_base64(bytes)), bytes);
  }
}

TEST(Base64, OnlyTheCanonicalFormIsRead) {
  for (const char* bad : {"Z", "Zg", "Zg=", "Zg===", "=Zg=", "Z===", "Zh==", "Zm9=", "Zm9v\n", "Zm 9",
                          "Zg==Zg==", "____", "Zm9v====", "\xff\xff\xff\xff"}) {
    EXPECT_FALSE(from_base64(bad)) << bad;
  }
}

}  // namespace
}  // namespace ez
