// LongPoll: ties a waiting call of the engine (engine::Waiting) to its deadline and to its client's
// connection. The three end in any order on any thread; whoever comes first wins. Internal to http/api/.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "http/api/context.h"

namespace ez::http::api {

class LongPoll : public std::enable_shared_from_this<LongPoll> {
 public:
  explicit LongPoll(Context& context) : context_(context) {}

  // For Responder::on_disconnect(): gives the call up. Holds this weakly, so that it keeps nothing alive.
  [[nodiscard]] std::function<void()> abandoner();

  // The call has begun; it expires after `wait`. When the timers are full it expires at once.
  void begin(std::shared_ptr<engine::Waiting> waiting, std::chrono::milliseconds wait);

  // Called by the call's answer. False when the client has gone: nobody is there to be answered.
  [[nodiscard]] bool answered();

 private:
  Context& context_;
  std::mutex mutex_;
  std::shared_ptr<engine::Waiting> waiting_;
  Timers::Id timer_ = 0;
  bool answered_ = false;
  bool gone_ = false;
};

// [{"run":"r1","task":"build","attempt":1,"fence":7,"reason":"…"}]
void append_cancelled(std::string& out, const std::vector<core::Lease>& leases);

}  // namespace ez::http::api
