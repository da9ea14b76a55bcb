#include <algorithm>
#include <deque>
#include <map>

#include "base/clock.h"
#include "base/random.h"
#include "queue/redis/entry.h"
#include "queue/redis/nodes.h"
#include "queue/redis/scripts.h"
#include "queue/redis/sessions.h"

namespace ez::queue::redis {
namespace {

using broker::Outgoing;

// One call of the script, one transaction: a server does nothing else meanwhile, so they must stay short.
constexpr std::size_t kScriptMessages = 250;
constexpr std::size_t kPlainMessages = 500;
constexpr std::size_t kChunkBytes = 1U << 20;
// Fewer messages are not worth a transaction.
constexpr std::size_t kOpenFrom = 16;
// After a refusal the topic's next chunks go through the script: what refused one will refuse them too.
constexpr int kRestChunks = 16;
constexpr std::size_t kRestingTopics = 1'000;

class RedisPublish final : public broker::PublishSession {
 public:
  explicit RedisPublish(const RedisOptions& options)
      : options_(options),
        nodes_(options_),
        again_(options_),
        window_(std::to_string(options.duplicate_ids)),
        limit_(std::to_string(options.max_messages)),
        replicas_(std::to_string(options.wait_replicas)),
        // An answer has to come before the connection is given up.
        replicas_wait_(std::to_string(options.broker.request_timeout_ms / 2)),
        token_(std::to_string(system_random().next())) {}

  [[nodiscard]] Status open() {
    auto first = nodes_.of("");
    return first.ok() ? Status{} : Status(first.error());
  }
  Status send(const std::vector<Outgoing>& batch) override;
  Result<std::vector<Result<Receipt>>> receive() override;
  std::size_t max_batches() const override { return 4; }

 private:
  struct Chunk {
    std::string topic;
    std::string base;
    bool plain = false;                // no keys, no delays: their order is nobody's promise
    bool open = false;                 // sent past Lua (scripts.h)
    std::int64_t turn = 0;             // its number when it is not plain
    std::vector<std::size_t> members;  // of the batch
    std::size_t bytes = 0;
    Connection* connection = nullptr;
  };
  struct Sent {
    std::vector<Outgoing> batch;
    std::int64_t now_ms = 0;  // wall
    std::deque<Chunk> chunks;
  };
  [[nodiscard]] static std::deque<Chunk> chunks_of(const RedisOptions& options,
                                                   const std::vector<Outgoing>& batch);
  [[nodiscard]] bool may_open(const Sent& sent, const Chunk& chunk);
  void append_open(const Sent& sent, const Chunk& chunk) const;
  // What the publish script would answer; nil: it has to be asked.
  [[nodiscard]] Result<Reply> receive_open(const Sent& sent, const Chunk& chunk);
  // Ids that were remembered for messages that were not written (a right was taken away in between).
  [[nodiscard]] Status forget(const Chunk& chunk, const std::vector<std::string_view>& ids);
  void words_of(const Sent& sent, const Chunk& chunk, std::vector<std::string>& numbers, Words& words) const;
  [[nodiscard]] Result<Reply> answer_of(const Sent& sent, const Chunk& chunk);
  // By the script, over a connection where no other reply is under way.
  [[nodiscard]] Result<Reply> ask_again(const Sent& sent, const Chunk& chunk);
  void append_wait(Connection& connection) const;
  [[nodiscard]] Status receive_wait(Connection& connection) const;

  const RedisOptions options_;
  Nodes nodes_;
  Nodes again_;
  const std::string window_;
  const std::string limit_;
  const std::string replicas_;
  const std::string replicas_wait_;
  const std::string token_;
  std::map<std::string, std::int64_t> turns_;  // topic → number of the last batch that has to keep its order
  std::deque<Sent> sent_;
  std::map<std::string, int> resting_;  // topic → for how many more chunks
};

void RedisPublish::words_of(const Sent& sent, const Chunk& chunk, std::vector<std::string>& numbers,
                            Words& words) const {
  numbers.reserve(chunk.members.size() * kNumbers + 1);
  numbers.push_back(std::to_string(chunk.turn));
  words = {"EVAL", kPublishScript, "1", chunk.base, window_, limit_, token_, numbers.back()};
  for (const std::size_t member : chunk.members) {
    const Message& message = *sent.batch[member].message;
    append_message(message, published_field(message, sent.batch[member].published_ms, sent.now_ms), numbers,
                   words);
  }
}

std::deque<RedisPublish::Chunk> RedisPublish::chunks_of(const RedisOptions& options,
                                                        const std::vector<Outgoing>& batch) {
  std::deque<Chunk> out;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const Message& message = *batch[i].message;
    const bool plain = message.key.empty() && message.delay_ms == 0;
    Chunk* chunk = nullptr;
    // The last chunk of the topic, so that messages of a topic keep their order.
    for (auto one = out.rbegin(); one != out.rend() && chunk == nullptr; ++one) {
      if (one->topic == message.topic && one->plain == plain) chunk = &*one;
    }
    const std::size_t most = plain ? kPlainMessages : kScriptMessages;
    const bool full = chunk != nullptr &&
                      (chunk->members.size() >= most || chunk->bytes + message.payload.size() > kChunkBytes);
    if (chunk == nullptr || full) {
      chunk = &out.emplace_back();
      chunk->topic = message.topic;
      chunk->base = base_of(options, message.topic);
      chunk->plain = plain;
    }
    chunk->members.push_back(i);
    chunk->bytes += message.payload.size();
  }
  return out;
}

bool RedisPublish::may_open(const Sent& sent, const Chunk& chunk) {
  if (!chunk.plain || chunk.members.size() < kOpenFrom || !chunk.connection->transactions()) return false;
  if (const auto rests = resting_.find(chunk.topic); rests != resting_.end()) {
    if (--rests->second == 0) resting_.erase(rests);
    return false;
  }
  std::vector<std::string_view> ids;
  ids.reserve(chunk.members.size());
  for (const std::size_t member : chunk.members) ids.push_back(sent.batch[member].message->id);
  std::sort(ids.begin(), ids.end());
  return std::adjacent_find(ids.begin(), ids.end()) == ids.end();
}

void RedisPublish::append_open(const Sent& sent, const Chunk& chunk) const {
  std::string lanes;
  for (const std::size_t member : chunk.members) {
    const std::string_view lane = lane_of(*sent.batch[member].message);
    if (lanes.find(lane) == std::string::npos) lanes += lane;
  }
  const std::string bytes = std::to_string(chunk.bytes);
  Words words{"EVAL", kOpenScript, "1", chunk.base, window_, limit_, bytes, lanes};
  for (const std::size_t member : chunk.members) words.push_back(sent.batch[member].message->id);
  chunk.connection->append({"MULTI"});
  chunk.connection->append(words);
  std::vector<std::string> numbers;
  numbers.reserve(kNumbers);
  for (const std::size_t member : chunk.members) {
    const Message& message = *sent.batch[member].message;
    const std::string stream = chunk.base + "open:" + std::string(lane_of(message));
    numbers.clear();
    words = {"XADD", stream, "NOMKSTREAM", "*"};
    append_fields(message, published_field(message, sent.batch[member].published_ms, sent.now_ms), numbers,
                  words);
    chunk.connection->append(words);
  }
  chunk.connection->append({"EVAL", kCloseScript, "1", chunk.base, lanes});
  chunk.connection->append({"EXEC"});
}

Result<Reply> RedisPublish::receive_open(const Sent& sent, const Chunk& chunk) {
  const std::size_t commands = chunk.members.size() + 2;
  EZ_ASSIGN(const Reply began, chunk.connection->receive());
  // Those that say QUEUED; a refusal among them is in EXEC's answer too.
  for (std::size_t i = 0; i < commands; ++i) {
    EZ_ASSIGN(const Reply ignored, chunk.connection->receive());
  }
  EZ_ASSIGN(const Reply done, chunk.connection->receive());
  // The right was taken away: a new connection knows.
  if (began.is_error()) {
    return Error(Code::QueueUnreachable,
                 chunk.connection->where() + ": no transactions any more: " + began.text);
  }
  Reply out;
  if (done.at(0).kind != Reply::Kind::kNumber || done.at(0).number != 1) {
    if (resting_.size() >= kRestingTopics) resting_.clear();
    resting_[chunk.topic] = kRestChunks;
    return out;
  }
  std::vector<std::string_view> missing;
  out.kind = Reply::Kind::kText;
  for (std::size_t i = 0; i < chunk.members.size(); ++i) {
    const Reply& written = done.at(i + 1);
    if (written.kind == Reply::Kind::kText) continue;
    missing.push_back(sent.batch[chunk.members[i]].message->id);
    out = written;
  }
  if (done.at(commands - 1).is_error()) out = done.at(commands - 1);
  if (!missing.empty()) EZ_TRY(forget(chunk, missing));
  if (out.kind == Reply::Kind::kText) out.text.assign(chunk.members.size(), '1');
  return out;
}

Status RedisPublish::forget(const Chunk& chunk, const std::vector<std::string_view>& ids) {
  EZ_ASSIGN(Connection* const by, again_.beside(nodes_, chunk.connection));
  for (const char* window : {"ids", "ids-before"}) {
    const std::string key = chunk.base + window;
    Words words{"SREM", key};
    words.insert(words.end(), ids.begin(), ids.end());
    auto done = by->ask(words);
    if (!done.ok()) return done.error();
  }
  return {};
}

void RedisPublish::append_wait(Connection& connection) const {
  if (options_.wait_replicas > 0) connection.append({"WAIT", replicas_, replicas_wait_});
}

Status RedisPublish::receive_wait(Connection& connection) const {
  if (options_.wait_replicas == 0) return {};
  EZ_ASSIGN(const Reply have, connection.receive());
  if (have.number >= options_.wait_replicas) return {};
  // It may be lost with the primary: not accepted yet. Sent again it is recognised, and waits again.
  return Error(Code::QueueUnreachable,
               connection.where() + ": only " + std::to_string(have.number) + " replicas have the messages");
}

Status RedisPublish::send(const std::vector<Outgoing>& batch) {
  sent_.push_back({batch, system_clock().now_ms(), chunks_of(options_, batch)});
  Sent& sent = sent_.back();
  for (Chunk& chunk : sent.chunks) {
    EZ_ASSIGN(chunk.connection, nodes_.of(chunk.topic));
    chunk.open = may_open(sent, chunk);
    if (!chunk.plain) chunk.turn = ++turns_[chunk.topic];
    if (chunk.open) {
      append_open(sent, chunk);
    } else {
      std::vector<std::string> numbers;
      Words words;
      words_of(sent, chunk, numbers, words);
      chunk.connection->append(words);
    }
    append_wait(*chunk.connection);
    EZ_TRY(chunk.connection->flush());
  }
  return {};
}

Result<Reply> RedisPublish::answer_of(const Sent& sent, const Chunk& chunk) {
  EZ_ASSIGN(Reply reply, chunk.open ? receive_open(sent, chunk) : chunk.connection->receive());
  const Status replicas = receive_wait(*chunk.connection);
  if (chunk.open && reply.kind == Reply::Kind::kNil) return ask_again(sent, chunk);
  EZ_TRY(replicas);
  return reply;
}

Result<Reply> RedisPublish::ask_again(const Sent& sent, const Chunk& chunk) {
  std::vector<std::string> numbers;
  Words words;
  words_of(sent, chunk, numbers, words);
  EZ_ASSIGN(Connection* const by, again_.beside(nodes_, chunk.connection));
  EZ_ASSIGN(Reply reply, by->call(words));
  if (reply.is_error()) return reply;
  append_wait(*by);
  EZ_TRY(by->flush());
  EZ_TRY(receive_wait(*by));
  return reply;
}

Result<std::vector<Result<Receipt>>> RedisPublish::receive() {
  const Sent sent = std::move(sent_.front());
  sent_.pop_front();
  std::vector<Result<Receipt>> out(sent.batch.size(), Result<Receipt>(Receipt{}));
  for (const Chunk& chunk : sent.chunks) {
    EZ_ASSIGN(const Reply reply, answer_of(sent, chunk));
    if (reply.is_error()) {
      Error error = answer_error(chunk.connection->where(), reply.text);
      if (reply.text.find("FULL ") != std::string::npos) {
        error = Error(Code::QueueFull, "the topic " + chunk.topic + " is full: " + reply.text);
      }
      // Another connection may be better: all of it again, in its order. Also when the slot has moved: what
      // is under way to the old server is refused there.
      if (error.code() == Code::QueueUnreachable) return error;
      for (const std::size_t member : chunk.members) out[member] = error;
      continue;
    }
    if (reply.text.size() != chunk.members.size()) {
      return Error(Code::QueueProtocol, "the publish script answered something else");
    }
    for (std::size_t i = 0; i < chunk.members.size(); ++i) {
      const std::size_t member = chunk.members[i];
      out[member] = Receipt{sent.batch[member].message->id, reply.text[i] == '0'};
    }
  }
  return out;
}

}  // namespace

std::string base_of(const RedisOptions& options, const std::string& topic) {
  return options.broker.prefix + ":{" + topic + "}:";
}

Result<std::unique_ptr<broker::PublishSession>> open_publish(const RedisOptions& options) {
  auto session = std::make_unique<RedisPublish>(options);
  EZ_TRY(session->open());
  return std::unique_ptr<broker::PublishSession>(std::move(session));
}

}  // namespace ez::queue::redis
