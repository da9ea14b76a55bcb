#include "http/sse.h"

#include <atomic>
#include <charconv>
#include <thread>

#include "http/sse_client.h"
#include "http/testing.h"

namespace ez::http::testing {
namespace {

std::vector<std::string> parse_events(std::string_view text, std::size_t piece) {
  std::vector<std::string> out;
  SseParser parser([&](const ReceivedEvent& event) {
    out.push_back(event.id + "/" + event.event + "/" + event.data);
    return true;
  });
  while (!text.empty()) {
    EXPECT_TRUE(parser.feed(text.substr(0, piece)).ok());
    text.remove_prefix(std::min(piece, text.size()));
  }
  return out;
}

TEST(Sse, WhatIsWrittenReadsBackForAnyCut) {
  std::string text = ": a comment\n\n";
  append_sse(text, {"1", "task", "{\"a\":1}"});
  append_sse(text, {"2", "", "two\nlines\r\nand\rmore"});
  append_sse(text, {"", "empty", ""});
  append_sse(text, {"3\n\ndata: evil", "x\r\nid: 9", "d"});
  const std::vector<std::string> wanted = {"1/task/{\"a\":1}", "2/message/two\nlines\nand\nmore", "2/empty/",
                                           "3data: evil/xid: 9/d"};
  for (std::size_t piece = 1; piece <= text.size(); ++piece)
    EXPECT_EQ(parse_events(text, piece), wanted) << piece;
}

TEST(Sse, ParserFollowsTheStandard) {
  EXPECT_EQ(parse_events("\xef\xbb\xbf"
                         "data: a\r\n\r\ndata:b\rdata: c\r\rdata\n\n",
                         1),
            (std::vector<std::string>{"/message/a", "/message/b\nc", "/message/"}));
  EXPECT_EQ(parse_events("id: 1\n\nevent: x\n\ndata: y\n\ndata: unfinished\n", 3),
            (std::vector<std::string>{"1/message/y"}));
  EXPECT_EQ(parse_events("unknown: z\nid\ndata: y\n\n", 100), (std::vector<std::string>{"/message/y"}));
  SseParser parser([](const ReceivedEvent&) { return true; }, 100);
  EXPECT_TRUE(parser.feed("retry: 40\n").ok());
  EXPECT_EQ(parser.retry(), std::chrono::milliseconds(40));
  EXPECT_EQ(parser.feed("data: " + std::string(200, 'x')).error().code(), Code::PayloadTooLarge);
}

// Numbers from the one after Last-Event-ID on; each connection gets at most `per_connection` and is then
// ended.
Handler numbers(int per_connection, int last) {
  return [=](Request& request, Responder responder) {
    int next = 1;
    if (const auto id = last_event_id(request); id) {
      std::from_chars(id->data(), id->data() + id->size(), next);
      ++next;
    }
    EventStream stream(std::move(responder));
    for (int i = 0; i < per_connection && next <= last; ++i, ++next) {
      const std::string text = std::to_string(next);
      (void)stream.send({text, "number", text});
    }
  };
}

TEST(Sse, FollowComesBackWhereItWas) {
  TestServer test;
  test.router.add(route(Method::kGet, "/v1/events", numbers(3, 10)));
  test.start();
  const auto client = test.client();
  std::string seen;
  FollowOptions options;
  options.reconnect_wait = std::chrono::milliseconds(1);
  const Status status = follow_events(*client, "/v1/events", options, [&](const ReceivedEvent& event) {
    seen += event.data + " ";
    return event.data != "10";
  });
  EXPECT_TRUE(status.ok()) << status.error().to_string();
  EXPECT_EQ(seen, "1 2 3 4 5 6 7 8 9 10 ");
  seen.clear();
  options.last_event_id = "8";
  EXPECT_TRUE(follow_events(*client, "/v1/events?x=1", options, [&](const ReceivedEvent& event) {
                seen += event.data + " ";
                return event.data != "10";
              }).ok());
  EXPECT_EQ(seen, "9 10 ");
}

TEST(Sse, FollowEndsWhereItShould) {
  TestServer test;
  test.router.add(route(Method::kGet, "/v1/events", numbers(3, 3)));
  test.router.add(
      route(Method::kGet, "/v1/over", [](Request&, Responder responder) { responder.empty(204); }));
  test.start();
  const auto client = test.client();
  FollowOptions options;
  options.reconnect_wait = std::chrono::milliseconds(1);
  const auto any = [](const ReceivedEvent&) { return true; };
  EXPECT_EQ(follow_events(*client, "/v1/events", options, any).error().code(), Code::ServerUnreachable);
  EXPECT_TRUE(follow_events(*client, "/v1/over", options, any).ok());
  EXPECT_EQ(follow_events(*client, "/v1/none", options, any).error().code(), Code::EndpointNotFound);
  Cancellation cancelled;
  options.cancellation = &cancelled;
  EXPECT_EQ(follow_events(*client, "/v1/events", options,
                          [&](const ReceivedEvent&) {
                            cancelled.cancel();
                            return true;
                          })
                .error()
                .code(),
            Code::CallCancelled);
}

TEST(Sse, SilenceIsFilledWithComments) {
  TestServer test;
  test.options.heartbeat = std::chrono::milliseconds(5);
  Handover<std::shared_ptr<EventStream>> streams;
  test.router.add(route(Method::kGet, "/v1/events", [&](Request&, Responder responder) {
    streams.put(std::make_shared<EventStream>(std::move(responder)));
  }));
  test.start();
  RawClient raw = test.connect();
  ASSERT_TRUE(raw.send(raw_request("GET", "/v1/events")));
  auto stream = streams.take();
  const std::string text = raw.receive_until(": still here\n\n");
  EXPECT_NE(text.find("Content-Type: text/event-stream\r\n"), std::string::npos);
  EXPECT_TRUE(stream->send({"1", "", "x"}));
  (void)raw.receive_until("data: x\n\n");
}

TEST(Sse, SlowReadersAreDroppedWithALastWord) {
  TestServer test;
  Handover<std::shared_ptr<EventStream>> streams;
  test.router.add(route(Method::kGet, "/v1/events", [&](Request&, Responder responder) {
    streams.put(std::make_shared<EventStream>(std::move(responder), 32 * 1024));
  }));
  test.start();
  RawClient raw = test.connect();
  ASSERT_TRUE(raw.send(raw_request("GET", "/v1/events")));
  auto stream = streams.take();
  const std::string data(1000, 'x');
  std::size_t sent = 0;
  while (stream->send({"1", "", data})) ++sent;
  EXPECT_GT(sent, 20u);
  EXPECT_FALSE(stream->open());
  const auto answer = raw.receive();
  ASSERT_TRUE(answer) << "ended properly";
  EXPECT_TRUE(answer->body.ends_with(": too slow; come back with Last-Event-ID\n\n"));
  std::size_t received = 0;
  for (std::size_t at = answer->body.find("data: "); at != std::string::npos;
       at = answer->body.find("data: ", at + 1)) {
    ++received;
  }
  EXPECT_EQ(received, sent) << "what was accepted arrived";
}

}  // namespace
}  // namespace ez::http::testing
