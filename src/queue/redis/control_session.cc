#include <algorithm>
#include <set>

#include "base/clock.h"
#include "queue/redis/entry.h"
#include "queue/redis/nodes.h"
#include "queue/redis/scripts.h"
#include "queue/redis/sessions.h"

namespace ez::queue::redis {
namespace {

using broker::GroupName;
using broker::QueueCounts;
using broker::TopicQueue;

constexpr std::size_t kRegistryPage = 1000;
constexpr std::size_t kPurgePage = 1000;
constexpr std::string_view kRegistryTag = "registry";

class RedisControl final : public broker::ControlSession {
 public:
  explicit RedisControl(const RedisOptions& options)
      : options_(options),
        nodes_(options_),
        registry_(options.broker.prefix + ":{registry}:log"),
        alive_(options.broker.prefix + ":{registry}:alive:"),
        health_(options.broker.prefix + ":{registry}:health") {}

  [[nodiscard]] Status open() {
    auto first = nodes_.of(kRegistryTag);
    return first.ok() ? Status{} : Status(first.error());
  }
  Result<std::vector<std::string>> read_registry() override;
  Status append_registry(const std::string& event) override;
  Status make_queue(const TopicQueue& queue, const std::optional<GroupName>& reader) override;
  Status drop_queue(const TopicQueue& queue, const GroupName& reader) override;
  Result<std::vector<broker::Entry>> peek(const TopicQueue& queue, std::size_t max) override;
  Result<std::uint64_t> purge(const std::string& topic, const std::vector<TopicQueue>& queues) override;
  Result<std::vector<QueueCounts>> counts(const std::string& topic,
                                          const std::vector<TopicQueue>& queues) override;
  Status round_trip() override;
  Result<std::vector<GroupName>> keep_alive(const std::vector<GroupName>& mine,
                                            const std::vector<GroupName>& known) override;

 private:
  [[nodiscard]] Result<Reply> run(std::string_view script, const TopicQueue& queue,
                                  std::string_view more = {}) {
    const std::string base = base_of(options_, queue.topic);
    const std::string number = std::to_string(queue.queue);
    Words words{"EVAL", script, "1", base, number};
    if (!more.empty()) words.push_back(more);
    return nodes_.ask(queue.topic, words);
  }
  [[nodiscard]] std::string alive_key(const GroupName& group) const {
    return alive_ + group.pattern + "\x1f" + group.group;
  }

  const RedisOptions options_;
  Nodes nodes_;
  const std::string registry_;
  const std::string alive_;
  const std::string health_;
  std::string last_ = "-";
};

Result<std::vector<std::string>> RedisControl::read_registry() {
  std::vector<std::string> out;
  const std::string page = std::to_string(kRegistryPage);
  while (true) {
    EZ_ASSIGN(Reply reply, nodes_.ask(kRegistryTag, {"XRANGE", registry_, last_, "+", "COUNT", page}));
    for (Reply& one : reply.list) {
      if (one.list.size() != 2 || one.list[1].list.size() != 2) continue;
      last_ = "(" + one.list[0].text;
      out.push_back(std::move(one.list[1].list[1].text));
    }
    if (reply.list.size() < kRegistryPage) return out;
  }
}

Status RedisControl::append_registry(const std::string& event) {
  auto reply = nodes_.ask(kRegistryTag, {"XADD", registry_, "*", "event", event});
  return reply.ok() ? Status{} : Status(reply.error());
}

Status RedisControl::make_queue(const TopicQueue& queue, const std::optional<GroupName>&) {
  auto reply = run(kMakeScript, queue);
  return reply.ok() ? Status{} : Status(reply.error());
}

Status RedisControl::drop_queue(const TopicQueue& queue, const GroupName&) {
  auto reply = run(kDropScript, queue);
  return reply.ok() ? Status{} : Status(reply.error());
}

Result<std::vector<broker::Entry>> RedisControl::peek(const TopicQueue& queue, std::size_t max) {
  std::vector<broker::Entry> out;
  if (max == 0) return out;
  EZ_ASSIGN(Reply reply, run(kPeekScript, queue, std::to_string(max)));
  for (Reply& one : reply.list) {
    auto entry = read_entry(one, queue.topic, 0);
    if (entry) out.push_back(std::move(*entry));
  }
  return out;
}

Result<std::uint64_t> RedisControl::purge(const std::string& topic, const std::vector<TopicQueue>& queues) {
  std::uint64_t most = 0;
  const std::string page = std::to_string(kPurgePage);
  for (const TopicQueue& queue : queues) {
    std::uint64_t count = 0;
    while (true) {
      EZ_ASSIGN(const Reply reply, run(kPurgeScript, queue, page));
      if (reply.number == 0) break;
      count += static_cast<std::uint64_t>(reply.number);
    }
    most = std::max(most, count);
  }
  EZ_ASSIGN(const Reply delayed, run(kPurgeDelayedScript, {topic, 0}));
  return most + static_cast<std::uint64_t>(delayed.number);
}

Result<std::vector<QueueCounts>> RedisControl::counts(const std::string&,
                                                      const std::vector<TopicQueue>& queues) {
  std::vector<QueueCounts> out;
  for (const TopicQueue& queue : queues) {
    EZ_ASSIGN(const Reply reply, run(kCountScript, queue));
    const auto number = [&](std::size_t index) {
      return static_cast<std::uint64_t>(std::max<std::int64_t>(0, reply.at(index).number));
    };
    out.push_back({number(0), number(1), number(2), number(3), number(4)});
  }
  return out;
}

Status RedisControl::round_trip() {
  const std::string stamp = std::to_string(system_clock().monotonic_us());
  auto written = nodes_.ask(kRegistryTag, {"SET", health_, stamp, "PX", "60000"});
  if (!written.ok()) return written.error();
  auto read = nodes_.ask(kRegistryTag, {"GET", health_});
  if (!read.ok()) return read.error();
  // Another handle may have written meanwhile; that it can be read is what counts.
  if (read->text.empty()) return Error(Code::QueueUnreachable, "Redis lost what it had just taken");
  return {};
}

Result<std::vector<GroupName>> RedisControl::keep_alive(const std::vector<GroupName>& mine,
                                                        const std::vector<GroupName>& known) {
  for (const GroupName& group : mine) {
    auto reply = nodes_.ask(kRegistryTag, {"SET", alive_key(group), "1", "EX", "30"});
    if (!reply.ok()) return reply.error();
  }
  std::vector<GroupName> gone;
  for (const GroupName& group : known) {
    EZ_ASSIGN(const Reply reply, nodes_.ask(kRegistryTag, {"EXISTS", alive_key(group)}));
    if (reply.number == 0) gone.push_back(group);
  }
  return gone;
}

}  // namespace

Result<std::unique_ptr<broker::ControlSession>> open_control(const RedisOptions& options) {
  auto session = std::make_unique<RedisControl>(options);
  EZ_TRY(session->open());
  return std::unique_ptr<broker::ControlSession>(std::move(session));
}

}  // namespace ez::queue::redis
