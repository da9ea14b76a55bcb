// libFuzzer entry point: any text as JSON. What is taken must be written and read back to an equal Value, in
// both forms, and the compact form must be stable.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // A string literal can be made of any bytes at all.
  std::string literal;
  ez::append_json_string(literal, text);
  EZ_CHECK(ez::parse_json(literal).ok(), "a string literal of ours is refused");

  const ez::Result<ez::Value> parsed = ez::parse_json(text);
  if (!parsed.ok()) {
    EZ_CHECK(!parsed.error().message().empty() && parsed.error().message().size() < 1'000,
             "an unexpected error");
    return 0;
  }
  const std::string compact = ez::to_json(*parsed);
  const ez::Result<ez::Value> back = ez::parse_json(compact);
  EZ_CHECK(back.ok() && *back == *parsed, "the compact form reads back differently");
  EZ_CHECK(ez::to_json(*back) == compact, "the compact form is not stable");
  const ez::Result<ez::Value> pretty = ez::parse_json(ez::to_pretty_json(*parsed));
  EZ_CHECK(pretty.ok() && ez::to_json(*pretty) == compact, "the pretty form reads back differently");
  return 0;
}
