#include <deque>

#include "queue/redis/entry.h"
#include "queue/redis/nodes.h"
#include "queue/redis/scripts.h"
#include "queue/redis/sessions.h"

namespace ez::queue::redis {
namespace {

using broker::Outgoing;

// One call of the script: a server does nothing else meanwhile, so it must stay short.
constexpr std::size_t kChunkMessages = 250;
constexpr std::size_t kChunkBytes = 1U << 20;

class RedisPublish final : public broker::PublishSession {
 public:
  explicit RedisPublish(const RedisOptions& options)
      : options_(options),
        nodes_(options_),
        window_(std::to_string(options.duplicate_ids)),
        limit_(std::to_string(options.max_messages)),
        replicas_(std::to_string(options.wait_replicas)),
        // An answer has to come before the connection is given up.
        replicas_wait_(std::to_string(options.broker.request_timeout_ms / 2)) {}

  [[nodiscard]] Status open() {
    auto first = nodes_.of("");
    return first.ok() ? Status{} : Status(first.error());
  }
  Status send(const std::vector<Outgoing>& batch) override;
  Result<std::vector<Result<Receipt>>> receive() override;

 private:
  struct Chunk {
    std::string topic;
    std::string base;
    std::vector<std::size_t> members;  // of the batch
    std::size_t bytes = 0;
    Connection* connection = nullptr;
  };
  struct Sent {
    std::vector<Outgoing> batch;
    std::deque<Chunk> chunks;
  };
  void words_of(const Sent& sent, const Chunk& chunk, std::vector<std::string>& numbers, Words& words) const;
  [[nodiscard]] Result<Reply> answer_of(const Sent& sent, const Chunk& chunk);

  const RedisOptions options_;
  Nodes nodes_;
  const std::string window_;
  const std::string limit_;
  const std::string replicas_;
  const std::string replicas_wait_;
  std::deque<Sent> sent_;
};

void RedisPublish::words_of(const Sent& sent, const Chunk& chunk, std::vector<std::string>& numbers,
                            Words& words) const {
  numbers.reserve(chunk.members.size() * (8 + kMaxHeaders));
  words = {"EVAL", kPublishScript, "1", chunk.base, window_, limit_};
  for (const std::size_t member : chunk.members) {
    append_message(*sent.batch[member].message, sent.batch[member].published_ms, numbers, words);
  }
}

Status RedisPublish::send(const std::vector<Outgoing>& batch) {
  sent_.push_back({batch, {}});
  Sent& sent = sent_.back();
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const Message& message = *batch[i].message;
    Chunk* chunk = nullptr;
    // The last chunk of the topic, so that messages of a topic keep their order.
    for (auto one = sent.chunks.rbegin(); one != sent.chunks.rend() && chunk == nullptr; ++one) {
      if (one->topic == message.topic) chunk = &*one;
    }
    const bool full = chunk != nullptr && (chunk->members.size() >= kChunkMessages ||
                                           chunk->bytes + message.payload.size() > kChunkBytes);
    if (chunk == nullptr || full) {
      sent.chunks.push_back({message.topic, base_of(options_, message.topic), {}, 0, nullptr});
      chunk = &sent.chunks.back();
    }
    chunk->members.push_back(i);
    chunk->bytes += message.payload.size();
  }
  for (Chunk& chunk : sent.chunks) {
    EZ_ASSIGN(chunk.connection, nodes_.of(chunk.topic));
    std::vector<std::string> numbers;
    Words words;
    words_of(sent, chunk, numbers, words);
    chunk.connection->append(words);
    if (options_.wait_replicas > 0) chunk.connection->append({"WAIT", replicas_, replicas_wait_});
    EZ_TRY(chunk.connection->flush());
  }
  return {};
}

Result<Reply> RedisPublish::answer_of(const Sent& sent, const Chunk& chunk) {
  EZ_ASSIGN(Reply reply, chunk.connection->receive());
  if (options_.wait_replicas > 0) {
    EZ_ASSIGN(const Reply have, chunk.connection->receive());
    // It may be lost with the primary: not accepted yet. Sent again it is recognised, and waits again.
    if (have.number < options_.wait_replicas) {
      return Error(Code::QueueUnreachable, chunk.connection->where() + ": only " +
                                               std::to_string(have.number) + " replicas have the messages");
    }
  }
  if (!reply.is_error()) return reply;
  std::vector<std::string> numbers;
  Words words;
  words_of(sent, chunk, numbers, words);
  return nodes_.redirect(chunk.topic, std::move(reply), words);
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
      // Another connection may be better: all of it again.
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
