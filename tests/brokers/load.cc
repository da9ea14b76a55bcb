#include "load.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_map>
#include <unordered_set>

#include "base/clock.h"

namespace ez::test {
namespace {

using queue::Delivery;
using queue::DeliveryTag;
using queue::Message;
using std::chrono::milliseconds;

std::int64_t now_ms() { return system_clock().monotonic_us() / 1000; }

struct Shared {
  std::mutex mutex;
  LoadResult result;
  std::unordered_map<std::string, int> accepted;  // by key: the number of the last one, and so how many
  std::unordered_map<std::string, int> applied;
  std::unordered_set<std::string> ids;
  std::atomic<int> applied_count{0};
  std::atomic<bool> publishing{true};
  std::atomic<bool> faults{true};
  std::int64_t end_ms = 0;

  void problem(const std::string& what) {
    if (result.first_problem.empty()) result.first_problem = what;
  }
};

std::string key_of(const Message& message) { return message.id.substr(0, message.id.rfind('-')); }

std::vector<Message> batch_of(const LoadOptions& options, int publisher, int round) {
  std::vector<Message> batch;
  for (int key = 0; key < options.keys; ++key) {
    Message message;
    message.topic = options.topic;
    const std::string name = std::to_string(publisher) + "-" + std::to_string(key);
    if (options.keyed) message.key = name;
    message.id = name + "-" + std::to_string(round);
    message.payload = std::to_string(round) + " " + std::string(options.payload, 'x');
    batch.push_back(std::move(message));
  }
  return batch;
}

bool goes_on(const LoadOptions& options, int round, const Shared& shared) {
  const int rounds = options.messages / options.publishers / options.keys;
  return round <= rounds || (options.until_faults_end && shared.faults);
}

// Several batches under way.
void publish_ahead(queue::Bus& bus, const LoadOptions& options, int publisher, Shared& shared) {
  std::mutex mutex;
  std::condition_variable done;
  int open = 0;
  for (int round = 1; goes_on(options, round, shared) && now_ms() < shared.end_ms; ++round) {
    if (options.pace_ms > 0) last(options.pace_ms);
    std::vector<Message> batch = batch_of(options, publisher, round);
    std::unique_lock lock(mutex);
    done.wait(lock, [&] { return open < options.ahead; });
    ++open;
    lock.unlock();
    bus.publish(std::move(batch), [&, round](const std::vector<Result<queue::Receipt>>& answers) {
      {
        std::lock_guard shared_lock(shared.mutex);
        for (int key = 0; key < options.keys; ++key) {
          const auto& answer = answers[static_cast<std::size_t>(key)];
          if (answer.ok()) {
            shared.accepted[std::to_string(publisher) + "-" + std::to_string(key)] = round;
            ++shared.result.published;
          } else {
            ++shared.result.refused;
            shared.problem(answer.error().to_string());
          }
        }
      }
      std::lock_guard own(mutex);
      --open;
      done.notify_all();
    });
  }
  std::unique_lock lock(mutex);
  done.wait(lock, [&] { return open == 0; });
}

void publish_all(queue::Bus& bus, const LoadOptions& options, int publisher, Shared& shared) {
  for (int round = 1; goes_on(options, round, shared); ++round) {
    if (options.pace_ms > 0) last(options.pace_ms);
    std::vector<Message> batch = batch_of(options, publisher, round);
    while (!batch.empty() && now_ms() < shared.end_ms) {
      const auto answers = queue::publish_and_wait(bus, batch);
      std::vector<Message> again;
      std::lock_guard lock(shared.mutex);
      for (std::size_t i = 0; i < answers.size(); ++i) {
        if (answers[i].ok()) {
          shared.accepted[key_of(batch[i])] = round;
          ++shared.result.published;
        } else if (answers[i].error().retry() || answers[i].error().code() == Code::OutcomeUnknown) {
          ++shared.result.retried;
          again.push_back(batch[i]);
        } else {
          ++shared.result.refused;
          shared.problem(answers[i].error().to_string());
          again.push_back(batch[i]);
        }
      }
      batch = std::move(again);
    }
  }
}

void apply(const Delivery& delivery, bool keyed, Shared& shared) {
  std::lock_guard lock(shared.mutex);
  if (!shared.ids.insert(delivery.message.id).second) {
    ++shared.result.repeated;
    return;
  }
  const int number = std::atoi(delivery.message.payload.c_str());
  int& last = shared.applied[key_of(delivery.message)];
  if (keyed && number != last + 1) {
    ++shared.result.out_of_order;
    shared.problem("key " + delivery.message.key + ": " + std::to_string(number) + " after " +
                   std::to_string(last));
  }
  last = keyed ? number : last + 1;
  ++shared.result.applied;
  ++shared.applied_count;
}

void consume_all(queue::Bus& bus, const LoadOptions& options, Shared& shared) {
  std::unique_ptr<queue::Consumer> consumer;
  int silent = 0;
  while (now_ms() < shared.end_ms) {
    if (!consumer) {
      auto made = bus.subscribe({options.topic, "load", 1000, 30'000}, milliseconds(5'000));
      if (!made.ok()) continue;
      consumer = std::move(*made);
    }
    auto got = queue::take_and_wait(*consumer, 500, milliseconds(200));
    if (!got.ok()) continue;
    if (got->empty()) {
      std::lock_guard lock(shared.mutex);
      const bool all = !shared.publishing && shared.result.applied >= shared.result.published;
      // Some silence at the end, so that repetitions are seen too.
      if (all && ++silent >= 2) return;
      continue;
    }
    silent = 0;
    std::vector<DeliveryTag> tags;
    for (const Delivery& delivery : *got) {
      apply(delivery, options.keyed, shared);
      tags.push_back(delivery.tag);
    }
    // When it fails, the message comes again and is known by its id.
    (void)queue::ack_and_wait(*consumer, std::move(tags));
  }
}

}  // namespace

LoadResult run_load(queue::Bus& publisher, queue::Bus& consumer, const LoadOptions& options,
                    const Fault& fault) {
  Shared shared;
  const std::int64_t began_ms = now_ms();
  shared.end_ms = began_ms + options.patience_ms;
  std::thread reader([&] { consume_all(consumer, options, shared); });
  std::vector<std::thread> writers;
  for (int i = 0; i < options.publishers; ++i) {
    writers.emplace_back(
        [&, i] { (options.ahead > 1 ? publish_ahead : publish_all)(publisher, options, i, shared); });
  }
  fault([&] { return shared.applied_count.load(); });
  shared.faults = false;
  for (std::thread& writer : writers) writer.join();
  shared.publishing = false;
  reader.join();
  shared.result.took_ms = now_ms() - began_ms;
  for (const auto& [key, number] : shared.accepted) {
    const int applied = shared.applied[key];
    if (applied >= number) continue;
    shared.result.lost += number - applied;
    shared.problem("key " + key + ": " + std::to_string(number) + " were accepted, " +
                   std::to_string(applied) + " applied");
  }
  return shared.result;
}

void wait_for_applied(const std::function<int()>& applied, int count) {
  const std::int64_t end = now_ms() + 30'000;
  while (applied() < count && now_ms() < end) last(5);
}

void last(std::int64_t ms) {
  std::mutex mutex;
  std::condition_variable never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, milliseconds(ms), [] { return false; });
}

void make_queues_first(queue::Bus& bus, const std::string& topic) {
  const auto consumer = bus.subscribe({topic, "load", 1, 30'000, true}, milliseconds(30'000));
  ASSERT_TRUE(consumer.ok()) << consumer.error().to_string();
  last(3'000);
}

LoadOptions load(const std::string& topic) {
  LoadOptions out;
  out.topic = topic;
  if (const char* messages = std::getenv("EZ_LOAD_MESSAGES")) out.messages = std::atoi(messages);
  return out;
}

void expect_whole(const LoadResult& result, const LoadOptions& wanted) {
  const int messages = wanted.messages / wanted.publishers / wanted.keys * wanted.publishers * wanted.keys;
  EXPECT_EQ(result.published, messages) << result.first_problem;
  EXPECT_EQ(result.applied, messages) << result.first_problem;
  EXPECT_EQ(result.lost, 0) << result.first_problem;
  EXPECT_EQ(result.out_of_order, 0) << result.first_problem;
  EXPECT_EQ(result.refused, 0) << result.first_problem;
  std::printf("  %d messages in %lld ms, %llu published again, %llu delivered again\n", result.applied,
              static_cast<long long>(result.took_ms), static_cast<unsigned long long>(result.retried),
              static_cast<unsigned long long>(result.repeated));
}

}  // namespace ez::test
