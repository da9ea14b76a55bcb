// Random damage to well-formed requests. The seed is fixed and printed; EZ_SEED and EZ_FUZZ_ROUNDS ask for
// others.
#include <algorithm>
#include <cstdlib>

#include "base/random.h"
#include "http/testing.h"

namespace ez::http::testing {
namespace {

std::uint64_t from_environment(const char* name, std::uint64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

std::string damaged_request(Random& random) {
  static const std::string kSeeds[] = {
      raw_request("POST", "/v1/echo?a=1&b=%20", "X-Request-Id: a\r\nAccept: */*\r\n", "{\"a\":[1,2,3]}"),
      raw_request("GET", "/v1/hello/a%20b", "Connection: keep-alive\r\n"),
      raw_request("POST", "/v1/echo", "Transfer-Encoding: chunked\r\n") +
          "3\r\nabc\r\n10;x=y\r\n0123456789abcdef\r\n0\r\nT: u\r\n\r\n",
      raw_request("POST", "/v1/echo", "Expect: 100-continue\r\nContent-Length: 4\r\n") + "abcd",
      "GET http://localhost/healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
  };
  static const std::string kPieces[] = {"\r\n",
                                        "\r\n\r\n",
                                        "\n",
                                        ":",
                                        " ",
                                        "%",
                                        "Content-Length: 3\r\n",
                                        "chunked",
                                        "0\r\n",
                                        "HTTP/1.1",
                                        "Host: x\r\n",
                                        std::string(1, '\0'),
                                        "ffffffffffffffff",
                                        "?",
                                        "\t"};
  std::string text = kSeeds[random.below(std::size(kSeeds))];
  if (random.chance(1, 3)) text += kSeeds[random.below(std::size(kSeeds))];
  for (std::uint64_t i = random.below(6); i > 0; --i) {
    const std::size_t at = random.below(text.size());
    switch (random.below(5)) {
      case 0:
        text[at] = static_cast<char>(random.below(256));
        break;
      case 1:
        text.erase(at, 1 + random.below(8));
        break;
      case 2:
        text.insert(at, kPieces[random.below(std::size(kPieces))]);
        break;
      case 3:
        text.insert(at, text.substr(random.below(text.size()), random.below(40)));
        break;
      default:
        text.resize(std::max<std::size_t>(at, 1));
        break;
    }
    if (text.empty()) text = "x";
  }
  return text;
}

struct Collector final : BodySink {
  Status body(std::string_view piece) override {
    text.append(piece);
    return {};
  }
  std::string text;
};

// All messages in the bytes, as one text; "?" where the bytes end too early, "!" where they are refused.
std::string read_messages(std::string_view bytes, Random* cuts) {
  std::string out, pending;
  Parser parser(Parser::Kind::kRequest);
  Collector body;
  while (!bytes.empty()) {
    const std::size_t piece =
        cuts == nullptr ? bytes.size() : std::min<std::size_t>(1 + cuts->below(20), bytes.size());
    pending.append(bytes.substr(0, piece));
    bytes.remove_prefix(piece);
    while (!pending.empty()) {
      const auto used = parser.feed(pending, &body);
      if (!used.ok()) return out + "!";
      pending.erase(0, *used);
      if (parser.done()) {
        out += std::string(method_name(parser.head().method)) + " " + parser.head().target + " " +
               std::to_string(parser.head().headers.size()) + " " + body.text + ";";
        body.text.clear();
        parser.reset();
      } else if (*used == 0) {
        break;
      }
    }
  }
  return out + (parser.started() ? "?" : "");
}

// The way that the network cuts a stream must not change what is understood: that is how smuggling begins.
TEST(Fuzz, CutsDoNotChangeTheMeaning) {
  const std::uint64_t seed = from_environment("EZ_SEED", 20261122);
  SeededRandom random(seed);
  for (std::uint64_t round = 0; round < from_environment("EZ_FUZZ_ROUNDS", 20'000); ++round) {
    const std::string text = damaged_request(random);
    const std::string whole = read_messages(text, nullptr);
    const std::string cut = read_messages(text, &random);
    // A refusal may come earlier or later than the end of what was sent; what was accepted is the same.
    const auto accepted = [](std::string_view outcome) {
      return outcome.substr(0, outcome.find_last_of(';') + 1);
    };
    ASSERT_EQ(accepted(whole), accepted(cut)) << "seed " << seed << " round " << round << "\n" << text;
  }
}

TEST(Fuzz, TheServerSurvivesAndServes) {
  const std::uint64_t seed = from_environment("EZ_SEED", 20261122);
  SeededRandom random(seed);
  TestServer test;
  test.options.linger_timeout = std::chrono::milliseconds(20);
  test.start();
  for (std::uint64_t round = 0; round < from_environment("EZ_FUZZ_ROUNDS", 20'000) / 20; ++round) {
    RawClient raw = test.connect();
    const std::string text = damaged_request(random);
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t piece = 1 + random.below(text.size());
      if (!raw.send(std::string_view(text).substr(at, piece))) break;
      at += piece;
    }
    if (random.chance(1, 2)) raw.half_close();
  }
  RawClient raw = test.connect();
  ASSERT_TRUE(raw.send(raw_request("POST", "/v1/echo", "", "well")));
  const auto answer = raw.receive();
  ASSERT_TRUE(answer) << "seed " << seed;
  EXPECT_EQ(answer->body, "well");
}

}  // namespace
}  // namespace ez::http::testing
