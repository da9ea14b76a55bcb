// Exchange: the meeting point of one request's Responder or Stream (any thread) and its connection (the
// loop's thread). Internal to http/. It outlives whichever side goes first.
//
// Flow: the answering side leaves what it has under the mutex and posts the exchange to the loop, at most
// once until the loop has looked. While the handler itself runs on the loop (begin_dispatch to end_dispatch)
// nothing is posted.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "http/event_loop.h"
#include "http/responder.h"

namespace ez::http {

struct Answer {
  int status = 0;
  std::string content_type;
  std::string headers;  // complete lines
  std::string body;
  std::function<std::string()> render;  // makes the body, on the loop's thread
  Source source;                        // instead of body
  std::optional<std::uint64_t> length;  // of source
  bool stream = false;
  StreamOptions stream_options;
};

// What a connection does when its exchange has news. Loop thread.
class ExchangeOwner {
 public:
  virtual ~ExchangeOwner() = default;
  virtual void exchange_ready() = 0;
};

class Exchange final : public LoopTask, public std::enable_shared_from_this<Exchange> {
 public:
  Exchange(std::shared_ptr<EventLoop> loop, ExchangeOwner* owner, std::string request_id)
      : id(std::move(request_id)), loop_(std::move(loop)), owner_(owner) {}

  const std::string id;  // of the request

  // The answering side; any thread.
  bool complete(Answer answer);  // false when the client is known to be gone
  bool send(std::string_view chunk, std::size_t beyond_limit);
  void close_stream();
  [[nodiscard]] bool stream_open() const;
  void on_gone(std::function<void()> callback);
  void on_drained(std::function<void()> callback);

  // The connection's side; loop thread.
  void begin_dispatch();
  void end_dispatch();
  [[nodiscard]] std::optional<Answer> take_answer();
  struct Chunks {
    std::string bytes;
    bool last = false;  // the stream is closed and these are its last bytes
  };
  [[nodiscard]] Chunks take_chunks();
  // Everything that was taken has left: runs the on_drained callback when a send() was refused since the last
  // time.
  void drained();
  // The connection is through with it: no callback will be called.
  void finish();
  // The client is gone; runs the callback.
  void gone();
  [[nodiscard]] bool waits_with_callback()
      const;  // no answer yet, and somebody wants to know when the client goes
  void run_on_loop() override;

 private:
  void release_locked(std::size_t bytes);
  void post_locked(std::unique_lock<std::mutex>& lock);

  const std::shared_ptr<EventLoop> loop_;
  ExchangeOwner* owner_;  // loop thread; null when the connection is through
  mutable std::mutex mutex_;
  // Guarded by mutex_:
  std::optional<Answer> answer_;
  std::string chunks_;
  std::function<void()> on_gone_, on_drained_;
  std::size_t buffer_limit_ = 0;
  std::size_t reserved_ =
      0;  // of the loop's stream bytes: what is in chunks_, and what was taken and has not left
  bool dispatching_ = false, posted_ = false, answered_ = false, gone_ = false, closed_ = false,
       refused_ = false, streaming_ = false;
};

}  // namespace ez::http
