// The queue manager over real Redis servers that are hurt: under load nothing is lost, applied twice or out
// of order, and messages go another way, and back, within five seconds.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <set>

#include "base/clock.h"
#include "load.h"
#include "managed.h"
#include "queue/open.h"

namespace ez::test {

std::string redis_url(const Value& server, const std::string& address, const std::string& rest) {
  return "redis://" + std::string(server.string_or("user", "")) + ":" +
         std::string(server.string_or("password", "")) + "@" + address + "?" + rest;
}

namespace {

class Handle final : public queue::Bus {
 public:
  explicit Handle(queue::Bus& bus) : bus_(bus) {}
  void publish(std::vector<queue::Message> messages, queue::PublishCallback done) override {
    bus_.publish(std::move(messages), std::move(done));
  }
  Result<std::unique_ptr<queue::Consumer>> subscribe(queue::SubscribeOptions options,
                                                     std::chrono::milliseconds wait) override {
    return bus_.subscribe(std::move(options), wait);
  }
  void drop_group(std::string pattern, std::string group, queue::Callback<bool> done) override {
    bus_.drop_group(std::move(pattern), std::move(group), std::move(done));
  }
  void peek(std::string topic, std::size_t max, queue::Callback<std::vector<queue::Delivery>> done) override {
    bus_.peek(std::move(topic), max, std::move(done));
  }
  void purge(std::string topic, queue::Callback<std::uint64_t> done) override {
    bus_.purge(std::move(topic), std::move(done));
  }
  void counts(std::string pattern, queue::Callback<std::vector<queue::TopicCounts>> done) override {
    bus_.counts(std::move(pattern), std::move(done));
  }
  void check_health(std::chrono::milliseconds wait, queue::Callback<std::int64_t> done) override {
    bus_.check_health(wait, std::move(done));
  }
  [[nodiscard]] queue::Capabilities capabilities() const override { return bus_.capabilities(); }

 private:
  queue::Bus& bus_;
};

// A server that no other test uses; the number makes another one.
const Value& own_redis(int number) {
  Value options(Value::Map{});
  options.set("mode", "standalone");
  options.set("max_memory", std::int64_t{number} << 30);
  return Servers::get().server("redis", options);
}

void restart_empty(const Value& server) {
  Value command;
  command.set("do", "restart");
  command.set("server", server.int_or("server", 0));
  command.set("node", 0);
  command.set("empty", true);
  Servers::get().ask(command);
}

queue::ManagerConfig redis_primary(const std::string& url) { return queue::one_primary(url); }

// The faults of one run, and how long messages took to find their way.
struct Watch {
  Managed& managed;
  std::string topic;
  std::string primary = "redis";
  std::string fallback = "embedded";
  std::int64_t worst_fall_ms = 0;
  std::int64_t worst_return_ms = 0;

  void fell(const char* what) {
    const std::int64_t ms = managed.until(topic, fallback);
    std::printf("  %-28s away after %5lld ms\n", what, static_cast<long long>(ms));
    EXPECT_GE(ms, 0) << what;
    EXPECT_LT(ms, 5'000) << what;
    worst_fall_ms = std::max(worst_fall_ms, ms);
  }
  void returned(const char* what) {
    const std::int64_t ms = managed.until(topic, primary);
    std::printf("  %-28s back after %5lld ms\n", what, static_cast<long long>(ms));
    EXPECT_GE(ms, 0) << what;
    EXPECT_LT(ms, 5'000) << what;
    worst_return_ms = std::max(worst_return_ms, ms);
  }
};

void expect_in_order_and_once(const LoadResult& result) {
  EXPECT_EQ(result.applied, result.published) << result.first_problem;
  EXPECT_EQ(result.lost, 0) << result.first_problem;
  EXPECT_EQ(result.out_of_order, 0) << result.first_problem;
  EXPECT_EQ(result.refused, 0) << result.first_problem;
  EXPECT_EQ(result.repeated, 0U) << "delivered again, although nothing was given back";
  std::printf("  %d messages, %llu published again, %llu delivered again\n", result.applied,
              static_cast<unsigned long long>(result.retried),
              static_cast<unsigned long long>(result.repeated));
}

// Each switch begins where the one before has ended, and has a later number.
void expect_one_at_a_time(queue::Manager& manager) {
  std::string at = "embedded";
  std::uint64_t epoch = 0;
  for (const queue::QueueSwitch& one : manager.switches()) {
    EXPECT_EQ(one.from, at);
    EXPECT_GT(one.epoch, epoch);
    at = one.to;
    epoch = one.epoch;
  }
}

TEST(RedisManager, FaultsUnderLoadLoseNothingAndRepeatNothing) {
  const Value& server = own_redis(1);
  const std::string address = list_of(server, "addresses").front();
  Servers& servers = Servers::get();
  const auto gate = servers.gate(address);
  Managed managed(redis_primary(redis_url(server, gate.address, "alive_ms=2000&request_timeout_ms=1500")));
  ASSERT_GE(managed.until("load.faults", "redis"), 0);
  LoadOptions wanted = load("load.faults");
  wanted.until_faults_end = true;
  wanted.pace_ms = 20;
  Watch watch{managed, "load.faults"};
  const LoadResult result =
      run_load(managed.manager(), managed.manager(), wanted, [&](const std::function<int()>& applied) {
        wait_for_applied(applied, 5'000);
        servers.fault(gate, "cut");
        watch.fell("network cut");
        servers.fault(gate, "none");
        watch.returned("network cut");
        wait_for_applied(applied, applied() + 2'000);
        servers.kill(server);
        watch.fell("kill -9");
        servers.restart(server);
        watch.returned("kill -9");
        wait_for_applied(applied, applied() + 2'000);
        servers.fault(gate, "half_open");
        watch.fell("half-open network");
        servers.fault(gate, "none");
        watch.returned("half-open network");
        wait_for_applied(applied, applied() + 2'000);
        servers.pause(server);
        watch.fell("SIGSTOP");
        servers.resume(server);
        watch.returned("SIGSTOP");
        wait_for_applied(applied, applied() + 2'000);
        servers.kill(server);
        watch.fell("kill -9, disk emptied");
        restart_empty(server);
        watch.returned("kill -9, disk emptied");
        wait_for_applied(applied, applied() + 2'000);
      });
  expect_in_order_and_once(result);
  EXPECT_GE(result.published,
            wanted.messages / wanted.publishers / wanted.keys * wanted.publishers * wanted.keys);
  expect_one_at_a_time(managed.manager());
  const auto backends = managed.manager().backends();
  EXPECT_GT(backends[0].own, 1'000U) << "messages went through Redis";
}

// Too short for the breaker: nobody switches, and nothing is lost either.
TEST(RedisManager, AServerThatForgetsAndIsBackAtOnceLosesNothing) {
  const Value& server = own_redis(1);
  const std::string address = list_of(server, "addresses").front();
  Managed managed(redis_primary(redis_url(server, address, "alive_ms=2000")));
  ASSERT_GE(managed.until("load.forgets", "redis"), 0);
  LoadOptions wanted = load("load.forgets");
  wanted.messages /= 5;
  wanted.until_faults_end = true;
  wanted.pace_ms = 10;
  const LoadResult result =
      run_load(managed.manager(), managed.manager(), wanted, [&](const std::function<int()>& applied) {
        for (int i = 0; i < 3; ++i) {
          wait_for_applied(applied, applied() + 2'000);
          Servers::get().kill(server);
          restart_empty(server);
        }
        wait_for_applied(applied, applied() + 2'000);
      });
  expect_in_order_and_once(result);
}

TEST(RedisManager, ASecondBrokerTakesOverAndGivesBack) {
  const Value& first = own_redis(1);
  const Value& second = own_redis(2);
  queue::ManagerConfig config;
  config.backends = {{"first", redis_url(first, list_of(first, "addresses").front(), "prefix=two")},
                     {"second", redis_url(second, list_of(second, "addresses").front(), "prefix=two")}};
  config.routes.push_back({"direct.#", "first", "second", true});
  config.routes.push_back({"", "first", "second", false});
  Managed managed(config);
  ASSERT_GE(managed.until("load.two", "first"), 0);
  LoadOptions wanted = load("load.two");
  wanted.messages /= 5;
  wanted.until_faults_end = true;
  wanted.pace_ms = 10;
  Watch watch{managed, "load.two", "first", "second"};
  const LoadResult result =
      run_load(managed.manager(), managed.manager(), wanted, [&](const std::function<int()>& applied) {
        wait_for_applied(applied, 2'000);
        Servers::get().kill(first);
        watch.fell("primary killed");
        wait_for_applied(applied, applied() + 2'000);
        restart_empty(first);
        watch.returned("primary killed");
        wait_for_applied(applied, applied() + 2'000);
        // What others publish at either comes in.
        Servers::get().pause(second);
        wait_for_applied(applied, applied() + 2'000);
        Servers::get().resume(second);
      });
  expect_in_order_and_once(result);
  for (const auto& backend : managed.manager().backends()) EXPECT_GT(backend.own, 500U) << backend.name;
}

// Consumers that speak the broker directly: what is in the log and not confirmed reaches the one that is up.
// What hung in the hands of the one that stopped may be at both, with the same id.
TEST(RedisManager, DirectConsumersFindTheirMessagesAtTheBrokerThatIsUp) {
  const Value& first = own_redis(1);
  const Value& second = own_redis(2);
  const std::string at_first = redis_url(first, list_of(first, "addresses").front(), "prefix=direct");
  const std::string at_second = redis_url(second, list_of(second, "addresses").front(), "prefix=direct");
  queue::ManagerConfig config;
  config.backends = {{"first", at_first}, {"second", at_second}};
  config.routes.push_back({"direct.#", "first", "second", true});
  config.routes.push_back({"", "first", "second", false});
  Managed managed(config);
  ASSERT_GE(managed.until("direct.work", "first"), 0);
  auto outside_first = queue::open_bus(at_first);
  auto outside_second = queue::open_bus(at_second);
  ASSERT_TRUE(outside_first.ok() && outside_second.ok());
  auto from_first = (*outside_first)->subscribe({"direct.#", "out", 1000, 30'000}, std::chrono::seconds(10));
  auto from_second =
      (*outside_second)->subscribe({"direct.#", "out", 1000, 30'000}, std::chrono::seconds(10));
  ASSERT_TRUE(from_first.ok() && from_second.ok());
  int next = 0;
  const auto publish = [&](int count) {
    for (int i = 0; i < count; ++i) {
      queue::Message message;
      message.topic = "direct.work";
      message.key = "k";
      message.id = "n" + std::to_string(next);
      message.payload = std::to_string(next++);
      ASSERT_TRUE(publish_and_wait(managed.manager(), std::move(message)).ok());
    }
  };
  std::set<int> got;
  // Until everything up to `count` has come.
  const auto take = [&](queue::Consumer& consumer, std::size_t count) {
    const std::int64_t end = system_clock().monotonic_us() + 20'000'000;
    while (got.size() < count && system_clock().monotonic_us() < end) {
      auto some = take_and_wait(consumer, 100, std::chrono::milliseconds(200));
      ASSERT_TRUE(some.ok());
      for (const queue::Delivery& one : *some) {
        got.insert(std::stoi(one.message.payload));
        EXPECT_EQ(one.message.id, "n" + one.message.payload);
        EXPECT_TRUE(ack_and_wait(consumer, {one.tag}).ok());
      }
    }
    EXPECT_EQ(got.size(), count);
  };
  publish(20);
  take(**from_first, 20);
  Servers::get().pause(first);
  publish(20);  // the first ones of them may hang in the stopped server's hands
  ASSERT_GE(managed.until("direct.work", "second"), 0);
  publish(20);
  take(**from_second, 60);
  Servers::get().resume(first);
  ASSERT_GE(managed.until("direct.work", "first"), 0);
  publish(20);
  take(**from_first, 80);
}

TEST(RedisManager, WrongCredentialsAreSaidAndTheLogServes) {
  const Value& server = own_redis(1);
  const std::string address = list_of(server, "addresses").front();
  Managed managed(redis_primary("redis://ez:wrong@" + address));
  auto consumer = managed.manager().subscribe({"refused", "g", 10, 30'000}, std::chrono::seconds(10));
  ASSERT_TRUE(consumer.ok());
  queue::Message message;
  message.topic = "refused";
  message.payload = "x";
  ASSERT_TRUE(publish_and_wait(managed.manager(), message).ok());
  const auto got = take_and_wait(**consumer, 1, std::chrono::milliseconds(5'000));
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->size(), 1U);
  EXPECT_EQ(managed.manager().active("refused"), "embedded");
  const std::int64_t end = system_clock().monotonic_us() + 10'000'000;
  std::string why;
  while (why.empty() && system_clock().monotonic_us() < end) why = managed.manager().backends()[0].why;
  EXPECT_NE(why.find("QUEUE_REFUSED"), std::string::npos) << why;
  EXPECT_EQ(managed.manager().backends()[0].url.find("wrong"), std::string::npos);
}

}  // namespace

Result<std::unique_ptr<queue::Bus>> ManagedHarness::open() {
  static std::atomic<int> number{0};
  if (managed_ == nullptr) {
    const Value& server = redis_server(Variant::kPlain);
    const std::string prefix = "m" + std::to_string(::getpid() % 100'000) + "x" + std::to_string(++number);
    managed_ = std::make_unique<Managed>(
        queue::one_primary(redis_url(server, list_of(server, "addresses").front(), "prefix=" + prefix)));
  } else {
    managed_->restart();
  }
  EZ_CHECK(managed_->until("any", "redis") >= 0, "Redis is there");
  return std::unique_ptr<queue::Bus>(std::make_unique<Handle>(managed_->manager()));
}

}  // namespace ez::test
