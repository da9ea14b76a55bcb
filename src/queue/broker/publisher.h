// Publisher: the thread of a broker backend that sends what is published, in order, many messages at a time
// while earlier ones are on their way.
//
// Flow control: what is published and not answered has at most max_pending_bytes; more is refused with
// OVERLOADED. When the connection breaks, a backend that recognises ids sends again what was under way; the
// others answer OUTCOME_UNKNOWN, as it does when what it sends again is refused. What was not sent yet waits
// for a new connection until publish_timeout.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "queue/broker/control.h"
#include "queue/broker/driver.h"

namespace ez::queue::broker {

class Publisher {
 public:
  Publisher(Driver& driver, Control& control, const BrokerOptions& options);
  ~Publisher();  // answers what is outstanding with SHUTTING_DOWN
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  void publish(std::vector<Message> messages, PublishCallback done);

 private:
  struct Call {
    std::vector<std::optional<Result<Receipt>>> answers;
    std::size_t open = 0;
    PublishCallback done;
  };
  struct Pending {
    Message message;
    std::int64_t published_ms = 0;
    std::int64_t deadline_us = 0;
    std::shared_ptr<Call> call;
    std::size_t index = 0;
    bool sent = false;  // once before: a duplicate may be its own
  };
  using Batch = std::vector<Pending>;

  void loop();
  bool connect();  // false: not now
  bool send_next();
  void receive_next();
  void broken(const Error& error);
  void fail_waiting(const Error& error, bool all);
  Status make_topics(const Batch& batch);
  void answer(Pending& pending, Result<Receipt> result);
  void refuse(Pending& pending, const Error& error);
  static std::size_t weight(const Message& message);

  Driver& driver_;
  Control& control_;
  const BrokerOptions options_;
  const bool resend_;
  const std::string id_prefix_;

  // Of the thread.
  std::unique_ptr<PublishSession> session_;
  std::deque<Batch> sent_;
  std::set<std::string> topics_;  // whose queues are there; bounded, see make_topics()
  std::int64_t next_try_us_ = 0;
  std::int64_t pause_ms_ = 0;
  Error last_error_{Code::QueueUnreachable, "there is no connection yet"};

  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<Pending> waiting_;
  std::size_t pending_bytes_ = 0;
  std::uint64_t next_id_ = 0;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace ez::queue::broker
