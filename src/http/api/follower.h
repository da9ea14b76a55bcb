// Follower: an event stream whose next events are made where they may take time, on the render thread,
// whenever there is something new, room with the client, or an end. Internal to http/api/.
//
// The connection's callback keeps the follower alive; it goes when the client leaves or the stream is closed.
// Whoever else wakes it holds it weakly.
//
// Flow control. One event at a time is made; what the client has not taken stays where it comes from (the
// log's file, the run, a bounded list), not in memory here.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "http/api/context.h"
#include "http/sse.h"

namespace ez::http::api {

class Follower : public std::enable_shared_from_this<Follower> {
 public:
  static constexpr std::size_t kBufferBytes = 1024 * 1024;

  explicit Follower(Context& context);
  virtual ~Follower();
  Follower(const Follower&) = delete;
  Follower& operator=(const Follower&) = delete;

  // Answers with the stream. Once.
  void open(Responder responder);
  // There may be something to send. Any thread.
  void wake();

 protected:
  struct Event {
    std::string id;
    std::string_view name;
    std::string data;
    bool last = false;  // the stream is closed after it
  };
  // The next event, or nothing for now: wake() comes when there is. Render thread, one call at a time.
  virtual std::optional<Event> next() = 0;
  // The stream is over, one way or the other: subscriptions end. Render thread.
  virtual void ended() = 0;
  // Ends the stream without a last event; the client comes back.
  void give_up() { gone_.store(true); }

  Context& context_;

 private:
  void run();
  void wake_after(std::chrono::milliseconds duration);
  bool send_all();  // false: the stream is over

  EventStream stream_;
  std::optional<Event> held_;  // made, but the client had no room
  std::atomic<bool> gone_{false};
  bool over_ = false;  // render thread
  std::mutex mutex_;
  bool opened_ = false;     // guarded by mutex_
  bool scheduled_ = false;  // guarded by mutex_
  bool again_ = false;      // guarded by mutex_
};

}  // namespace ez::http::api
