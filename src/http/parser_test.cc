#include "http/parser.h"

#include <gtest/gtest.h>

namespace ez::http {
namespace {

struct Collector final : BodySink {
  Status body(std::string_view piece) override {
    text.append(piece);
    return {};
  }
  std::string text;
};

// Feeds the bytes in pieces of that size; the outcome must not depend on it.
Result<std::string> parse_in(std::string_view bytes, std::size_t piece, Parser& parser) {
  Collector body;
  std::string pending;
  parser.reset();
  while (!parser.done()) {
    if (bytes.empty()) return Error(Code::OutcomeUnknown, "more bytes are needed");
    pending.append(bytes.substr(0, piece));
    bytes.remove_prefix(std::min(piece, bytes.size()));
    for (;;) {
      EZ_ASSIGN(const std::size_t used, parser.feed(pending, &body));
      pending.erase(0, used);
      if (used == 0 || parser.done()) break;
    }
  }
  return body.text + "|" + pending;
}

TEST(Parser, AnyCutGivesTheSameMessage) {
  const std::string text =
      "POST /v1/x?y=1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\nhello\r\n6;name=value\r\n world\r\n0\r\nTrailer: x\r\n\r\nNEXT";
  for (std::size_t piece = 1; piece <= text.size(); ++piece) {
    Parser parser(Parser::Kind::kRequest);
    const auto body = parse_in(text, piece, parser);
    ASSERT_TRUE(body.ok()) << piece << " " << body.error().to_string();
    EXPECT_EQ(body->substr(0, 12), "hello world|") << piece;
    EXPECT_EQ(parser.head().method, Method::kPost);
    EXPECT_EQ(parser.head().target, "/v1/x?y=1");
    EXPECT_EQ(parser.head().headers.size(), 2u);
    EXPECT_TRUE(parser.head().keep_alive);
  }
}

TEST(Parser, RefusesWhatTwoReadersCouldReadDifferently) {
  const char* const bad[] = {
      "GARBAGE\r\n\r\n",
      "GET / HTTP/2.0\r\n\r\n",
      "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
      "GET / HTTP/1.1\r\nBad\x01Name: a\r\n\r\n",
      "GET / HTTP/1.1\r\nA: b\x01\r\n\r\n",
      "GET  / HTTP/1.1\r\n\r\n",
      "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
      "POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
      "POST / HTTP/1.1\r\nContent-Length: 5x\r\n\r\n",
      "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
      "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
      "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n",
      "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
      "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n\r\n",
      "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
  };
  for (const char* text : bad) {
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::string_view(text).size()}) {
      Parser parser(Parser::Kind::kRequest);
      const auto body = parse_in(text, piece, parser);
      ASSERT_FALSE(body.ok()) << text;
      EXPECT_EQ(body.error().code(), Code::RequestInvalid) << text << " in pieces of " << piece;
    }
  }
}

TEST(Parser, HeadLimitsHoldForAnyCut) {
  const std::string start = "GET / HTTP/1.1\r\n";
  std::string many = start;
  for (std::size_t i = 0; i <= kMaxHeaders + 1; ++i) many += "A: b\r\n";
  many += "\r\n";
  std::string lines = start;
  while (lines.size() <= kMaxHeadBytes) lines += "X: " + std::string(1000, 'x') + "\r\n";
  const std::string endless = start + "X: " + std::string(2 * kMaxHeadBytes, 'x');
  const std::string target = "GET /" + std::string(2 * kMaxHeadBytes, 'x');
  for (const std::string& text : {many, lines, endless, target}) {
    for (const std::size_t piece : {std::size_t{1}, std::size_t{100}, text.size()}) {
      Parser parser(Parser::Kind::kRequest);
      const auto body = parse_in(text, piece, parser);
      ASSERT_FALSE(body.ok());
      EXPECT_EQ(body.error().code(), Code::HeaderTooLarge) << text.substr(0, 40) << " in pieces of " << piece;
    }
  }
}

TEST(Parser, EndlessChunkLineAndTrailersAreRefused) {
  const std::string head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const std::string& text :
       {head + "5;" + std::string(20'000, 'x'), head + "0\r\nA: " + std::string(20'000, 'x')}) {
    Parser parser(Parser::Kind::kRequest);
    const auto body = parse_in(text, 500, parser);
    ASSERT_FALSE(body.ok());
    EXPECT_EQ(body.error().code(), Code::RequestInvalid);
  }
}

// Found by the fuzzer: read as a message of its own when it came whole, refused when it came in pieces.
TEST(Parser, ABadTrailerIsRefusedForAnyCut) {
  const std::string head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const char* const rest :
       {"0\r\nabc\r\n0\r\nc", "0\r\nabc\r\n\r\n", "0\r\n: x\r\n\r\n", "0\r\nA: b\r\n c\r\n\r\n",
        "0\r\nA : b\r\n\r\n", "0\r\nA: \x01\r\n\r\n", "0\nA: b\n\n", "0\r\nA: b\n\r\n", "0\r\n\rx",
        "3\r\nabcd\r\n0\r\n\r\n", "3\r\nabc\n0\r\n\r\n", "\r\n", ";x\r\n", "3;\x01\r\nabc\r\n0\r\n\r\n",
        "00000000000000003\r\nabc\r\n0\r\n\r\n"}) {
    const std::string text = head + rest;
    for (std::size_t piece = 1; piece <= text.size(); ++piece) {
      Parser parser(Parser::Kind::kResponse);
      const auto body = parse_in(text, piece, parser);
      ASSERT_FALSE(body.ok()) << rest << " in pieces of " << piece;
      EXPECT_EQ(body.error().code(), Code::RequestInvalid) << rest << " in pieces of " << piece;
    }
  }
}

TEST(Parser, TrailersAreReadOver) {
  const std::string text =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0a ;q=\"x\"\r\n0123456789\r\n000\r\n"
      "A: b\r\nX-Empty:\r\n\r\nNEXT";
  for (std::size_t piece = 1; piece <= text.size(); ++piece) {
    Parser parser(Parser::Kind::kResponse);
    const auto body = parse_in(text, piece, parser);
    ASSERT_TRUE(body.ok()) << piece << " " << body.error().to_string();
    EXPECT_EQ(body->substr(0, 11), "0123456789|");
    EXPECT_EQ(parser.head().headers.size(), 1u) << "a trailer is no header";
    Parser cut(Parser::Kind::kResponse);
    EXPECT_FALSE(parse_in(std::string_view(text).substr(0, text.size() - 6), piece, cut).ok());
    EXPECT_FALSE(cut.finish().ok());
  }
}

TEST(Parser, ResponsesEndAsTheirHeadSays) {
  Collector body;
  Parser parser(Parser::Kind::kResponse);
  const std::string open_ended = "HTTP/1.1 200 OK\r\n\r\nuntil the end";
  std::size_t used = *parser.feed(open_ended, &body);
  while (used < open_ended.size()) used += *parser.feed(std::string_view(open_ended).substr(used), &body);
  EXPECT_FALSE(parser.done());
  EXPECT_TRUE(parser.finish().ok());
  EXPECT_TRUE(parser.done());
  EXPECT_EQ(body.text, "until the end");

  parser.reset(true);  // an answer to HEAD has no body whatever its length says
  EXPECT_TRUE(parser.feed("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", &body).ok());
  EXPECT_TRUE(parser.done());

  parser.reset();
  ASSERT_TRUE(parser.feed("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", &body).ok());
  EXPECT_FALSE(parser.finish().ok());
}

}  // namespace
}  // namespace ez::http
