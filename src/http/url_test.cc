#include "http/url.h"

#include <gtest/gtest.h>

#include "http/message.h"

namespace ez::http {
namespace {

TEST(Percent, DecodesAndRefuses) {
  EXPECT_EQ(percent_decode("a%20b+c", false), "a b+c");
  EXPECT_EQ(percent_decode("a%20b+c", true), "a b c");
  EXPECT_EQ(percent_decode("%c3%A9", false), "\xc3\xa9");
  for (const char* bad : {"%", "%4", "%zz", "%4g", "%00", "%0a", "%7f", "%ff", "%c3", "%c0%af", "%ed%a0%80",
                          "%f5%80%80%80", "%e2%82"}) {
    EXPECT_EQ(percent_decode(bad, false), std::nullopt) << bad;
  }
}

TEST(Percent, EncodeReadsBack) {
  const std::string text = "a b/c?d=e&f%\xc3\xa9~";
  EXPECT_EQ(percent_encode(text), "a%20b%2Fc%3Fd%3De%26f%25%C3%A9~");
  EXPECT_EQ(percent_decode(percent_encode(text), false), text);
}

TEST(Query, ReadsParameters) {
  const auto query = Query::parse("state=running&limit=10&name=a%20b&empty=&flag");
  ASSERT_TRUE(query.ok());
  EXPECT_EQ(*query->find("state"), "running");
  EXPECT_EQ(*query->find("name"), "a b");
  EXPECT_EQ(*query->find("empty"), "");
  EXPECT_EQ(*query->find("flag"), "");
  EXPECT_EQ(query->find("none"), nullptr);
  EXPECT_EQ(*query->number("limit", 5, 1, 100), 10);
  EXPECT_EQ(*query->number("none", 5, 1, 100), 5);
  EXPECT_EQ(query->number("limit", 5, 1, 9).error().code(), Code::RequestInvalid);
  EXPECT_EQ(query->number("state", 5, 1, 9).error().code(), Code::RequestInvalid);
  EXPECT_EQ(query->number("empty", 5, 0, 9).error().code(), Code::RequestInvalid);
  EXPECT_TRUE(query->only({"state", "limit", "name", "empty", "flag"}).ok());
  EXPECT_EQ(query->only({"state"}).error().message(), "query parameter limit is not known here");
}

TEST(Query, RefusesWhatIsAmbiguousOrUnbounded) {
  for (const char* bad : {"a=1&a=2", "=1", "a=%", "%zz=1", "a=%00"}) {
    EXPECT_EQ(Query::parse(bad).error().code(), Code::RequestInvalid) << bad;
  }
  std::string many;
  for (std::size_t i = 0; i <= kMaxQueryParameters; ++i) many += "p" + std::to_string(i) + "=1&";
  EXPECT_EQ(Query::parse(many).error().code(), Code::RequestInvalid);
}

TEST(Target, SplitsBothForms) {
  const auto origin = split_target("/v1/runs?limit=1?2");
  ASSERT_TRUE(origin.ok());
  EXPECT_EQ(origin->path, "/v1/runs");
  EXPECT_EQ(origin->query, "limit=1?2");
  EXPECT_EQ(origin->authority, "");
  const auto absolute = split_target("http://localhost:7878/v1?x=1");
  ASSERT_TRUE(absolute.ok());
  EXPECT_EQ(absolute->path, "/v1");
  EXPECT_EQ(absolute->authority, "localhost:7878");
  EXPECT_EQ(split_target("http://localhost")->path, "/");
  for (const std::string& bad : {std::string(), std::string("*"), std::string("v1"), std::string("/a#b"),
                                 std::string("http:///x"), "/" + std::string(kMaxTargetBytes, 'a')}) {
    EXPECT_FALSE(split_target(bad).ok()) << bad.substr(0, 20);
  }
}

TEST(ServerAddress, ReadsWhatPeopleType) {
  const auto plain = parse_server_address("http://127.0.0.1:7878/");
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->host, "127.0.0.1");
  EXPECT_EQ(plain->port, 7878);
  EXPECT_EQ(plain->authority(), "127.0.0.1:7878");
  EXPECT_EQ(parse_server_address("http://example")->port, 80);
  EXPECT_EQ(parse_server_address("http://[::1]:80")->authority(), "[::1]:80");
  for (const char* bad :
       {"", "localhost:1", "https://x", "http://", "http://:1", "http://a:0", "http://a:99999", "http://a:x",
        "http://a/b", "http://u@a", "http://[::1", "http://[::1]x"}) {
    EXPECT_EQ(parse_server_address(bad).error().code(), Code::InvalidArgument) << bad;
  }
}

TEST(Message, ListsDatesAndHeaders) {
  EXPECT_TRUE(list_contains("text/html, Application/JSON;q=1", "application/json"));
  EXPECT_FALSE(list_contains("text/html,application/jsonx", "application/json"));
  EXPECT_EQ(http_date(1'795'366'080), "Sun, 22 Nov 2026 16:48:00 GMT");
  std::string out;
  append_header(out, "Location", "/a\r\nSet-Cookie: x");
  EXPECT_EQ(out, "Location: /a  Set-Cookie: x\r\n");
  Headers headers;
  headers.add("Host", "a");
  headers.add("X-One", "1");
  headers.add("x-one", "2");
  EXPECT_EQ(headers.find("X-ONE"), "1");
  EXPECT_EQ(headers.count("x-One"), 2u);
  EXPECT_EQ(headers.find("none"), std::nullopt);
}

}  // namespace
}  // namespace ez::http
