#include <algorithm>

#include "queue/redis/entry.h"
#include "queue/redis/nodes.h"
#include "queue/redis/sessions.h"

namespace ez::queue::redis {
namespace {

using broker::TopicQueue;

constexpr std::size_t kScanPage = 500;

// from, count → list of {lane, "0-SEQ", due (ms), {fields}} of delayed messages, by due time.
constexpr std::string_view kScanDelayedScript = R"lua(
local base, from, count = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local out = {}
local found = redis.call('ZRANGE', base .. 'delay', from, from + count - 1, 'WITHSCORES')
for i = 1, #found, 2 do
  local packed = redis.call('HGET', base .. 'delayed', found[i])
  if packed then
    local one = cmsgpack.unpack(packed)
    out[#out + 1] = {tonumber(one[1]), '0-' .. found[i], tonumber(found[i + 1]), {unpack(one, 2)}}
  end
end
return out
)lua";

// For each message its number and its id, which the publish script forgets: it may come back one day.
constexpr std::string_view kForgetDelayedScript = R"lua(
local base = KEYS[1]
for i = 1, #ARGV, 2 do
  redis.call('ZREM', base .. 'delay', ARGV[i])
  redis.call('HDEL', base .. 'delayed', ARGV[i])
  redis.call('SREM', base .. 'ids', ARGV[i + 1])
  redis.call('SREM', base .. 'ids-before', ARGV[i + 1])
end
return #ARGV / 2
)lua";

// queue, lane, bytes of payload, then for each message its place and its id.
constexpr std::string_view kForgetScript = R"lua(
local base, q = KEYS[1], ARGV[1]
local key = base .. q .. ':' .. ARGV[2]
for i = 4, #ARGV, 2 do
  redis.call('XACK', key, 'g', ARGV[i])
  redis.call('XDEL', key, ARGV[i])
  redis.call('SREM', base .. 'ids', ARGV[i + 1])
  redis.call('SREM', base .. 'ids-before', ARGV[i + 1])
end
redis.call('HINCRBY', base .. 'stats', 'bytes:' .. q, 0 - tonumber(ARGV[3]))
return (#ARGV - 3) / 2
)lua";

class RedisScan final : public broker::ScanSession {
 public:
  explicit RedisScan(const RedisOptions& options) : options_(options), nodes_(options_) {}
  Status look(const std::string& topic, const std::vector<TopicQueue>& queues, bool removing,
              const Inventory::Each& each) override;

 private:
  [[nodiscard]] Status look_delayed(const std::string& topic, bool removing, const Inventory::Each& each);
  [[nodiscard]] Status look_lane(const TopicQueue& queue, int lane, bool removing,
                                 const Inventory::Each& each);

  const RedisOptions options_;
  Nodes nodes_;
};

Lying lying_of(broker::Entry entry, std::int64_t due_ms) {
  Lying out;
  out.message = std::move(entry.message);
  out.published_ms = entry.published_ms;
  out.due_ms = due_ms;
  return out;
}

// Delayed ones first: what becomes due meanwhile is found in its lane.
Status RedisScan::look(const std::string& topic, const std::vector<TopicQueue>& queues, bool removing,
                       const Inventory::Each& each) {
  EZ_TRY(look_delayed(topic, removing, each));
  for (const TopicQueue& queue : queues) {
    for (int lane = 0; lane < broker::kLanes; ++lane) EZ_TRY(look_lane(queue, lane, removing, each));
  }
  return {};
}

Status RedisScan::look_delayed(const std::string& topic, bool removing, const Inventory::Each& each) {
  const std::string base = base_of(options_, topic);
  const std::string page = std::to_string(kScanPage);
  std::size_t from = 0;
  while (true) {
    const std::string first = std::to_string(from);
    EZ_ASSIGN(Reply reply, nodes_.ask(topic, {"EVAL", kScanDelayedScript, "1", base, first, page}));
    std::vector<std::string> gone;
    for (Reply& one : reply.list) {
      const std::int64_t due_ms = one.at(2).number;
      auto entry = read_entry(one, topic, 0);
      if (!entry) return Error(Code::QueueProtocol, "a delayed message cannot be read");
      const std::string number = std::to_string(entry->place.b);
      Lying shown = lying_of(std::move(*entry), std::max<std::int64_t>(1, due_ms));
      const std::string id = shown.message.id;
      EZ_ASSIGN(const bool remove, each(shown));
      if (!remove || !removing) continue;
      gone.push_back(number);
      gone.push_back(id);
    }
    if (!gone.empty()) {
      Words words{"EVAL", kForgetDelayedScript, "1", base};
      words.insert(words.end(), gone.begin(), gone.end());
      auto done = nodes_.ask(topic, words);
      if (!done.ok()) return done.error();
    }
    if (reply.list.size() < kScanPage) return {};
    from += reply.list.size() - gone.size() / 2;
  }
}

Status RedisScan::look_lane(const TopicQueue& queue, int lane, bool removing, const Inventory::Each& each) {
  const std::string base = base_of(options_, queue.topic);
  const std::string number = std::to_string(queue.queue);
  const std::string lane_text = std::to_string(lane);
  const std::string key = base + number + ":" + lane_text;
  const std::string page = std::to_string(kScanPage);
  std::string from = "-";
  while (true) {
    EZ_ASSIGN(Reply reply, nodes_.ask(queue.topic, {"XRANGE", key, from, "+", "COUNT", page}));
    std::vector<std::string> gone;
    std::size_t bytes = 0;
    for (Reply& one : reply.list) {
      const std::string place = one.at(0).text;
      from = "(" + place;
      auto entry = read_entry_of(lane, one, queue.topic, 0);
      if (!entry) return Error(Code::QueueProtocol, "an entry of a stream cannot be read");
      Lying shown = lying_of(std::move(*entry), 0);
      const std::size_t size = shown.message.payload.size();
      const std::string id = shown.message.id;
      EZ_ASSIGN(const bool remove, each(shown));
      if (!remove || !removing) continue;
      gone.push_back(place);
      gone.push_back(id);
      bytes += size;
    }
    if (!gone.empty()) {
      const std::string bytes_text = std::to_string(bytes);
      Words words{"EVAL", kForgetScript, "1", base, number, lane_text, bytes_text};
      words.insert(words.end(), gone.begin(), gone.end());
      auto done = nodes_.ask(queue.topic, words);
      if (!done.ok()) return done.error();
    }
    if (reply.list.size() < kScanPage) return {};
  }
}

}  // namespace

Result<std::unique_ptr<broker::ScanSession>> open_scan(const RedisOptions& options) {
  return std::unique_ptr<broker::ScanSession>(std::make_unique<RedisScan>(options));
}

}  // namespace ez::queue::redis
