// Old bytes stay readable: tests/golden/queue/records.bin holds one operation of each kind (each record with
// its length, as a text), snapshot.bin the state that they lead to. Both were written once; EZ_WRITE_GOLDEN=1
// writes them anew, which only a new format may be a reason for.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "log/testing.h"
#include "queue/embedded/lines.h"

namespace ez::queue {
namespace {

std::string path_of(const std::string& name) {
  const char* root = std::getenv("EZ_SOURCE_DIR");
  return std::string(root == nullptr ? "." : root) + "/tests/golden/queue/" + name;
}

std::string read_file(const std::string& name) {
  std::ifstream file(path_of(name), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void write_file(const std::string& name, const std::string& bytes) {
  std::ofstream(path_of(name), std::ios::binary) << bytes;
}

std::string publish(std::int64_t now_ms, const std::string& id, bool own, const std::string& key,
                    std::int64_t delay_ms, std::int64_t ttl_ms) {
  Message message;
  message.topic = "orders.new";
  message.id = id;
  message.key = key;
  message.payload = std::string("bytes \0\xff of ", 12) + id;
  message.headers = {{"kind", "test"}, {"empty", ""}};
  message.priority = own ? Priority::kDeferred : Priority::kHigh;
  message.delay_ms = delay_ms;
  message.ttl_ms = ttl_ms;
  const Message* one = &message;
  const char own_id = own ? 1 : 0;
  RecordWriter writer(now_ms);
  writer.publish("orders.new", std::span(&one, 1), std::span(&own_id, 1));
  return writer.take();
}

std::vector<std::string> records() {
  constexpr std::int64_t kNow = 1'790'000'000'000;
  std::vector<std::string> out;
  const auto add = [&](const std::function<void(RecordWriter&)>& fill) {
    RecordWriter writer(kNow + static_cast<std::int64_t>(out.size()));
    fill(writer);
    out.push_back(writer.take());
  };
  const auto list = [](std::vector<std::uint64_t> numbers) { return numbers; };
  add([](RecordWriter& writer) { writer.group("orders.#", "billing", true); });
  add([](RecordWriter& writer) { writer.group("orders.new", "gone", true); });
  add([](RecordWriter& writer) { writer.group("orders.*", "listener", false); });
  for (int i = 1; i <= 8; ++i) {
    out.push_back(publish(kNow + i, "m" + std::to_string(i), i == 8, i % 2 == 0 ? "key" : "",
                          i == 3 ? 60'000 : 0, i == 4 ? 90'000 : 0));
  }
  add([&](RecordWriter& writer) { writer.drop_group("orders.new", "gone"); });
  // Topic 1 was made by the second record; its groups are 1 (billing), 2 (gone), 3 (listener).
  add([&](RecordWriter& writer) { writer.ack(1, 1, list({1, 2})); });
  add([&](RecordWriter& writer) { writer.nack(1, 1, kNow + 5000, "not now", list({5})); });
  add([&](RecordWriter& writer) { writer.bury(1, 1, 6, "no hope"); });
  add([&](RecordWriter& writer) { writer.bury(1, 1, 7, "redriven"); });
  add([&](RecordWriter& writer) { writer.bury(1, 1, 8, "discarded"); });
  add([&](RecordWriter& writer) { writer.redrive(list({2})); });
  add([&](RecordWriter& writer) { writer.discard(list({3})); });
  add([&](RecordWriter& writer) { writer.expire(1, list({4})); });
  add([&](RecordWriter& writer) { writer.purge(1, 3, list({3})); });
  add([&](RecordWriter& writer) {
    Message message;
    message.id = "m5";
    message.payload = "moved";
    std::string bytes;
    put_message(bytes, message, false, kNow + 5);
    const std::vector<std::pair<std::uint64_t, std::string>> moved{{5, bytes}};
    writer.move(1, moved);
  });
  add([](RecordWriter& writer) { writer.nothing(); });
  add([](RecordWriter& writer) { writer.pause("orders.new", true); });
  add([](RecordWriter& writer) { writer.setting("trigger/default/orders", "{}"); });
  return out;
}

std::string joined(const std::vector<std::string>& all) {
  std::string out;
  for (const std::string& one : all) put_text(out, one);
  return out;
}

TEST(QueueGolden, OldRecordsAndSnapshotsAreRead) {
  log::ManualClock clock;
  if (std::getenv("EZ_WRITE_GOLDEN") != nullptr) {
    State state;
    Lines lines(clock);
    std::uint64_t index = 0;
    for (const std::string& record : records()) ASSERT_TRUE(state.apply(++index, record, lines).ok());
    write_file("records.bin", joined(records()));
    write_file("snapshot.bin", state.encode());
  }
  const std::string bytes = read_file("records.bin");
  ASSERT_FALSE(bytes.empty());
  EXPECT_TRUE(bytes == joined(records())) << "this ez writes other bytes than before";
  State state;
  Lines lines(clock);
  ByteReader in(bytes);
  std::uint64_t index = 0;
  while (!in.ended()) {
    const std::string record(in.text());
    ASSERT_TRUE(state.apply(++index, record, lines).ok()) << "record " << index;
  }
  const std::string snapshot = read_file("snapshot.bin");
  EXPECT_TRUE(state.encode() == snapshot) << "the same records lead to another state than before";
  auto decoded = State::decode(snapshot, index);
  ASSERT_TRUE(decoded.ok()) << decoded.error().to_string();
  EXPECT_TRUE((*decoded)->encode() == snapshot);

  const Topic& topic = *state.topic_named("orders.new");
  EXPECT_TRUE(topic.paused);
  EXPECT_EQ(topic.published, 8U);
  EXPECT_EQ(topic.expired, 1U);
  ASSERT_EQ(state.dead().size(), 1U);
  EXPECT_EQ(state.dead().begin()->second.reason, "no hope");
  EXPECT_EQ(topic.group_named("gone"), nullptr);
  ASSERT_NE(topic.group_named("billing"), nullptr);
  EXPECT_EQ(topic.group_named("billing")->failures.at(5).history.at(0).second, "not now");
  EXPECT_EQ(state.settings().at("trigger/default/orders"), "{}");
}

}  // namespace
}  // namespace ez::queue
