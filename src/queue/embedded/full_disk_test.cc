// The embedded bus on a real file system that is full: a tmpfs of its own, which somebody else fills and
// empties while messages come and go. Needs the right to mount; skipped, with the reason, without it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "log/disk_posix.h"
#include "log/testing.h"
#include "queue/embedded/testing.h"

namespace ez::queue {
namespace {

using std::chrono::milliseconds;

constexpr std::int64_t kEndMs = 60'000;  // of a broken test

class SmallDisk {
 public:
  explicit SmallDisk(int megabytes) {
    const std::string size = "size=" + std::to_string(megabytes) + "m";
    if (::mount("tmpfs", path().c_str(), "tmpfs", 0, size.c_str()) == 0) {
      mounted_ = true;
    } else {
      why_not_ = std::strerror(errno);
    }
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(path().c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  [[nodiscard]] const std::string& path() const { return directory_.path(); }
  [[nodiscard]] const std::string& why_not() const { return why_not_; }

  // Somebody else's file: so many megabytes, or as much as there is room for.
  void fill(int megabytes) const {
    const int file = ::open((path() + "/other").c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
    ASSERT_GE(file, 0);
    const std::string piece(1 << 16, 'x');
    for (int i = 0; i < megabytes * 16; ++i) {
      if (::write(file, piece.data(), piece.size()) != static_cast<ssize_t>(piece.size())) break;
    }
    ::close(file);
  }
  void empty() const { ::unlink((path() + "/other").c_str()); }

 private:
  log::TemporaryDirectory directory_;
  bool mounted_ = false;
  std::string why_not_;
};

// Publishes numbers, and knows which of them were acknowledged.
class Flow {
 public:
  explicit Flow(EmbeddedBus& bus) : bus_(&bus) {}
  void use(EmbeddedBus& bus) { bus_ = &bus; }

  // One batch: the first error, or none.
  std::optional<Error> publish() {
    std::vector<Message> batch;
    std::vector<int> numbers;
    for (int i = 0; i < 20; ++i) {
      Message message;
      message.topic = "jobs";
      message.id = "n" + std::to_string(last_ + 1);
      message.payload = std::to_string(++last_) + std::string(4'000, ' ');
      numbers.push_back(last_);
      batch.push_back(std::move(message));
    }
    std::optional<Error> first;
    const auto answers = publish_and_wait(*bus_, std::move(batch));
    for (std::size_t i = 0; i < answers.size(); ++i) {
      if (answers[i].ok()) accepted_.insert(numbers[i]);
      if (!answers[i].ok() && !first) first = answers[i].error();
    }
    return first;
  }
  // Takes and acknowledges what there is; gives how many acknowledgements were refused, and why.
  std::pair<int, std::optional<Error>> consume(Consumer& consumer) {
    int refused = 0;
    std::optional<Error> why;
    const auto got = take_and_wait(consumer, 200, milliseconds(50));
    if (!got.ok()) return {0, got.error()};
    for (const Delivery& one : *got) seen_.insert(std::atoi(one.message.payload.c_str()));
    std::vector<DeliveryTag> tags;
    for (const Delivery& one : *got) tags.push_back(one.tag);
    if (tags.empty()) return {0, std::nullopt};
    const Status status = ack_and_wait(consumer, tags);
    if (!status.ok()) {
      refused = static_cast<int>(tags.size());
      why = status.error();
      (void)nack_and_wait(consumer, tags, milliseconds(0));
    }
    return {refused, why};
  }
  [[nodiscard]] std::set<int> missing() const {
    std::set<int> out;
    for (const int number : accepted_) {
      if (!seen_.contains(number)) out.insert(number);
    }
    return out;
  }
  [[nodiscard]] std::size_t accepted() const { return accepted_.size(); }

 private:
  EmbeddedBus* bus_;
  int last_ = 0;
  std::set<int> accepted_;
  std::set<int> seen_;
};

Result<std::unique_ptr<EmbeddedBus>> open_small(const std::string& directory) {
  log::LocalLogOptions options = EmbeddedBus::log_options();
  options.segment_bytes = 4ULL << 20;
  options.reserve_bytes = 8ULL << 20;
  EZ_ASSIGN(auto log, log::open_local_log(log::posix_disk(), directory, options));
  return EmbeddedBus::open(std::move(log));
}

std::int64_t small_now_ms() { return system_clock().monotonic_us() / 1000; }

TEST(EmbeddedQueueOnAFullDisk, RefusesClearlyLosesNothingAndGoesOnByItself) {
  const SmallDisk disk(64);
  if (!disk.why_not().empty()) GTEST_SKIP() << "a tmpfs cannot be mounted here: " << disk.why_not();
  const std::string directory = disk.path() + "/queue";
  disk.fill(16);
  auto opened = open_small(directory);
  ASSERT_TRUE(opened.ok()) << opened.error().to_string();
  std::unique_ptr<EmbeddedBus> bus = std::move(*opened);
  auto consumer = bus->subscribe({"jobs", "workers", 1000, 60'000}, milliseconds(5'000));
  ASSERT_TRUE(consumer.ok()) << consumer.error().to_string();
  Flow flow(*bus);

  // Full by what it keeps itself, and refusing.
  std::optional<Error> error;
  const std::int64_t end = small_now_ms() + kEndMs;
  while (!error && small_now_ms() < end) error = flow.publish();
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->code(), Code::LogDiskFull) << error->to_string();
  const std::size_t before = flow.accepted();
  EXPECT_GT(before, 1'000U);
  EXPECT_FALSE(bus->failure().has_value());
  const auto [refused, why] = flow.consume(**consumer);
  EXPECT_GT(refused, 0);
  if (why) {
    EXPECT_EQ(why->code(), Code::LogDiskFull) << why->to_string();
  }

  // Somebody else makes room: it goes on without a restart.
  disk.empty();
  while (error && small_now_ms() < end) error = flow.publish();
  EXPECT_FALSE(error.has_value()) << error->to_string();

  // Filled to the last byte while messages come and go.
  std::size_t rounds = 0;
  for (; !error && small_now_ms() < end; ++rounds) {
    if (rounds == 20) disk.fill(64);
    error = flow.publish();
    (void)flow.consume(**consumer);
  }
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->code(), Code::LogDiskFull) << error->to_string();
  EXPECT_FALSE(bus->failure().has_value()) << bus->failure()->to_string();

  // A restart on the full disk either serves what there is, or says what is wrong.
  consumer->reset();
  bus.reset();
  opened = open_small(directory);
  if (!opened.ok()) {
    EXPECT_EQ(opened.error().code(), Code::LogDiskFull) << opened.error().to_string();
  }
  if (opened.ok()) opened->reset();

  // With room again nothing that was acknowledged is missing.
  disk.empty();
  opened = open_small(directory);
  ASSERT_TRUE(opened.ok()) << opened.error().to_string();
  bus = std::move(*opened);
  flow.use(*bus);
  consumer = bus->subscribe({"jobs", "workers", 1000, 60'000}, milliseconds(5'000));
  ASSERT_TRUE(consumer.ok()) << consumer.error().to_string();
  EXPECT_FALSE(flow.publish().has_value());
  while (!flow.missing().empty() && small_now_ms() < end) (void)flow.consume(**consumer);
  EXPECT_TRUE(flow.missing().empty()) << flow.missing().size() << " of " << flow.accepted() << " were lost";
  consumer->reset();
  bus.reset();
}

}  // namespace
}  // namespace ez::queue
