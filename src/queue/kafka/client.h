// Client: one librdkafka handle, and what the sessions ask of it. librdkafka's header stays in .cc files.
//
// librdkafka connects and comes back by itself; a Client fails for good (check()) only when that cannot help:
// credentials, certificates, another protocol, or librdkafka itself has given up.
//
// Threads: one at a time (librdkafka's own threads call back only inside calls of this class). Errors:
// QUEUE_REFUSED, QUEUE_TLS_FAILED, QUEUE_PROTOCOL, PAYLOAD_TOO_LARGE, QUEUE_UNREACHABLE.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "queue/kafka/kafka_bus.h"

struct rd_kafka_s;
struct rd_kafka_op_s;
struct rd_kafka_headers_s;
struct rd_kafka_message_s;
struct rd_kafka_queue_s;
struct rd_kafka_topic_partition_list_s;

namespace ez::queue::kafka {

struct FreePartitions {
  void operator()(rd_kafka_topic_partition_list_s* list) const;
};
struct FreeQueue {
  void operator()(rd_kafka_queue_s* queue) const;
};
struct FreeEvent {
  void operator()(rd_kafka_op_s* event) const;
};
struct FreeMessage {
  void operator()(rd_kafka_message_s* message) const;
};
using Partitions = std::unique_ptr<rd_kafka_topic_partition_list_s, FreePartitions>;
using Queue = std::unique_ptr<rd_kafka_queue_s, FreeQueue>;
using Event = std::unique_ptr<rd_kafka_op_s, FreeEvent>;
using Fetched = std::unique_ptr<rd_kafka_message_s, FreeMessage>;

// `code` is an rd_kafka_resp_err_t.
[[nodiscard]] Error to_error(int code, const std::string& what, std::string_view detail = {});
// A topic or partition is not there (any more).
[[nodiscard]] bool is_missing(int code);
// What a rebalance or a change of coordinator brings: again.
[[nodiscard]] bool is_passing(int code);

// Told of what happens, inside calls of the client.
class Told {
 public:
  virtual ~Told() = default;
  // Of a consumer: before fetching begins (the offsets may be changed), and before it ends.
  virtual void assigned(rd_kafka_topic_partition_list_s*) {}
  virtual void revoked(rd_kafka_topic_partition_list_s*) {}
  // Of a producer: what became of a record.
  virtual void delivered(const rd_kafka_message_s&) {}
};

struct TopicSettings {
  std::string name;
  int partitions = 1;
  std::int64_t retention_ms = -1;
};

class Client {
 public:
  enum class Kind : std::uint8_t { kProducer, kConsumer };
  using Settings = std::vector<std::pair<std::string, std::string>>;
  // Does not connect. `told` outlives it; a consumer that has one ends by leaving its group, which may take a
  // second when it has only begun to join.
  [[nodiscard]] static Result<std::unique_ptr<Client>> open(const KafkaOptions& options, Kind kind,
                                                            const Settings& more, Told* told = nullptr);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  [[nodiscard]] rd_kafka_s* get() const;
  [[nodiscard]] Status check();
  void serve(int wait_ms);  // what there is to tell, at the latest after that time
  // Until a broker answers, for at most the connect timeout.
  [[nodiscard]] Status connect();
  [[nodiscard]] int patience_ms() const;  // of one request
  [[nodiscard]] const KafkaOptions& options() const;

  // How many partitions a topic has; 0: it does not exist.
  [[nodiscard]] Result<int> partitions(const std::string& topic);
  // Gives whether it is new. Others may make it at the same time. This client knows it when it returns.
  [[nodiscard]] Result<bool> make_topic(const TopicSettings& settings);
  // Of a consumer: the topics that it reads from now on; each is known to this client (make_topic()). While
  // it is joining its group for the first time, another list waits until it has.
  [[nodiscard]] Status subscribe(const std::vector<std::string>& topics);
  // The topics that are not there yet.
  [[nodiscard]] Status make_topics(const std::vector<TopicSettings>& all);
  // The ends (or beginnings) of all partitions.
  [[nodiscard]] Result<std::vector<std::int64_t>> ends(const std::string& topic, int count);
  [[nodiscard]] Result<std::vector<std::int64_t>> begins(const std::string& topic, int count);
  [[nodiscard]] Status delete_records(const std::string& topic, const std::vector<std::int64_t>& before);

  struct Committed {
    std::int64_t offset = -1;  // -1: nothing was committed
    std::string text;
  };
  // Of the client's own group, without being a member of it. (librdkafka 2.0 can also ask for any group;
  // where the coordinator is not there yet, that ends the process.)
  [[nodiscard]] Result<std::vector<Committed>> committed(const std::string& topic, int count);
  // Nothing when somebody reads the group already: it has begun.
  [[nodiscard]] Status commit(const std::string& topic, const std::vector<std::int64_t>& offsets);

 private:
  struct Impl;
  explicit Client(std::unique_ptr<Impl> impl);
  [[nodiscard]] Status see_topic(const std::string& name);
  // Gives what the broker answered, as librdkafka's number.
  [[nodiscard]] Result<int> ask_to_delete(const std::string& topic, const std::vector<std::int64_t>& before);
  [[nodiscard]] Result<Event> answer(rd_kafka_queue_s* queue, int type, const char* what);
  [[nodiscard]] Result<std::vector<std::int64_t>> offsets(const std::string& topic, int count,
                                                          std::int64_t which);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ez::queue::kafka
