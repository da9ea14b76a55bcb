// For the tests of the gateway: a provider that does what the test says over a real socket, money in memory,
// a client that remembers what it got. Not part of the library.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "models/gateway/gateway.h"
#include "models/ledger/bank.h"

namespace ez::models::testing {

inline constexpr std::chrono::seconds kPatience{30};

// One request at the provider.
class UpstreamCall {
 public:
  UpstreamCall(int fd, std::string head, std::string body, std::atomic<bool>& stopping)
      : head_(std::move(head)), body_(std::move(body)), fd_(fd), stopping_(stopping) {}
  [[nodiscard]] const std::string& body() const { return body_; }
  [[nodiscard]] const std::string& head() const { return head_; }
  [[nodiscard]] bool has(std::string_view text) const { return head_.find(text) != std::string::npos; }

  // False when the gateway has closed the connection.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return !stopping_;
  }
  bool answer(int status, std::string_view body, std::string_view headers = "",
              std::string_view type = "application/json") {
    std::string out =
        "HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Type: " + std::string(type) + "\r\n";
    out += headers;
    out += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n";
    out += body;
    return send(out);
  }
  bool begin_stream(std::string_view headers = "") {
    chunked_ = true;
    return send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + std::string(headers) +
                "Transfer-Encoding: chunked\r\n\r\n");
  }
  bool chunk(std::string_view bytes) {
    char size[32];
    std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
    return send(size + std::string(bytes) + "\r\n");
  }
  bool end_stream() { return send("0\r\n\r\n"); }
  // Blocks until the gateway closes the connection.
  void wait_for_close() {
    char byte = 0;
    while (::recv(fd_, &byte, 1, 0) > 0) {
    }
  }
  // The connection ends after the handler, whatever was promised.
  void cut() { cut_ = true; }
  [[nodiscard]] bool is_cut() const { return cut_; }

 private:
  const std::string head_, body_;
  const int fd_;
  std::atomic<bool>& stopping_;
  bool chunked_ = false, cut_ = false;
};

// A thread for each connection; the handler runs on it.
class TestUpstream {
 public:
  using Handler = std::function<void(UpstreamCall&)>;
  explicit TestUpstream(Handler handler) : handler_(std::move(handler)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EZ_CHECK(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0, "bind");
    EZ_CHECK(::listen(listener_, 512) == 0, "listen");
    socklen_t size = sizeof address;
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_all(); });
  }
  ~TestUpstream() {
    stopping_ = true;
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    {
      std::lock_guard lock(mutex_);
      for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
    }
    for (std::thread& thread : threads_) thread.join();
    ::close(listener_);
  }
  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/v1"; }
  [[nodiscard]] int requests() const { return requests_; }

 private:
  void accept_all() {
    while (!stopping_) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue;
      std::lock_guard lock(mutex_);
      open_.insert(fd);
      threads_.emplace_back([this, fd] {
        serve(fd);
        std::lock_guard held(mutex_);
        open_.erase(fd);
        ::close(fd);
      });
    }
  }
  void serve(int fd) {
    std::string pending;
    while (!stopping_) {
      std::size_t end = 0;
      while ((end = pending.find("\r\n\r\n")) == std::string::npos) {
        if (!read_more(fd, pending)) return;
      }
      const std::string head = pending.substr(0, end + 2);
      pending.erase(0, end + 4);
      std::size_t length = 0;
      if (const auto at = head.find("Content-Length: "); at != std::string::npos) {
        length = static_cast<std::size_t>(std::stoul(head.substr(at + 16)));
      }
      while (pending.size() < length) {
        if (!read_more(fd, pending)) return;
      }
      UpstreamCall call(fd, head, pending.substr(0, length), stopping_);
      pending.erase(0, length);
      ++requests_;
      handler_(call);
      if (call.is_cut()) return;
    }
  }
  static bool read_more(int fd, std::string& pending) {
    char buffer[16 * 1024];
    const ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
    if (n <= 0) return false;
    pending.append(buffer, static_cast<std::size_t>(n));
    return true;
  }
  const Handler handler_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<int> requests_{0};
  std::thread acceptor_;
  std::mutex mutex_;
  std::set<int> open_;
  std::vector<std::thread> threads_;
};

// Leases with a limit, kept as core keeps them (core/budget.h), without a log. Answers on the caller's
// thread.
class MemoryBank final : public Bank {
 public:
  struct Lease {
    LeaseInfo info;
    std::int64_t left = 0;  // of the reserve
    std::int64_t open = 0;
    std::int64_t spent = 0;
  };
  void add(LeaseInfo info) {
    std::lock_guard lock(mutex_);
    Lease& lease = leases_[info.fence.value];
    lease.left = info.limit_microusd < 0 ? INT64_MAX / 4 : info.limit_microusd;
    lease.info = std::move(info);
  }
  void clear() {
    std::lock_guard lock(mutex_);
    leases_.clear();
    rows_.clear();
    draws_ = 0;
  }
  // It ends as core ends it: what is open is spent. Returns what it cost.
  std::int64_t end(Fence fence) {
    std::lock_guard lock(mutex_);
    Lease& lease = leases_.at(fence.value);
    const std::int64_t spent = lease.spent + lease.open;
    leases_.erase(fence.value);
    return spent;
  }
  [[nodiscard]] Lease get(Fence fence) {
    std::lock_guard lock(mutex_);
    return leases_.at(fence.value);
  }
  [[nodiscard]] std::vector<UsageRow> rows() {
    std::lock_guard lock(mutex_);
    return rows_;
  }
  [[nodiscard]] int draws() {
    std::lock_guard lock(mutex_);
    return draws_;
  }

  void find(Fence fence, std::function<void(Result<LeaseInfo>)> found) override {
    std::unique_lock lock(mutex_);
    const auto lease = leases_.find(fence.value);
    Result<LeaseInfo> result = lease == leases_.end() ? Result<LeaseInfo>(Error(Code::LeaseStale, "no lease"))
                                                      : Result<LeaseInfo>(lease->second.info);
    lock.unlock();
    found(std::move(result));
  }
  void draw(Fence fence, std::int64_t need, std::int64_t want, bool,
            std::function<void(Result<std::int64_t>)> drawn) override {
    Result<std::int64_t> result = Error(Code::LeaseStale, "no lease");
    {
      std::lock_guard lock(mutex_);
      ++draws_;
      if (const auto found = leases_.find(fence.value); found != leases_.end()) {
        Lease& lease = found->second;
        const std::int64_t amount = std::min(std::max(need, want), lease.left - lease.open);
        if (amount < need) {
          result = Error(Code::BudgetExceeded, "not so much is left");
        } else {
          lease.open += amount;
          result = amount;
        }
      }
    }
    drawn(std::move(result));
  }
  void record(UsageBatch batch, std::function<void(const Status&)> done) override {
    {
      std::lock_guard lock(mutex_);
      for (UsageRow& row : batch.rows) {
        if (const auto found = leases_.find(row.fence.value); found != leases_.end()) {
          Lease& lease = found->second;
          EXPECT_LE(row.sum.microusd, lease.open) << "more was metered than was drawn";
          lease.open -= row.sum.microusd;
          lease.left -= row.sum.microusd;
          lease.spent += row.sum.microusd;
        }
        rows_.push_back(std::move(row));
      }
      for (const AllowanceReturn& given : batch.returns) {
        if (const auto found = leases_.find(given.fence.value); found != leases_.end()) {
          EXPECT_LE(given.microusd, found->second.open) << "more was given back than was open";
          found->second.open -= given.microusd;
        }
      }
    }
    done({});
  }

 private:
  std::mutex mutex_;
  std::map<std::uint64_t, Lease> leases_;
  std::vector<UsageRow> rows_;
  int draws_ = 0;
};

// What a client got; wait() until it is over.
class TestClient final : public CallClient {
 public:
  int status = 0;
  Headers headers;
  std::string body;
  bool streamed = false;

  void answer(int given, Headers more, std::string text) override {
    std::lock_guard lock(mutex_);
    status = given;
    headers = std::move(more);
    body = std::move(text);
    over_ = true;
    changed_.notify_all();
  }
  void begin_stream(Headers more) override {
    std::lock_guard lock(mutex_);
    status = 200;
    headers = std::move(more);
    streamed = true;
  }
  [[nodiscard]] bool send(std::string_view bytes) override {
    std::lock_guard lock(mutex_);
    if (full_) {
      refused_ = true;
      changed_.notify_all();
      return false;
    }
    body.append(bytes);
    changed_.notify_all();
    return true;
  }
  void end_stream() override {
    std::lock_guard lock(mutex_);
    over_ = true;
    changed_.notify_all();
  }

  void fill(bool full) {
    std::lock_guard lock(mutex_);
    full_ = full;
  }
  [[nodiscard]] bool wait_refused() {
    return wait_until([&] { return refused_; });
  }
  [[nodiscard]] bool wait_for(std::string_view text) {
    return wait_until([&] { return body.find(text) != std::string::npos; });
  }
  [[nodiscard]] bool wait() {
    return wait_until([&] { return over_; });
  }
  [[nodiscard]] std::string header(std::string_view name) const {
    return std::string(find_header(headers, name).value_or(""));
  }

 private:
  template <typename Condition>
  bool wait_until(Condition condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, condition);
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false, full_ = false, refused_ = false;
};

}  // namespace ez::models::testing
