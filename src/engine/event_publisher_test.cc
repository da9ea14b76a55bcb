#include "engine/event_publisher.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <set>

#include "base/clock.h"
#include "base/json.h"
#include "base/random.h"
#include "base/rfc3339.h"
#include "engine/engine.h"
#include "log/disk_posix.h"
#include "log/local_log.h"
#include "log/testing.h"
#include "orchestration/parse.h"
#include "queue/wait_for.h"

namespace ez::engine {
namespace {

using std::chrono::milliseconds;

// Its tasks end by themselves.
constexpr const char* kWaits = R"(name: waits
labels: {team: core}
tasks:
  - {id: one, wait: {for: 1ms}}
  - {id: two, dependencies: [one], wait: {for: 1ms}}
)";

class EventPublisherTest : public testing::Test {
 protected:
  EventPublisherTest() { boot({"ez.events", "https://ez.example", true}); }
  ~EventPublisherTest() override { shut_down(); }

  // A server with events; with an empty topic without.
  void boot(EventOptions options) {
    log::LocalLogOptions small;
    small.reserve_bytes = 0;
    auto queue_log = log::open_local_log(log::posix_disk(), directory_.path() + "/queue", small);
    auto log = log::open_local_log(log::posix_disk(), directory_.path() + "/log", small);
    auto history = storage::History::open(directory_.path());
    ASSERT_TRUE(queue_log.ok() && log.ok() && history.ok());
    auto bus = queue::EmbeddedBus::open(std::move(*queue_log));
    ASSERT_TRUE(bus.ok());
    bus_ = std::move(*bus);
    history_ = std::move(*history);
    engine_ = std::make_unique<Engine>(KernelOptions{}, std::move(*log), *history_, nullptr, system_clock(),
                                       system_random());
    if (options.topic.empty()) {
      EventPublisher::forget(*bus_);
    } else {
      publisher_ = std::make_unique<EventPublisher>(*bus_, options);
      publisher_->start();
      engine_->publish_events(publisher_.get());
    }
    ASSERT_TRUE(engine_->start().ok());
    if (publisher_) publisher_->live();
  }
  void shut_down() {
    if (engine_) engine_->stop();
    publisher_.reset();
    engine_.reset();
    history_.reset();
    bus_.reset();
  }
  core::Reply propose(core::pb::Command command) {
    const auto reply = queue::wait_for<core::Reply>(
        [&](auto done) { engine_->propose(std::move(command), std::move(done)); });
    EXPECT_TRUE(reply.ok()) << reply.error().to_string();
    return reply.ok() ? *reply : core::Reply{};
  }
  // Starts a run and waits for its end.
  std::string run_once() {
    core::pb::Command command;
    const auto parsed = orchestration::parse_workflow(kWaits);
    EXPECT_TRUE(parsed.ok());
    auto* body = command.mutable_register_workflow();
    body->set_namespace_("default");
    body->set_canonical(orchestration::to_canonical(*parsed.workflow));
    body->set_source(kWaits);
    propose(std::move(command));
    core::pb::Command start;
    start.mutable_start_run()->set_namespace_("default");
    start.mutable_start_run()->set_workflow("waits");
    start.mutable_start_run()->set_inputs("{}");
    start.mutable_start_run()->set_principal("tester");
    const RunId run = propose(std::move(start)).run;
    const std::int64_t end = system_clock().monotonic_us() + 20'000'000;
    while (system_clock().monotonic_us() < end) {
      const auto found =
          queue::wait_for<Cow<core::Run>>([&](auto done) { engine_->find_run(run, std::move(done)); });
      if (found.ok() && core::is_terminal((*found)->state)) return to_text(run);
    }
    ADD_FAILURE() << "the run does not end";
    return to_text(run);
  }
  // What is on the topic, parsed, in its order; everything handed over is there.
  std::vector<Value> events() {
    if (publisher_) {
      EXPECT_TRUE(publisher_->flush().ok());
    }
    std::vector<Value> out;
    const auto found = peek_and_wait(*bus_, "ez.events", 1000);
    if (!found.ok()) return out;
    for (const queue::Delivery& one : *found) {
      auto event = parse_json(one.message.payload);
      EXPECT_TRUE(event.ok()) << one.message.payload;
      EXPECT_EQ(one.message.id, "event-" + std::string(event->string_or("id", "")));
      EXPECT_EQ(one.message.headers,
                (queue::Headers{{"content-type", "application/cloudevents+json; charset=utf-8"}}));
      out.push_back(std::move(*event));
    }
    return out;
  }
  static std::vector<std::string> types_of(const std::vector<Value>& events, const std::string& run) {
    std::vector<std::string> out;
    for (const Value& event : events) {
      const std::string subject(event.string_or("subject", ""));
      if (subject == run || subject.starts_with(run + "/")) out.emplace_back(event.string_or("type", ""));
    }
    return out;
  }

  log::TemporaryDirectory directory_;
  std::unique_ptr<queue::EmbeddedBus> bus_;
  std::unique_ptr<storage::History> history_;
  std::unique_ptr<EventPublisher> publisher_;
  std::unique_ptr<Engine> engine_;
};

const std::vector<std::string> kWholeRun{"ez.run.running", "ez.task.timer",     "ez.task.succeeded",
                                         "ez.task.timer",  "ez.task.succeeded", "ez.run.succeeded"};

TEST_F(EventPublisherTest, ARunIsToldAsCloudEvents) {
  const std::string run = run_once();
  const std::vector<Value> all = events();
  EXPECT_EQ(types_of(all, run), kWholeRun);
  std::set<std::string> ids;
  for (const Value& event : all) {
    // CloudEvents 1.0: REQUIRED attributes are non-empty texts; names are small letters and digits.
    EXPECT_EQ(event.string_or("specversion", ""), "1.0");
    EXPECT_EQ(event.string_or("source", ""), "https://ez.example");
    EXPECT_EQ(event.string_or("datacontenttype", ""), "application/json");
    EXPECT_TRUE(ids.insert(std::string(event.string_or("id", ""))).second) << "an id is there twice";
    EXPECT_TRUE(parse_rfc3339(event.string_or("time", "")).has_value());
    for (const auto& [name, value] : event.as_map()) {
      if (name == "data") continue;
      EXPECT_TRUE(value.is_string() && !value.as_string().empty()) << name;
      EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789"), std::string::npos) << name;
    }
    const Value* data = event.find("data");
    ASSERT_TRUE(data != nullptr && data->is_map());
    EXPECT_EQ(data->string_or("run", ""), run);
    EXPECT_EQ(data->string_or("workflow", ""), "waits");
  }
  const Value& last = *all.back().find("data");
  EXPECT_EQ(last.string_or("state", ""), "succeeded");
  EXPECT_EQ(last.string_or("started_by", ""), "tester");
  EXPECT_EQ(last.find("labels")->string_or("team", ""), "core");
  EXPECT_EQ(all[2].string_or("subject", ""), run + "/one");
  EXPECT_EQ(all[2].find("data")->string_or("task", ""), "one");
}

TEST_F(EventPublisherTest, ARestartTellsEachOnce) {
  const std::string first = run_once();
  const std::size_t before = events().size();
  shut_down();
  boot({"ez.events", "https://ez.example", true});
  const std::string second = run_once();
  const std::vector<Value> all = events();
  EXPECT_EQ(all.size(), before * 2);
  EXPECT_EQ(types_of(all, first), kWholeRun);
  EXPECT_EQ(types_of(all, second), kWholeRun);
}

// The replay goes through everything again, and nobody remembers how far it was: the ids do.
TEST_F(EventPublisherTest, ALostCursorRepeatsNothing) {
  const std::string run = run_once();
  const std::size_t before = events().size();
  shut_down();
  {
    auto log = log::open_local_log(log::posix_disk(), directory_.path() + "/queue", {});
    auto bus = queue::EmbeddedBus::open(std::move(*log));
    ASSERT_TRUE(queue::wait_for<bool>([&](auto done) {
                  (*bus)->set("events/cursor", R"({"event": 1, "dead_letter": 0})", std::move(done));
                }).ok());
  }
  boot({"ez.events", "https://ez.example", true});
  EXPECT_EQ(events().size(), before);
  EXPECT_EQ(types_of(events(), run), kWholeRun);
}

TEST_F(EventPublisherTest, ASnapshotWaitsForItsEvents) {
  const std::string run = run_once();
  ASSERT_TRUE(engine_->snapshot_now().ok());
  const EventPublisher::Figures figures = publisher_->figures();
  EXPECT_EQ(figures.waiting, 0U);
  EXPECT_EQ(figures.published, kWholeRun.size());
  shut_down();
  boot({"ez.events", "https://ez.example", true});
  EXPECT_EQ(types_of(events(), run), kWholeRun);
}

TEST_F(EventPublisherTest, EventsBeginWhenTheyAreSwitchedOn) {
  shut_down();
  boot({"", "", false});
  const std::string unseen = run_once();
  shut_down();
  boot({"ez.events", "https://ez.example", true});
  const std::string seen = run_once();
  EXPECT_TRUE(types_of(events(), unseen).empty());
  EXPECT_EQ(types_of(events(), seen), kWholeRun);
}

TEST_F(EventPublisherTest, WithoutTasksOnlyRunsAreTold) {
  shut_down();
  boot({"ez.events", "ez", false});
  const std::string run = run_once();
  EXPECT_EQ(types_of(events(), run), (std::vector<std::string>{"ez.run.running", "ez.run.succeeded"}));
}

TEST_F(EventPublisherTest, DeadLettersAreToldOnce) {
  auto consumer = bus_->subscribe_embedded({"orders.new", "billing", 10, 30'000}, milliseconds(10'000));
  ASSERT_TRUE(consumer.ok());
  queue::Message message;
  message.topic = "orders.new";
  message.id = "o-1";
  ASSERT_TRUE(publish_and_wait(*bus_, std::move(message)).ok());
  const auto got = take_and_wait(**consumer, 1, milliseconds(10'000));
  ASSERT_TRUE(got.ok() && got->size() == 1);
  queue::await<std::vector<Status>>(
      [&](auto done) { (*consumer)->bury({got->front().tag}, "no such customer", std::move(done)); });
  const std::vector<Value> all = events();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].string_or("type", ""), "ez.queue.dead_letter");
  EXPECT_EQ(all[0].string_or("subject", ""), "orders.new");
  EXPECT_EQ(all[0].find("data")->string_or("reason", ""), "no such customer");
  EXPECT_EQ(all[0].find("data")->string_or("message", ""), "o-1");
  consumer->reset();
  shut_down();
  boot({"ez.events", "https://ez.example", true});
  EXPECT_EQ(events().size(), 1U);
}

}  // namespace
}  // namespace ez::engine
