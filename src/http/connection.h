// Connection: one client's TCP connection. Internal to http/; lives on its shard's loop thread.
//
//   receiving ─ whole request ─▶ handling ─ answer ─▶ sending ─┬─▶ receiving (keep-alive)
//       │                           │                          └─▶ lingering ─▶ closed
//       └─ refused by its head ─────┴─ source, stream ─▶ sending from there
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "http/deadline_queue.h"
#include "http/event_loop.h"
#include "http/exchange.h"
#include "http/incoming.h"

namespace ez::http {

class Shard;

enum class Deadline : std::uint8_t { kIdle, kHead, kBody, kWrite, kLinger, kHeartbeat };
inline constexpr std::size_t kDeadlineCount = 6;

class Connection final : public Watcher, public ExchangeOwner, public DeadlineLink {
 public:
  Connection(Shard& shard, int fd) : shard_(shard), fd_(fd) {}
  ~Connection() override;

  void begin();                     // after it was registered with the loop
  void refuse(const Error& error);  // answers once and closes
  void ready(std::uint32_t events) override;
  void exchange_ready() override;
  void timed_out(Deadline deadline);
  // The server stops: closes what is idle, ends streams, answers long-polls; the rest goes on.
  void drain();
  // The grace is over: answers what still waits and closes.
  void cut();
  void close();

  std::size_t slot = 0;       // in the shard's list
  bool beyond_limit = false;  // one that is only told SERVER_BUSY

 private:
  enum class Phase : std::uint8_t {
    kReceiving,
    kHandling,
    kSending,
    kSourcing,
    kStreaming,
    kLingering,
    kClosed
  };

  void read_ready();
  void consume_pending();
  std::size_t consume(std::string_view bytes);
  bool receive(std::string_view bytes, std::size_t& used);
  void head_complete();
  void dispatch();
  void answer_problem(const Error& error, std::string headers, bool keep_alive, std::string id,
                      RefusalForm form = nullptr);
  void write_answer(Answer answer);
  void write_head(std::string& out, const Answer& answer, std::uint64_t body_bytes, bool chunked) const;
  void pump_source();
  void pump_stream();
  void end_stream();
  void frame(std::string& out, std::string_view piece) const;
  void transmit(std::string_view first, std::string_view second);
  void flush();
  void written();
  void answer_done();
  void linger();
  void peer_left();
  void want(std::uint32_t events);

  Shard& shard_;
  const int fd_;
  Phase phase_ = Phase::kReceiving;
  bool keep_alive_ = true, head_only_ = false, http11_ = true, chunked_ = false, sized_ = false,
       last_piece_ = false;
  bool consuming_ = false, peer_closed_ = false;
  std::uint32_t events_ = 0;  // what epoll watches for
  std::uint32_t progress_bytes_ = 0;
  std::uint64_t source_left_ = 0;
  std::int64_t received_us_ = 0;
  std::string pending_;  // received, not yet used
  std::string out_;      // answered, not yet taken by the kernel, from out_at_ on
  std::size_t out_at_ = 0;
  std::unique_ptr<Incoming> incoming_;
  std::shared_ptr<Exchange> exchange_;
  Source source_;
  std::string heartbeat_;
  Method method_ = Method::kOther;
  std::string_view route_;
};

}  // namespace ez::http
