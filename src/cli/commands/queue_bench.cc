// `ez queue bench`: how many messages a second a queue takes and hands out at the same time. Without
// --backend it opens an embedded queue of its own (below --data-dir, removed afterwards) in this process:
// what is measured is the queue and its disk, not HTTP. With --backend it is the broker at that address, in a
// topic of its own that is emptied before and afterwards. A message counts as in when its receipt came, and
// as out when its acknowledgement was answered; both come after the sync, as far as the broker syncs.
#include <unistd.h>
#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "base/clock.h"
#include "base/json.h"
#include "cli/commands/commands.h"
#include "log/disk_posix.h"
#include "log/local_log.h"
#include "queue/embedded/embedded_bus.h"
#include "queue/open.h"

namespace ez::cli {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr const char* kBenchTopic = "ez-bench";
constexpr milliseconds kJoin{30'000};

struct Plan {
  std::int64_t messages = 0;
  std::int64_t bytes = 0;
  std::int64_t batch = 0;
  std::int64_t window = 0;  // batches that are published and not answered
  std::int64_t keys = 0;
};

// Publishes a batch whenever one was answered, and takes whenever one was acknowledged.
class Bench {
 public:
  Bench(queue::Bus& bus, queue::Consumer& consumer, Plan plan)
      : bus_(bus), consumer_(consumer), plan_(plan), payload_(static_cast<std::size_t>(plan.bytes), 'x') {}

  Status run() {
    begin_us_ = system_clock().monotonic_us();
    std::thread publisher([this] { publish_all(); });
    std::thread taker([this] { take_all(); });
    publisher.join();
    taker.join();
    std::unique_lock lock(mutex_);
    // What was taken is acknowledged by callbacks that use this object.
    changed_.wait(lock, [&] { return settling_ == 0 && publishing_ == 0; });
    return failure_ ? Status(*failure_) : Status();
  }

  [[nodiscard]] std::int64_t in_per_s() const { return per_s(in_us_); }
  [[nodiscard]] std::int64_t out_per_s() const { return per_s(out_us_); }

 private:
  [[nodiscard]] std::int64_t per_s(std::int64_t end_us) const {
    return plan_.messages * 1'000'000 / std::max<std::int64_t>(1, end_us - begin_us_);
  }

  void fail(const Error& error) {
    std::lock_guard lock(mutex_);
    if (!failure_) failure_ = error;
    changed_.notify_all();
  }

  void publish_all() {
    for (std::int64_t sent = 0; sent < plan_.messages;) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return publishing_ < plan_.window || failure_; });
        if (failure_) return;
        ++publishing_;
      }
      std::vector<queue::Message> batch(
          static_cast<std::size_t>(std::min(plan_.batch, plan_.messages - sent)));
      for (queue::Message& message : batch) {
        message.topic = kBenchTopic;
        message.payload = payload_;
        if (plan_.keys > 0) message.key = "k" + std::to_string(sent % plan_.keys);
        ++sent;
      }
      bus_.publish(std::move(batch), [this](const std::vector<Result<queue::Receipt>>& receipts) {
        std::optional<Error> error;
        for (const auto& receipt : receipts) {
          if (!receipt.ok()) error = receipt.error();
        }
        if (error) fail(*error);
        std::lock_guard lock(mutex_);
        --publishing_;
        in_ += static_cast<std::int64_t>(receipts.size());
        if (in_ == plan_.messages) in_us_ = system_clock().monotonic_us();
        changed_.notify_all();
      });
    }
  }

  void take_all() {
    std::int64_t taken = 0;
    while (taken < plan_.messages) {
      {
        std::lock_guard lock(mutex_);
        if (failure_) return;
      }
      auto got = queue::take_and_wait(consumer_, static_cast<std::size_t>(plan_.batch), milliseconds(1000));
      if (!got.ok()) return fail(got.error());
      if (got->empty()) continue;
      std::vector<queue::DeliveryTag> tags;
      for (const queue::Delivery& delivery : *got) {
        if (delivery.message.payload != payload_) return fail(Error(Code::Internal, "a payload has changed"));
        tags.push_back(delivery.tag);
      }
      taken += static_cast<std::int64_t>(tags.size());
      {
        std::lock_guard lock(mutex_);
        ++settling_;
      }
      consumer_.ack(std::move(tags), [this](const std::vector<Status>& statuses) {
        std::optional<Error> error;
        for (const Status& status : statuses) {
          if (!status.ok()) error = status.error();
        }
        if (error) fail(*error);
        std::lock_guard lock(mutex_);
        --settling_;
        out_ += static_cast<std::int64_t>(statuses.size());
        if (out_ == plan_.messages) out_us_ = system_clock().monotonic_us();
        changed_.notify_all();
      });
    }
  }

  queue::Bus& bus_;
  queue::Consumer& consumer_;
  const Plan plan_;
  const std::string payload_;
  std::int64_t begin_us_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Error> failure_;
  std::int64_t publishing_ = 0, settling_ = 0, in_ = 0, out_ = 0, in_us_ = 0, out_us_ = 0;
};

// A folder that goes away.
struct Folder {
  explicit Folder(std::string folder) : path(std::move(folder)) {}
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string path;
};

// Subscribes, runs, and says what came of it.
Result<Value> measure(queue::Bus& bus, const Plan& plan) {
  EZ_ASSIGN(const auto consumer, bus.subscribe({kBenchTopic, kBenchTopic, 100'000, 600'000}, kJoin));
  Bench run(bus, *consumer, plan);
  EZ_TRY(run.run());
  return Value(Value::Map{{"backend", Value(bus.capabilities().backend)},
                          {"messages", Value(plan.messages)},
                          {"bytes", Value(plan.bytes)},
                          {"batch", Value(plan.batch)},
                          {"window", Value(plan.window)},
                          {"keys", Value(plan.keys)},
                          {"in_per_s", Value(run.in_per_s())},
                          {"out_per_s", Value(run.out_per_s())}});
}

Result<Value> bench_embedded(const Arguments& arguments, const Plan& plan) {
  EZ_ASSIGN(const std::string data, Session::data_dir(arguments));
  const std::string parent = arguments.text("data-dir", data);
  std::error_code failed;
  fs::create_directories(parent, failed);
  if (failed) return Error(Code::DataDirUnusable, "create " + parent + ": " + failed.message());
  const Folder folder(parent + "/queue-bench-" + std::to_string(::getpid()));
  EZ_ASSIGN(auto log, log::open_local_log(log::posix_disk(), folder.path, queue::EmbeddedBus::log_options()));
  EZ_ASSIGN(const auto bus, queue::EmbeddedBus::open(std::move(log)));
  return measure(*bus, plan);
}

// What an earlier measurement left, and what this one leaves when it fails.
Status empty_topic(queue::Bus& bus) {
  auto purged = queue::purge_and_wait(bus, kBenchTopic);
  if (purged.ok() || purged.error().code() == Code::TopicNotFound) return {};
  return purged.error();
}

Result<Value> bench_broker(const std::string& url, const Plan& plan) {
  EZ_ASSIGN(const auto bus, queue::open_bus(url));
  auto well = queue::check_health_and_wait(*bus, kJoin);
  if (!well.ok()) return well.error();
  EZ_TRY(empty_topic(*bus));
  auto result = measure(*bus, plan);
  const Status emptied = empty_topic(*bus);
  if (result.ok() && !emptied.ok()) return emptied.error();
  return result;
}

Result<int> bench(Session& session, const Arguments& arguments) {
  Plan plan;
  EZ_ASSIGN(plan.messages, arguments.number("messages", 1'000'000, 1, 1'000'000'000));
  EZ_ASSIGN(plan.bytes,
            arguments.number("bytes", 1024, 0, static_cast<std::int64_t>(queue::kMaxPayloadBytes)));
  EZ_ASSIGN(plan.batch, arguments.number("batch", 500, 1, 10'000));
  EZ_ASSIGN(plan.window, arguments.number("window", 16, 1, 10'000));
  EZ_ASSIGN(plan.keys, arguments.number("keys", 0, 0, 1'000'000));
  if (plan.batch * plan.bytes > 16LL << 20) {
    return Error(Code::InvalidArgument, "--batch times --bytes is more than 16 MiB");
  }
  const std::string url = arguments.text("backend");
  EZ_ASSIGN(const Value result, url.empty() ? bench_embedded(arguments, plan) : bench_broker(url, plan));
  if (arguments.has("json")) {
    session.out << to_json(result) << "\n";
  } else {
    session.out << plan.messages << " messages of " << plan.bytes
                << " bytes: " << result.int_or("in_per_s", 0) << " a second in, "
                << result.int_or("out_per_s", 0) << " a second out\n";
  }
  return kExitOk;
}

}  // namespace

Command queue_bench_command() {
  return {"queue bench",
          "Measure a queue: messages in and out at the same time, each acknowledged after it is durable",
          "  ez queue bench --json\n  ez queue bench --messages 200000 --bytes 100 --keys 1000\n"
          "  ez queue bench --backend redis://localhost:6379 --messages 200000\n",
          {{"--backend", "URL",
            "a broker: redis://, amqp:// or kafka:// (docs/guide/queue-backends.md); without it the "
            "embedded queue"},
           {"--messages", "N", "how many (1000000)"},
           {"--bytes", "N", "of each payload (1024)"},
           {"--batch", "N", "messages of one call (500)"},
           {"--window", "N", "calls that are not answered yet (16)"},
           {"--keys", "N", "spread over so many keys (0: none)"},
           {"--data-dir", "DIR", "where the queue of the measurement lives (the data directory)"},
           {"--json", "", "as JSON"}},
          {},
          false,
          bench};
}

}  // namespace ez::cli
