#include "http/client.h"

#include <atomic>
#include <fstream>
#include <thread>

#include "http/problem.h"
#include "http/testing.h"

namespace ez::http::testing {
namespace {

TEST(Client, CallsAndReusesItsConnection) {
  TestServer test;
  test.start();
  const auto client = test.client();
  for (int i = 0; i < 20; ++i) {
    const auto answer = client->post("/v1/echo", "{\"i\":" + std::to_string(i) + "}");
    ASSERT_TRUE(answer.ok()) << answer.error().to_string();
    EXPECT_EQ(answer->body, "{\"i\":" + std::to_string(i) + "}");
    EXPECT_EQ(answer->status, 200);
  }
  EXPECT_EQ(client->get("/v1/hello/a%20b")->body, "hello a b");
  ClientRequest head;
  head.method = Method::kHead;
  head.target = "/v1/hello/x";
  EXPECT_EQ(client->send(head)->headers.find("content-length"), "7");
  EXPECT_EQ(client->get("/v1/hello/x")->body, "hello x");
  EXPECT_EQ(test.server->figures().accepted, 1u);
}

TEST(Client, ProblemsBecomeErrors) {
  TestServer test;
  test.router.add(route(Method::kGet, "/v1/problem", [](Request&, Responder responder) {
    responder.problem(Error(Code::RunNotFound, "there is no run r7", "Look at r8."));
  }));
  test.router.add(route(Method::kGet, "/v1/page", [](Request&, Responder responder) {
    responder.bytes(502, "text/html", "<p>a proxy");
  }));
  test.start();
  const auto client = test.client();
  const auto problem = client->get("/v1/problem");
  ASSERT_FALSE(problem.ok());
  EXPECT_EQ(problem.error().code(), Code::RunNotFound);
  EXPECT_EQ(problem.error().message(), "there is no run r7");
  EXPECT_EQ(problem.error().hint(), "Look at r8.");
  EXPECT_EQ(client->get("/v1/page").error().code(), Code::Internal);
  EXPECT_EQ(client->get("/v1/none").error().code(), Code::EndpointNotFound);
  ClientOptions options;
  options.token = "wrong";
  EXPECT_EQ(test.client(options)->get("/v1/hello/x").error().code(), Code::Unauthenticated);
}

TEST(Client, NobodyThere) {
  std::uint16_t free_port = 0;
  {
    TestServer test;
    test.start();
    free_port = test.server->port();
  }
  ClientOptions options;
  options.server = "http://127.0.0.1:" + std::to_string(free_port);
  const auto client = Client::create(options);
  ASSERT_TRUE(client.ok());
  const auto refused = (*client)->post("/v1/x", "{}");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::ServerUnreachable) << "nothing was sent, so nothing is unknown";
  EXPECT_NE(refused.error().message().find(std::to_string(free_port)), std::string::npos);
  options.server = "ftp://x";
  EXPECT_EQ(Client::create(options).error().code(), Code::InvalidArgument);
  options.server = "http://x";
  options.token = "two\nlines";
  EXPECT_EQ(Client::create(options).error().code(), Code::InvalidArgument);
}

TEST(Client, TimeoutsAreHonestAboutTheOutcome) {
  TestServer test;
  Handover<std::unique_ptr<Responder>> responders;
  for (const Method method : {Method::kGet, Method::kPost}) {
    test.router.add(route(method, "/v1/wait", [&](Request&, Responder responder) {
      responders.put(std::make_unique<Responder>(std::move(responder)));
    }));
  }
  test.start();
  const auto client = test.client();
  ClientRequest request;
  request.target = "/v1/wait";
  request.timeout = std::chrono::milliseconds(20);
  EXPECT_EQ(client->send(request).error().code(), Code::ServerUnreachable);
  request.method = Method::kPost;
  EXPECT_EQ(client->send(request).error().code(), Code::OutcomeUnknown);
  responders.take()->empty(204);
  responders.take()->empty(204);
  EXPECT_EQ(client->get("/v1/hello/x")->body, "hello x") << "a late answer is never taken for another one";
}

TEST(Client, CancelBreaksOffFromAnotherThread) {
  TestServer test;
  Handover<std::unique_ptr<Responder>> responders;
  test.router.add(route(Method::kGet, "/v1/wait", [&](Request&, Responder responder) {
    responder.on_disconnect([] {});
    responders.put(std::make_unique<Responder>(std::move(responder)));
  }));
  test.start();
  const auto client = test.client();
  Cancellation one_call;
  std::thread caller([&] {
    ClientRequest request;
    request.target = "/v1/wait";
    request.cancellation = &one_call;
    EXPECT_EQ(client->send(request).error().code(), Code::CallCancelled);
  });
  const auto first_held = responders.take();
  one_call.cancel();
  caller.join();
  EXPECT_TRUE(client->get("/v1/hello/x").ok()) << "the client itself goes on";
  std::thread second([&] { EXPECT_EQ(client->get("/v1/wait").error().code(), Code::CallCancelled); });
  const auto second_held = responders.take();
  client->cancel();
  second.join();
  EXPECT_EQ(client->get("/v1/hello/x").error().code(), Code::CallCancelled);
}

TEST(Client, UploadsFromAFileAndDownloadsPieceByPiece) {
  TestServer test;
  Route upload = route(Method::kPut, "/v1/files", [](Request& request, Responder responder) {
    responder.json(201, std::to_string(request.file.size()));
  });
  upload.body_mode = BodyMode::kFile;
  upload.body_limit = 10'000'000;
  test.router.add(std::move(upload));
  const std::string large(5'000'000, 'd');
  test.router.add(route(Method::kGet, "/v1/large",
                        [&](Request&, Responder responder) { responder.bytes(200, "text/plain", large); }));
  test.start();
  const std::filesystem::path file = test.options.upload_dir / "source";
  std::ofstream(file) << large;
  const auto client = test.client();
  ClientRequest put;
  put.method = Method::kPut;
  put.target = "/v1/files";
  put.body_file = file;
  put.content_type = "application/octet-stream";
  const auto stored = client->send(put);
  ASSERT_TRUE(stored.ok()) << stored.error().to_string();
  EXPECT_EQ(stored->status, 201);
  EXPECT_EQ(stored->body, "5000000");

  ClientRequest get;
  get.target = "/v1/large";
  std::size_t received = 0, pieces = 0;
  get.sink = [&](std::string_view piece) {
    received += piece.size();
    ++pieces;
    return true;
  };
  ASSERT_TRUE(client->send(get).ok());
  EXPECT_EQ(received, large.size());
  EXPECT_GT(pieces, 10u);
  get.sink = [&](std::string_view) { return false; };
  EXPECT_TRUE(client->send(get).ok()) << "enough is not a failure";
  get.sink = nullptr;
  get.max_answer_bytes = 1000;
  EXPECT_EQ(client->send(get).error().code(), Code::PayloadTooLarge);
  put.body_file = test.options.upload_dir / "none";
  EXPECT_EQ(client->send(put).error().code(), Code::IoFailed);
}

TEST(Client, AnEarlyRefusalOfAnUploadIsHeard) {
  TestServer test;
  test.start();
  const std::filesystem::path file = test.options.upload_dir / "source";
  std::ofstream(file) << std::string(20'000'000, 'x');
  const auto client = test.client();
  ClientRequest put;
  put.method = Method::kPost;
  put.target = "/v1/echo";
  put.body_file = file;
  for (int i = 0; i < 20; ++i) EXPECT_EQ(client->send(put).error().code(), Code::PayloadTooLarge);
  EXPECT_TRUE(client->get("/v1/hello/x").ok());
}

TEST(Client, ManyThreadsShareItWithinItsBounds) {
  TestServer test;
  test.options.io_threads = 2;
  test.start();
  ClientOptions options;
  options.max_connections = 4;
  const auto client = test.client(options);
  std::atomic<int> good{0}, overloaded{0}, other{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 100; ++i) {
        const std::string name = std::to_string(t * 1000 + i);
        const auto answer = client->get("/v1/hello/" + name);
        if (answer.ok() && answer->body == "hello " + name) {
          ++good;
        } else if (!answer.ok() && answer.error().code() == Code::Overloaded) {
          ++overloaded;
        } else {
          ++other;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(other, 0);
  EXPECT_EQ(good + overloaded, 800);
  EXPECT_GT(good, 0);
}

TEST(Client, AServerThatClosesIdleConnectionsIsNoProblem) {
  TestServer test;
  test.options.idle_timeout = std::chrono::milliseconds(300);  // longer than a pause of a busy machine
  test.start();
  const auto client = test.client();
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(client->post("/v1/echo", "{}").ok());
    while (test.server->figures().connections != 0) std::this_thread::yield();
  }
  EXPECT_EQ(test.server->figures().accepted, 5u);
}

// A peer that says what the test wants and closes.
class Peer {
 public:
  explicit Peer(std::string says)
      : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), says_(std::move(says)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(fd_, 4), 0);
    EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port = ntohs(address.sin_port);
    thread_ = std::thread([this] {
      const int connection = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
      char buffer[4096];
      EXPECT_GT(::recv(connection, buffer, sizeof buffer, 0), 0);
      EXPECT_EQ(::send(connection, says_.data(), says_.size(), MSG_NOSIGNAL),
                static_cast<ssize_t>(says_.size()));
      ::close(connection);
    });
  }
  ~Peer() {
    thread_.join();
    ::close(fd_);
  }
  std::uint16_t port = 0;

 private:
  int fd_;
  std::string says_;
  std::thread thread_;
};

TEST(Client, BadAnswersAreErrors) {
  const std::string bad[] = {"",
                             "garbage\r\n\r\n",
                             "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
                             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
                             "HTTP/1.1 200 OK\r\nX: y",
                             "HTTP/1.1 200 OK\r\nX: " + std::string(40'000, 'y') + "\r\n\r\n"};
  for (const std::string& says : bad) {
    Peer peer(says);
    ClientOptions options;
    options.server = "http://127.0.0.1:" + std::to_string(peer.port);
    const auto answer = (*Client::create(options))->get("/");
    ASSERT_FALSE(answer.ok()) << says;
    EXPECT_EQ(answer.error().code(), Code::ServerUnreachable) << says.substr(0, 60);
  }
  Peer peer(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nX: y\r\n\r\nHTTP/1.0 200 OK\r\n\r\nto the end");
  ClientOptions options;
  options.server = "http://localhost:" + std::to_string(peer.port);
  const auto answer = (*Client::create(options))->get("/");
  ASSERT_TRUE(answer.ok()) << answer.error().to_string();
  EXPECT_EQ(answer->body, "to the end");
}

}  // namespace
}  // namespace ez::http::testing
