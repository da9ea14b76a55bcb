// Any bytes as HTTP/1.1, request and response: reading them ends, and where they are cut into pieces makes no
// difference to what is read. The first byte says how.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "http/parser.h"
#include "http/url.h"

namespace {

using namespace ez::http;

class Body final : public BodySink {
 public:
  ez::Status body(std::string_view piece) override {
    bytes.append(piece);
    return {};
  }
  std::string bytes;
};

// What one message said, as text, whatever the cuts.
std::string read(Parser::Kind kind, std::string_view bytes, std::size_t step) {
  Parser parser(kind);
  Body body;
  std::size_t begin = 0;
  std::size_t end = 0;
  while (!parser.done() && end < bytes.size()) {
    end = std::min(bytes.size(), end + step);
    while (begin < end && !parser.done()) {
      const auto used = parser.feed(bytes.substr(begin, end - begin), &body);
      if (!used.ok()) return "no message";
      EZ_CHECK(*used <= end - begin, "the parser used more than it was given");
      if (*used == 0) break;
      begin += *used;
    }
  }
  // When a mistake is noticed depends on the pieces, that it is does not.
  if (!parser.done() && !parser.finish().ok()) return "no message";
  if (!parser.head_done()) return "no head";
  const Head& head = parser.head();
  EZ_CHECK(!head.content_length || body.bytes.size() <= *head.content_length, "a body beyond its length");
  return std::to_string(static_cast<int>(head.method)) + " " + head.target + " " +
         std::to_string(head.status) + (head.keep_alive ? " keep " : " close ") + body.bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Parser::Kind kind = (data[0] & 1) == 0 ? Parser::Kind::kRequest : Parser::Kind::kResponse;
  const std::size_t step = 1 + data[0] / 2 % 16;
  EZ_CHECK(read(kind, bytes, bytes.size() + 1) == read(kind, bytes, step),
           "the same bytes in other pieces are another message");
  return 0;
}
