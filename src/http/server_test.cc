#include "http/server.h"

#include <fstream>
#include <iterator>
#include <thread>

#include "base/json.h"
#include "http/testing.h"

namespace ez::http::testing {
namespace {

std::string code_of(const std::optional<RawAnswer>& answer) {
  if (!answer) return "no answer";
  if (answer->header("content-type") != "application/problem+json") return "no problem document";
  const auto problem = parse_json(answer->body);
  if (!problem.ok()) return problem.error().to_string();
  EXPECT_EQ(problem->int_or("status", 0), answer->status);
  EXPECT_EQ(problem->string_or("instance", ""), answer->header("x-request-id"));
  EXPECT_FALSE(answer->header("x-request-id").empty());
  return std::string(problem->string_or("code", ""));
}

TEST(Server, AnswersAndKeepsTheConnection) {
  TestServer test;
  test.start();
  RawClient raw = test.connect();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(raw.send(raw_request("POST", "/v1/echo", "", R"({"a":1})")));
    const auto answer = raw.receive();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 200);
    EXPECT_EQ(answer->body, R"({"a":1})");
    EXPECT_EQ(answer->header("content-type"), "application/json");
    EXPECT_EQ(answer->header("cache-control"), "no-store");
    EXPECT_EQ(answer->header("x-content-type-options"), "nosniff");
    EXPECT_FALSE(answer->header("date").empty());
    EXPECT_TRUE(answer->keep_alive);
  }
  EXPECT_EQ(test.server->figures().accepted, 1u);
  EXPECT_EQ(test.server->figures().requests, 3u);
}

TEST(Server, RequestIdsAreKeptWhenProperAndMadeOtherwise) {
  TestServer test;
  test.start();
  RawClient raw = test.connect();
  ASSERT_TRUE(raw.send(raw_request("GET", "/v1/hello/x", "X-Request-Id: my.id-1\r\n")));
  EXPECT_EQ(raw.receive()->header("x-request-id"), "my.id-1");
  ASSERT_TRUE(raw.send(raw_request("GET", "/v1/hello/x", "X-Request-Id: bad id\r\n")));
  const std::string made = raw.receive()->header("x-request-id");
  EXPECT_FALSE(made.empty());
  EXPECT_NE(made, "bad id");
  ASSERT_TRUE(raw.send(raw_request("GET", "/v1/hello/x")));
  EXPECT_NE(raw.receive()->header("x-request-id"), made);
}

TEST(Server, PipelinedRequestsAreAnsweredInOrder) {
  TestServer test;
  test.start();
  RawClient raw = test.connect();
  std::string all;
  for (int i = 0; i < 200; ++i) all += raw_request("GET", "/v1/hello/" + std::to_string(i));
  std::thread sender([&] { EXPECT_TRUE(raw.send(all)); });
  for (int i = 0; i < 200; ++i) {
    const auto answer = raw.receive();
    ASSERT_TRUE(answer) << i;
    ASSERT_EQ(answer->body, "hello " + std::to_string(i));
  }
  sender.join();
}

TEST(Server, OneByteAtATimeIsARequestToo) {
  TestServer test;
  test.start();
  RawClient raw = test.connect();
  for (const char c : raw_request("POST", "/v1/echo", "", "hello"))
    ASSERT_TRUE(raw.send(std::string_view(&c, 1)));
  EXPECT_EQ(raw.receive()->body, "hello");
}

TEST(Server, ChunkedBodiesAndHttp10) {
  TestServer test;
  test.start();
  RawClient raw = test.connect();
  ASSERT_TRUE(raw.send(raw_request("POST", "/v1/echo", "Transfer-Encoding: chunked\r\n") +
                       "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"));
  EXPECT_EQ(raw.receive()->body, "abcde");
  ASSERT_TRUE(raw.send("GET /healthz HTTP/1.0\r\n\r\n"));
  const auto answer = raw.receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_FALSE(answer->keep_alive);
  EXPECT_TRUE(raw.at_end());
}

TEST(Server, HeadHasNoBody) {
  TestServer test;
  test.start();
  RawClient raw = test.connect();
  ASSERT_TRUE(raw.send(raw_request("HEAD", "/v1/hello/you")));
  const auto head = raw.receive(true);
  ASSERT_TRUE(head);
  EXPECT_EQ(head->status, 200);
  EXPECT_EQ(head->header("content-length"), "9");
  ASSERT_TRUE(raw.send(raw_request("GET", "/v1/hello/you")));
  EXPECT_EQ(raw.receive()->body, "hello you");
}

TEST(Server, RefusalsKeepTheConnectionWhereTheyCan) {
  TestServer test;
  test.start();
  RawClient raw = test.connect();
  const auto refused = [&](const std::string& request) {
    EXPECT_TRUE(raw.send(request));
    return raw.receive();
  };
  EXPECT_EQ(code_of(refused(raw_request("GET", "/v1/none"))), "ENDPOINT_NOT_FOUND");
  const auto method = refused(raw_request("DELETE", "/v1/echo", "", "a body that is dropped"));
  EXPECT_EQ(code_of(method), "METHOD_NOT_ALLOWED");
  EXPECT_EQ(method->header("allow"), "POST");
  EXPECT_EQ(code_of(refused(raw_request("BREW", "/v1/hello/x"))), "METHOD_NOT_ALLOWED");
  EXPECT_EQ(code_of(refused(raw_request("GET", "/v1/hello/%zz"))), "REQUEST_INVALID");
  EXPECT_EQ(code_of(refused(raw_request("GET", "/v1/hello/x?a=1&a=2"))), "REQUEST_INVALID");
  EXPECT_EQ(code_of(refused("GET /v1/hello/x HTTP/1.1\r\nHost: evil.example\r\n\r\n")), "HOST_REFUSED");
  const auto unknown =
      refused("GET /v1/hello/x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer wrong\r\n\r\n");
  EXPECT_EQ(code_of(unknown), "UNAUTHENTICATED");
  EXPECT_EQ(unknown->header("www-authenticate"), "Bearer realm=\"ez\"");
  EXPECT_EQ(unknown->body.find("wrong"), std::string::npos);
  EXPECT_EQ(code_of(refused("GET /healthz HTTP/1.1\r\n\r\n")), "REQUEST_INVALID");
  EXPECT_EQ(code_of(refused(raw_request("GET", "/v1/hello/x", "Host: localhost\r\n"))), "REQUEST_INVALID");
  EXPECT_EQ(code_of(refused(raw_request("POST", "/v1/echo", "Expect: the-unexpected\r\n", "x"))),
            "REQUEST_INVALID");
  EXPECT_EQ(test.server->figures().accepted, 1u) << "all of that on one connection";
}

TEST(Server, BadInputIsAnsweredAndTheConnectionClosed) {
  TestServer test;
  test.start();
  const std::pair<std::string, std::string> cases[] = {
      {"\x16\x03\x01\x02 tls hello\r\n\r\n", "REQUEST_INVALID"},
      {std::string(1, '\0') + "\r\n\r\n", "REQUEST_INVALID"},
      {raw_request("GET", "/v1/hello/x", "X: " + std::string(20'000, 'x') + "\r\n"), "HEADER_TOO_LARGE"},
      {raw_request("POST", "/v1/echo", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
       "REQUEST_INVALID"},
      {raw_request("POST", "/v1/echo", "Transfer-Encoding: chunked\r\n") + "zz\r\n", "REQUEST_INVALID"},
      {raw_request("POST", "/v1/echo", "Content-Length: 2000000\r\n"), "PAYLOAD_TOO_LARGE"},
  };
  for (const auto& [bytes, code] : cases) {
    RawClient raw = test.connect();
    ASSERT_TRUE(raw.send(bytes));
    const auto answer = raw.receive();
    EXPECT_EQ(code_of(answer), code) << bytes.substr(0, 60);
    EXPECT_FALSE(answer && answer->keep_alive);
    EXPECT_TRUE(raw.at_end());
  }
  RawClient raw = test.connect();
  ASSERT_TRUE(raw.send(raw_request("POST", "/v1/echo", "", "still here")));
  EXPECT_EQ(raw.receive()->body, "still here");
}

TEST(Server, AChunkedBodyBeyondTheLimitIsRefusedWhileItComes) {
  TestServer test;
  test.start();
  RawClient raw = test.connect();
  ASSERT_TRUE(raw.send(raw_request("POST", "/v1/echo", "Transfer-Encoding: chunked\r\n")));
  const std::string chunk = "10000\r\n" + std::string(65'536, 'x') + "\r\n";
  for (int i = 0; i < 18; ++i) {
    if (!raw.send(chunk)) break;
  }
  EXPECT_EQ(code_of(raw.receive()), "PAYLOAD_TOO_LARGE");
}

TEST(Server, ExpectContinue) {
  TestServer test;
  test.start();
  RawClient raw = test.connect();
  ASSERT_TRUE(raw.send(raw_request("POST", "/v1/echo", "Expect: 100-continue\r\nContent-Length: 5\r\n")));
  EXPECT_EQ(raw.receive()->status, 100);
  ASSERT_TRUE(raw.send("hello"));
  EXPECT_EQ(raw.receive()->body, "hello");
  // A refused one is told so before it sends the body.
  ASSERT_TRUE(raw.send(raw_request("POST", "/v1/none", "Expect: 100-continue\r\nContent-Length: 5\r\n")));
  EXPECT_EQ(code_of(raw.receive()), "ENDPOINT_NOT_FOUND");
  EXPECT_TRUE(raw.at_end());
}

TEST(Server, SlowRequestsTimeOut) {
  TestServer test;
  test.options.head_timeout = std::chrono::milliseconds(30);
  test.options.body_timeout = std::chrono::milliseconds(30);
  test.start();
  RawClient head = test.connect();
  RawClient body = test.connect();
  ASSERT_TRUE(head.send("GET /v1/hel"));
  ASSERT_TRUE(body.send(raw_request("POST", "/v1/echo", "Content-Length: 10\r\n") + "abc"));
  EXPECT_EQ(code_of(head.receive()), "REQUEST_TIMEOUT");
  EXPECT_TRUE(head.at_end());
  EXPECT_EQ(code_of(body.receive()), "REQUEST_TIMEOUT");
  EXPECT_TRUE(body.at_end());
}

TEST(Server, SlowlorisCannotStretchTheHeadTimeout) {
  TestServer test;
  test.options.head_timeout = std::chrono::milliseconds(100);
  test.start();
  RawClient raw = test.connect();
  // A byte whenever the last one was taken; without the time limit this would never end.
  ASSERT_TRUE(raw.send("GET / HTTP/1.1\r\nX: "));
  std::thread reader([&] { EXPECT_EQ(code_of(raw.receive()), "REQUEST_TIMEOUT"); });
  const auto begin = std::chrono::steady_clock::now();
  // Not so many that the limit of the head's size answers first.
  for (int sent = 0; std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(150);) {
    if (sent < 8'000 && !raw.send("x")) break;
    ++sent;
    std::this_thread::yield();
  }
  reader.join();
}

TEST(Server, IdleConnectionsAreClosed) {
  TestServer test;
  test.options.idle_timeout = std::chrono::milliseconds(300);
  test.start();
  RawClient fresh = test.connect();
  RawClient used = test.connect();
  ASSERT_TRUE(used.send(raw_request("GET", "/v1/hello/x")));
  ASSERT_TRUE(used.receive());
  EXPECT_TRUE(fresh.at_end());
  EXPECT_TRUE(used.at_end());
}

TEST(Server, ClientsThatReadNothingAreDropped) {
  TestServer test;
  test.options.write_timeout = std::chrono::milliseconds(50);
  test.router.add(route(Method::kGet, "/v1/big", [](Request&, Responder responder) {
    responder.bytes(200, "text/plain", std::string(64 * 1024 * 1024, 'x'));
  }));
  test.start();
  RawClient raw = test.connect();
  ASSERT_TRUE(raw.send(raw_request("GET", "/v1/big")));
  while (test.server->figures().connections != 0 || test.server->figures().accepted != 1)
    std::this_thread::yield();
}

TEST(Server, BeyondTheLimitItSaysBusy) {
  TestServer test;
  test.options.max_connections = 3;
  test.start();
  std::vector<RawClient> inside;
  for (int i = 0; i < 3; ++i) {
    inside.push_back(test.connect());
    ASSERT_TRUE(inside.back().send(raw_request("GET", "/v1/hello/x")));
    ASSERT_TRUE(inside.back().receive());
  }
  for (int i = 0; i < 20; ++i) {
    RawClient outside = test.connect();
    const auto answer = outside.receive();
    EXPECT_EQ(code_of(answer), "SERVER_BUSY");
    EXPECT_EQ(answer->header("retry-after"), "1");
    EXPECT_TRUE(outside.at_end());
  }
  ASSERT_TRUE(inside[0].send(raw_request("GET", "/v1/hello/still")));
  EXPECT_EQ(inside[0].receive()->body, "hello still");
  EXPECT_EQ(test.server->figures().refused, 20u);
  inside.clear();
  // A place is free again as soon as the server has seen one leave.
  for (;;) {
    RawClient next = test.connect();
    if (!next.send(raw_request("GET", "/v1/hello/again"))) continue;
    const auto answer = next.receive();
    if (answer && answer->status == 200) break;
  }
}

TEST(Server, AFloodOfConnectionsEndsWell) {
  TestServer test;
  test.options.max_connections = 16;
  test.start();
  std::vector<RawClient> flood;
  for (int i = 0; i < 600; ++i) flood.push_back(test.connect());
  flood.clear();
  // Some of them may still wait to be accepted: they would take the place of the next one.
  const auto over = [&] {
    const ServerFigures figures = test.server->figures();
    return figures.accepted >= 600 && figures.connections == 0;
  };
  while (!over()) std::this_thread::yield();
  RawClient raw = test.connect();
  ASSERT_TRUE(raw.send(raw_request("GET", "/v1/hello/x")));
  EXPECT_EQ(raw.receive()->body, "hello x");
}

TEST(Server, UploadsGoToAFileOfTheirOwn) {
  TestServer test;
  Route upload = route(Method::kPut, "/v1/files", [](Request& request, Responder responder) {
    std::ifstream in(request.file.path(), std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    responder.json(200, std::to_string(request.file.size()) +
                            (bytes == std::string(3'000'000, 'u') ? " same" : " other"));
  });
  upload.body_mode = BodyMode::kFile;
  upload.body_limit = 4'000'000;
  test.router.add(std::move(upload));
  test.start();
  RawClient raw = test.connect();
  ASSERT_TRUE(raw.send(raw_request("PUT", "/v1/files", "", std::string(3'000'000, 'u'))));
  EXPECT_EQ(raw.receive()->body, "3000000 same");
  {
    RawClient leaves = test.connect();  // in the middle of its upload
    ASSERT_TRUE(leaves.send(raw_request("PUT", "/v1/files", "Content-Length: 3000000\r\n") +
                            std::string(100'000, 'u')));
  }
  ASSERT_TRUE(raw.send(raw_request("PUT", "/v1/files", "Content-Length: 5000000\r\n")));
  EXPECT_EQ(code_of(raw.receive()), "PAYLOAD_TOO_LARGE");
  raw.close();
  while (test.server->figures().connections != 0) std::this_thread::yield();
  EXPECT_TRUE(std::filesystem::is_empty(test.options.upload_dir)) << "every file is gone";
}

TEST(Server, ManyThreadsServe) {
  TestServer test;
  test.options.io_threads = 3;
  test.start();
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      RawClient raw = test.connect();
      for (int i = 0; i < 200; ++i) {
        const std::string name = std::to_string(t) + "-" + std::to_string(i);
        ASSERT_TRUE(raw.send(raw_request("GET", "/v1/hello/" + name)));
        const auto answer = raw.receive();
        ASSERT_TRUE(answer);
        ASSERT_EQ(answer->body, "hello " + name);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Server, AddressesAreCheckedAndOccupiedOnesNamed) {
  TestServer test;
  test.start();
  ServerOptions options;
  options.port = test.server->port();
  const auto second = Server::start(options, Router(), open_gate());
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code(), Code::AddressInUse);
  EXPECT_NE(second.error().message().find(std::to_string(options.port)), std::string::npos);
  options.address = "somewhere";
  EXPECT_EQ(Server::start(options, Router(), open_gate()).error().code(), Code::InvalidArgument);
}

TEST(Server, AccessIsReported) {
  TestServer test;
  Handover<std::string> seen;
  test.options.on_access = [&](const Access& access) {
    seen.put(std::string(method_name(access.method)) + " " + std::string(access.route) + " " +
             std::to_string(access.status) + (access.duration_us >= 0 ? "" : " negative"));
  };
  test.start();
  RawClient raw = test.connect();
  ASSERT_TRUE(
      raw.send(raw_request("GET", "/v1/hello/x") + raw_request("GET", "/nowhere") + "nonsense\r\n\r\n"));
  EXPECT_EQ(seen.take(), "GET /v1/hello/{name} 200");
  EXPECT_EQ(seen.take(), "GET  404");
  EXPECT_EQ(seen.take(), "OTHER  400");
}

}  // namespace
}  // namespace ez::http::testing
