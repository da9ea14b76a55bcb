// Server-sent events, the reading side: the parser (WHATWG HTML, section 9.2.6), and a call that follows a
// stream and comes back after every interruption with the last id that it has seen.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/client.h"

namespace ez::http {

struct ReceivedEvent {
  std::string id;  // the last id that was seen, as the standard wants it
  std::string event = "message";
  std::string data;
};

// Feed it bytes in any pieces. Not thread-safe.
class SseParser {
 public:
  // False from the callback ends the feeding.
  using OnEvent = std::function<bool(const ReceivedEvent&)>;
  explicit SseParser(OnEvent on_event, std::size_t max_event_bytes = 1024 * 1024)
      : on_event_(std::move(on_event)), max_event_bytes_(max_event_bytes) {}

  // False when the callback wants no more. Errors: PAYLOAD_TOO_LARGE (an event beyond the limit).
  [[nodiscard]] Result<bool> feed(std::string_view bytes);
  // A new connection begins: an unfinished event is forgotten, the last id stays.
  void restart();
  [[nodiscard]] const std::string& last_id() const { return last_id_; }
  void set_last_id(std::string id) { last_id_ = std::move(id); }
  // What the server asked clients to wait before they come back.
  [[nodiscard]] std::optional<std::chrono::milliseconds> retry() const { return retry_; }

 private:
  bool line(std::string_view text);  // false when the callback wants no more
  const OnEvent on_event_;
  const std::size_t max_event_bytes_;
  std::string partial_;  // of a line
  std::string data_, event_, last_id_;
  bool has_data_ = false, after_cr_ = false, at_start_ = true;
  std::optional<std::chrono::milliseconds> retry_;
};

struct FollowOptions {
  std::string last_event_id;  // where to begin; empty: from the server's beginning
  std::chrono::milliseconds idle_timeout{
      45'000};  // three missed heartbeats of the server: the connection is dead
  std::chrono::milliseconds reconnect_wait{500};  // unless the server names another; at most 30 s
  int max_failures = 5;                           // in a row without any event in between
  const Cancellation* cancellation = nullptr;
};

// Calls `on_event` for each event of `target` until it returns false (then the result is good). Comes back
// after a break or an end of the stream. Errors: what the last attempt met, when max_failures failed in a row
// or a retry does not help; CALL_CANCELLED. 204 No Content ends it well: the server says that there is
// nothing more.
[[nodiscard]] Status follow_events(Client& client, const std::string& target, const FollowOptions& options,
                                   const SseParser::OnEvent& on_event);

}  // namespace ez::http
