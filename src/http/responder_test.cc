#include "http/responder.h"

#include <fcntl.h>

#include <atomic>
#include <fstream>
#include <stdexcept>
#include <thread>

#include "http/testing.h"

namespace ez::http::testing {
namespace {

// Routes whose Responders the test holds.
class Held : public ::testing::Test {
 protected:
  void SetUp() override {
    test_.router.add(route(Method::kGet, "/v1/wait", [this](Request&, Responder responder) {
      responder.on_disconnect([this] { left_.raise(); });
      responders_.put(std::make_unique<Responder>(std::move(responder)));
    }));
    test_.router.add(route(Method::kGet, "/v1/later", [this](Request&, Responder responder) {
      responders_.put(std::make_unique<Responder>(std::move(responder)));
    }));
  }
  TestServer test_;
  Handover<std::unique_ptr<Responder>> responders_;
  Signal left_;
};

TEST_F(Held, AnswersComeFromAnyThreadAndLater) {
  test_.start();
  RawClient raw = test_.connect();
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(raw.send(raw_request("GET", i % 2 == 0 ? "/v1/wait" : "/v1/later")));
    auto responder = responders_.take();
    EXPECT_TRUE(responder->header("X-Number", std::to_string(i)).json(200, std::to_string(i)));
    const auto answer = raw.receive();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->body, std::to_string(i));
    EXPECT_EQ(answer->header("x-number"), std::to_string(i));
  }
}

TEST_F(Held, WaitingRequestsHoldNoThread) {
  test_.start();
  std::vector<RawClient> waiting;
  std::vector<std::unique_ptr<Responder>> responders;
  for (int i = 0; i < 200; ++i) {
    waiting.push_back(test_.connect());
    ASSERT_TRUE(waiting.back().send(raw_request("GET", "/v1/wait")));
    responders.push_back(responders_.take());
  }
  RawClient raw = test_.connect();
  ASSERT_TRUE(raw.send(raw_request("GET", "/v1/hello/x")));
  EXPECT_EQ(raw.receive()->body, "hello x");
  for (auto& responder : responders) responder->empty(204);
  for (RawClient& one : waiting) EXPECT_EQ(one.receive()->status, 204);
}

TEST_F(Held, ALeavingClientIsNoticed) {
  test_.start();
  RawClient raw = test_.connect();
  ASSERT_TRUE(raw.send(raw_request("GET", "/v1/wait")));
  auto responder = responders_.take();
  raw.close();
  EXPECT_TRUE(left_.wait());
  EXPECT_FALSE(responder->json(200, "{}")) << "the answer goes nowhere, and says so";
}

TEST_F(Held, ALeavingClientIsNoticedBehindAPipelinedRequest) {
  test_.start();
  RawClient raw = test_.connect();
  ASSERT_TRUE(raw.send(raw_request("GET", "/v1/wait") + raw_request("GET", "/v1/hello/x")));
  auto responder = responders_.take();
  raw.close();
  EXPECT_TRUE(left_.wait());
}

TEST_F(Held, ACallbackThatComesTooLateIsCalledAtOnce) {
  test_.start();
  RawClient raw = test_.connect();
  ASSERT_TRUE(raw.send(raw_request("GET", "/v1/wait")));
  auto responder = responders_.take();
  raw.close();
  ASSERT_TRUE(left_.wait());
  Signal again;
  responder->on_disconnect([&] { again.raise(); });
  EXPECT_TRUE(again.wait());
}

TEST_F(Held, AHalfClosedClientStillGetsItsAnswer) {
  test_.start();
  RawClient raw = test_.connect();
  ASSERT_TRUE(raw.send(raw_request("GET", "/v1/later")));
  raw.half_close();
  auto responder = responders_.take();
  responder->json(200, "{}");
  EXPECT_EQ(raw.receive()->status, 200);
  EXPECT_TRUE(raw.at_end());
}

TEST_F(Held, ADroppedResponderAnswers500) {
  test_.start();
  RawClient raw = test_.connect();
  ASSERT_TRUE(raw.send(raw_request("GET", "/v1/later")));
  responders_.take().reset();
  const auto answer = raw.receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 500);
  EXPECT_NE(answer->body.find("\"INTERNAL\""), std::string::npos);
  EXPECT_TRUE(answer->keep_alive);
}

TEST_F(Held, AThrowingHandlerAnswers500) {
  test_.router.add(
      route(Method::kGet, "/v1/throws", [](Request&, Responder) { throw std::runtime_error("secret"); }));
  test_.start();
  RawClient raw = test_.connect();
  ASSERT_TRUE(raw.send(raw_request("GET", "/v1/throws")));
  const auto answer = raw.receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 500);
  EXPECT_EQ(answer->body.find("secret"), std::string::npos);
}

TEST_F(Held, StopFinishesWhatRunsAndSendsLongPollsAway) {
  test_.start();
  RawClient idle = test_.connect();
  ASSERT_TRUE(idle.send(raw_request("GET", "/v1/hello/x")));
  ASSERT_TRUE(idle.receive());
  RawClient waiting = test_.connect();
  ASSERT_TRUE(waiting.send(raw_request("GET", "/v1/wait")));
  auto forgotten = responders_.take();
  RawClient running = test_.connect();
  ASSERT_TRUE(running.send(raw_request("GET", "/v1/later")));
  auto responder = responders_.take();
  std::thread stopping([&] { test_.server->stop(std::chrono::seconds(20)); });
  EXPECT_TRUE(left_.wait()) << "its demand is withdrawn";
  const auto sent_away = waiting.receive();
  ASSERT_TRUE(sent_away);
  EXPECT_EQ(sent_away->status, 503);
  EXPECT_NE(sent_away->body.find("SHUTTING_DOWN"), std::string::npos);
  EXPECT_TRUE(idle.at_end());
  EXPECT_TRUE(responder->json(200, "\"finished\""));
  const auto finished = running.receive();
  ASSERT_TRUE(finished);
  EXPECT_EQ(finished->body, "\"finished\"");
  EXPECT_FALSE(finished->keep_alive);
  waiting.close();
  running.close();
  stopping.join();
  EXPECT_FALSE(forgotten->json(200, "{}")) << "after the server";
}

TEST_F(Held, StopIsBounded) {
  test_.start();
  RawClient running = test_.connect();
  ASSERT_TRUE(running.send(raw_request("GET", "/v1/later")));
  auto responder = responders_.take();
  test_.server->stop(std::chrono::milliseconds(10));
  const auto answer = running.receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 503);
  EXPECT_FALSE(responder->json(200, "{}"));
}

TEST_F(Held, RespondersMayOutliveTheServer) {
  test_.start();
  RawClient raw = test_.connect();
  ASSERT_TRUE(raw.send(raw_request("GET", "/v1/wait") + raw_request("GET", "/v1/wait")));
  auto responder = responders_.take();
  test_.server.reset();
  responder->on_disconnect([] {});
  responder.reset();
}

TEST(Bodies, LargeOnesArriveWhole) {
  TestServer test;
  std::string large;
  for (int i = 0; large.size() < 5'000'000; ++i) large += std::to_string(i) + ",";
  test.router.add(route(Method::kGet, "/v1/bytes",
                        [&](Request&, Responder responder) { responder.bytes(200, "text/plain", large); }));
  std::ofstream(test.options.upload_dir / "file") << large;
  const auto open = [path = test.options.upload_dir / "file"] {
    return ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  };
  test.router.add(route(Method::kGet, "/v1/sized", [&, open](Request&, Responder responder) {
    responder.source(200, "text/plain", large.size(), file_source(open(), 0, large.size()));
  }));
  test.router.add(route(Method::kGet, "/v1/unsized", [&, open](Request&, Responder responder) {
    responder.source(200, "text/plain", std::nullopt, file_source(open(), 0, large.size()));
  }));
  test.router.add(route(Method::kGet, "/v1/part", [&, open](Request&, Responder responder) {
    responder.source(200, "text/plain", 1000, file_source(open(), 500, 1000));
  }));
  test.router.add(route(Method::kGet, "/v1/short", [&, open](Request&, Responder responder) {
    responder.source(200, "text/plain", large.size() + 1, file_source(open(), 0, large.size() + 1));
  }));
  test.router.add(route(Method::kGet, "/v1/nothing", [&](Request&, Responder responder) {
    responder.source(200, "text/plain", 0, [](std::size_t) -> Result<std::string> { return std::string(); });
  }));
  test.start();
  RawClient raw = test.connect();
  for (const char* path : {"/v1/bytes", "/v1/sized", "/v1/unsized"}) {
    ASSERT_TRUE(raw.send(raw_request("GET", path)));
    const auto answer = raw.receive();
    ASSERT_TRUE(answer) << path;
    EXPECT_EQ(answer->body == large, true) << path;
    EXPECT_TRUE(answer->keep_alive) << path;
  }
  ASSERT_TRUE(raw.send(raw_request("GET", "/v1/part") + raw_request("GET", "/v1/nothing")));
  EXPECT_EQ(raw.receive()->body, large.substr(500, 1000));
  EXPECT_EQ(raw.receive()->body, "");
  ASSERT_TRUE(raw.send(raw_request("HEAD", "/v1/sized") + raw_request("HEAD", "/v1/unsized")));
  EXPECT_EQ(raw.receive(true)->header("content-length"), std::to_string(large.size()));
  EXPECT_EQ(raw.receive(true)->status, 200);
  RawClient old = test.connect();  // HTTP/1.0: no chunks, the close ends the body
  ASSERT_TRUE(
      old.send("GET /v1/unsized HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer the-token\r\n\r\n"));
  EXPECT_EQ(old.receive()->body == large, true);
  ASSERT_TRUE(raw.send(raw_request("GET", "/v1/short")));
  EXPECT_FALSE(raw.receive()) << "a body that is shorter than was said is a broken connection, not an answer";
}

TEST(Streams, SendFlowControlAndEnd) {
  TestServer test;
  Handover<std::shared_ptr<Stream>> streams;
  Signal closed;
  test.router.add(route(Method::kGet, "/v1/stream", [&](Request&, Responder responder) {
    auto stream = std::make_shared<Stream>(responder.begin_stream("text/plain"));
    stream->on_closed([&] { closed.raise(); });
    streams.put(stream);
  }));
  test.start();
  RawClient raw = test.connect();
  ASSERT_TRUE(raw.send(raw_request("GET", "/v1/stream")));
  auto stream = streams.take();
  EXPECT_TRUE(stream->send("first "));
  (void)raw.receive_until("first ");
  EXPECT_TRUE(stream->send("second"));
  stream->close();
  EXPECT_FALSE(stream->send("too late"));
  EXPECT_EQ(raw.receive()->body, "first second");

  // The connection is good for another one, which the client does not read: the buffer fills up, and drains
  // later.
  ASSERT_TRUE(raw.send(raw_request("GET", "/v1/stream")));
  stream = streams.take();
  Signal drained;
  stream->on_drained([&] { drained.raise(); });
  const std::string chunk(8 * 1024, 'x');
  std::size_t sent = 0;
  while (stream->send(chunk)) ++sent;
  EXPECT_TRUE(stream->open()) << "full is not gone";
  EXPECT_GT(sent, 7u);
  std::thread reader([&] {
    const auto answer = raw.receive();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->body.size(), sent * chunk.size() + 4);
  });
  EXPECT_TRUE(drained.wait());
  EXPECT_TRUE(stream->send("last"));
  stream->close();
  reader.join();

  // One whose client leaves.
  ASSERT_TRUE(raw.send(raw_request("GET", "/v1/stream")));
  stream = streams.take();
  raw.close();
  EXPECT_TRUE(closed.wait());
  EXPECT_FALSE(stream->open());
  EXPECT_FALSE(stream->send("x"));
}

TEST(Streams, AllTogetherAreBounded) {
  TestServer test;
  test.options.max_stream_bytes = 100'000;
  Handover<std::shared_ptr<Stream>> streams;
  test.router.add(route(Method::kGet, "/v1/stream", [&](Request&, Responder responder) {
    StreamOptions options;
    options.buffer_bytes = 1'000'000;
    streams.put(std::make_shared<Stream>(responder.begin_stream("text/plain", options)));
  }));
  test.start();
  RawClient raw = test.connect();
  ASSERT_TRUE(raw.send(raw_request("GET", "/v1/stream")));
  auto stream = streams.take();
  EXPECT_FALSE(stream->send(std::string(100'001, 'x'))) << "its own buffer would have room";
  EXPECT_TRUE(stream->open());
  // What has left is free again, or this would stop at the first round.
  std::thread reader([&] {
    const auto answer = raw.receive();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->body.size(), 50u * 90'000u);
  });
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
  const std::string chunk(90'000, 'x');
  for (int i = 0; i < 50; ++i) {
    while (!stream->send(chunk) && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  }
  stream->close();
  reader.join();
}

TEST(Streams, HeadAndStopEndThem) {
  TestServer test;
  Handover<std::shared_ptr<Stream>> streams;
  std::atomic<int> closed{0};
  test.router.add(route(Method::kGet, "/v1/stream", [&](Request&, Responder responder) {
    auto stream = std::make_shared<Stream>(responder.begin_stream("text/plain"));
    (void)stream->send("begin");
    stream->on_closed([&] { ++closed; });
    streams.put(stream);
  }));
  test.start();
  RawClient raw = test.connect();
  ASSERT_TRUE(raw.send(raw_request("HEAD", "/v1/stream")));
  EXPECT_EQ(raw.receive(true)->status, 200);
  auto of_head = streams.take();
  ASSERT_TRUE(raw.send(raw_request("GET", "/v1/stream")));
  auto stream = streams.take();
  (void)raw.receive_until("begin");
  EXPECT_FALSE(of_head->send("x"));
  std::thread stopping([&] { test.server->stop(std::chrono::seconds(20)); });
  const auto answer = raw.receive();
  ASSERT_TRUE(answer) << "ended properly";
  EXPECT_EQ(answer->body, "begin");
  raw.close();
  stopping.join();
  EXPECT_FALSE(stream->send("x"));
  EXPECT_EQ(closed, 2);
}

}  // namespace
}  // namespace ez::http::testing
