// The queue manager over real Redis servers that are hurt: under load nothing is lost, applied twice or out
// of order, and messages go another way, and back, within five seconds.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <set>

#include "base/clock.h"
#include "manager_faults.h"
#include "queue/open.h"

namespace ez::test {

std::string redis_url(const Value& server, const std::string& address, const std::string& rest) {
  return url_of("redis", server, address, "?" + rest);
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

TEST(RedisManager, FaultsUnderLoadLoseNothingAndRepeatNothing) {
  const Value& server = own_redis(1);
  const auto gate = Servers::get().gate(list_of(server, "addresses").front());
  const std::string url = redis_url(server, gate.address, "alive_ms=2000&request_timeout_ms=1500");
  expect_faults_lose_nothing({"redis", url, server, gate}, "load.faults");
}

// Too short for the breaker: nobody switches, and nothing is lost either.
TEST(RedisManager, AServerThatForgetsAndIsBackAtOnceLosesNothing) {
  const Value& server = own_redis(1);
  const std::string address = list_of(server, "addresses").front();
  Managed managed(queue::one_primary(redis_url(server, address, "alive_ms=2000")));
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
  const Watch watch{managed, "load.two", "first", "second"};
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
  const std::string run = "n" + std::to_string(system_clock().now_ms()) + "-";  // the brokers know older ids
  int next = 0;
  const auto publish = [&](int count) {
    for (int i = 0; i < count; ++i) {
      queue::Message message;
      message.topic = "direct.work";
      message.key = "k";
      message.id = run + std::to_string(next);
      message.payload = std::to_string(next++);
      ASSERT_TRUE(publish_and_wait(managed.manager(), std::move(message)).ok());
    }
  };
  std::set<int> got;
  // Until everything up to `count` has come.
  const auto take = [&](queue::Consumer& consumer, std::size_t count) {
    const std::int64_t end = system_clock().monotonic_us() + 60'000'000;
    while (got.size() < count && system_clock().monotonic_us() < end) {
      auto some = take_and_wait(consumer, 100, std::chrono::milliseconds(200));
      ASSERT_TRUE(some.ok());
      for (const queue::Delivery& one : *some) {
        got.insert(std::stoi(one.message.payload));
        EXPECT_EQ(one.message.id, run + one.message.payload);
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
  Managed managed(queue::one_primary("redis://ez:wrong@" + address));
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
