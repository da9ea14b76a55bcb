// Redis Cluster while the slot of a topic moves from node to node under load.
#include <gtest/gtest.h>

#include "brokers.h"
#include "load.h"
#include "queue/redis/nodes.h"

namespace ez::test {
namespace {

// What `redis-cli --cluster reshard` does for one slot. It stays half moved for some time.
class Mover {
 public:
  Mover(const Value& server, const std::string& topic)
      : server_(server), slot_(std::to_string(queue::redis::slot_of(topic))) {
    for (int node = 0; node < 3; ++node) {
      std::string id = says(node, {"CLUSTER", "MYID"});
      ids_.push_back(id.substr(0, id.find('\n')));
      if (keys(node).size() > 0) at_ = node;
    }
  }

  void move() {
    const int from = at_;
    const int to = (at_ + 1) % 3;
    says(to, {"CLUSTER", "SETSLOT", slot_, "IMPORTING", ids_[static_cast<std::size_t>(from)]});
    says(from, {"CLUSTER", "SETSLOT", slot_, "MIGRATING", ids_[static_cast<std::size_t>(to)]});
    last(150);
    const std::string address = list_of(server_, "addresses")[static_cast<std::size_t>(to)];
    while (true) {
      const std::vector<std::string> some = keys(from);
      if (some.empty()) break;
      for (const std::string& key : some) {
        const std::string done =
            says(from, {"MIGRATE", "127.0.0.1", address.substr(address.rfind(':') + 1), "", "0", "5000",
                        "AUTH", std::string(server_.string_or("password", "")), "KEYS", key});
        ASSERT_EQ(done.rfind("OK", 0), 0U) << key << ": " << done;
        ++moved_;
      }
    }
    last(150);
    for (const int node : {to, from, (to + 1) % 3}) {
      says(node, {"CLUSTER", "SETSLOT", slot_, "NODE", ids_[static_cast<std::size_t>(to)]});
    }
    at_ = to;
  }
  // Begins to move it and thinks better of it: what was refused in between is not refused afterwards.
  void hesitate() {
    const int to = (at_ + 1) % 3;
    says(to, {"CLUSTER", "SETSLOT", slot_, "IMPORTING", ids_[static_cast<std::size_t>(at_)]});
    says(at_, {"CLUSTER", "SETSLOT", slot_, "MIGRATING", ids_[static_cast<std::size_t>(to)]});
    last(20);
    for (const int node : {at_, to}) says(node, {"CLUSTER", "SETSLOT", slot_, "STABLE"});
  }
  [[nodiscard]] int moved() const { return moved_; }

 private:
  std::string says(int node, const std::vector<std::string>& words) {
    return redis_says(server_, node, words);
  }
  std::vector<std::string> keys(int node) {
    std::vector<std::string> out;
    const std::string text = says(node, {"CLUSTER", "GETKEYSINSLOT", slot_, "100"});
    std::size_t from = 0;
    while (from < text.size()) {
      const std::size_t end = std::min(text.find('\n', from), text.size());
      if (end > from) out.push_back(text.substr(from, end - from));
      from = end + 1;
    }
    return out;
  }

  const Value& server_;
  const std::string slot_;
  std::vector<std::string> ids_;
  int at_ = 0;
  int moved_ = 0;
};

void expect_moves_lose_nothing(const std::string& topic, bool keyed, int ahead = 1) {
  auto options = redis_options(Variant::kCluster);
  options.broker.publish_timeout_ms = 30'000;
  auto publisher = queue::redis::open_redis(options);
  auto consumer = queue::redis::open_redis(options);
  ASSERT_TRUE(publisher.ok() && consumer.ok());
  LoadOptions wanted = load(topic);
  wanted.keyed = keyed;
  wanted.ahead = ahead;
  wanted.messages = 20'000;
  wanted.until_faults_end = true;
  wanted.pace_ms = ahead > 1 ? 5 : 20;
  const LoadResult result =
      run_load(**publisher, **consumer, wanted, [&](const std::function<int()>& applied) {
        wait_for_applied(applied, 2'000);
        Mover mover(redis_server(Variant::kCluster), topic);
        for (int i = 0; i < 4; ++i) {
          mover.move();
          if (testing::Test::HasFatalFailure()) return;
          for (int more = 0; ahead > 1 && more < 5; ++more) {
            wait_for_applied(applied, applied() + 200);
            mover.hesitate();
          }
          wait_for_applied(applied, applied() + 2'000);
        }
        EXPECT_GE(mover.moved(), 4 * 6) << "the streams of a queue at least";
      });
  EXPECT_GE(result.published, wanted.messages);
  EXPECT_EQ(result.applied, result.published) << result.first_problem;
  EXPECT_EQ(result.lost, 0) << result.first_problem;
  EXPECT_EQ(result.out_of_order, 0) << result.first_problem;
  EXPECT_EQ(result.refused, 0) << result.first_problem;
  std::printf("  %d messages, %llu published again, %llu delivered again\n", result.applied,
              static_cast<unsigned long long>(result.retried),
              static_cast<unsigned long long>(result.repeated));
}

TEST(RedisMoves, ATopicOfMessagesWithKeysMovesToAnotherNode) {
  expect_moves_lose_nothing("moves.keyed", true);
}
// None may overtake another when the first is refused, because the slot has moved or is about to.
TEST(RedisMoves, BatchesThatAreUnderWayKeepTheirOrder) { expect_moves_lose_nothing("moves.ahead", true, 30); }
TEST(RedisMoves, ATopicOfPlainMessagesMovesToAnotherNode) { expect_moves_lose_nothing("moves.plain", false); }

}  // namespace
}  // namespace ez::test
