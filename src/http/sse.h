// Server-sent events (WHATWG HTML, section 9.2), the writing side: id, event and data lines over a Stream.
//
// Flow control. What a client has not taken waits in the Stream's bounded buffer. A client that is too slow
// for it gets a last comment and the end of the stream; it comes back with Last-Event-ID and misses nothing.
// A comment every 15 s of silence (ServerOptions::heartbeat) keeps the connection alive.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "http/request.h"
#include "http/responder.h"

namespace ez::http {

struct SseEvent {
  std::string_view id;     // empty: no id line; no control characters
  std::string_view event;  // empty: "message"; no control characters
  std::string_view data;   // may have several lines
};

// Appends the wire form. Line ends inside data become several data lines; control characters in id and event
// are left out.
void append_sse(std::string& out, const SseEvent& event);

// Move-only; dropping it ends the stream. One thread at a time, like Stream.
class EventStream {
 public:
  EventStream() = default;
  // Answers with 200 text/event-stream.
  explicit EventStream(Responder responder, std::size_t buffer_bytes = 256 * 1024);

  // False when the client is gone or was dropped as too slow: there is nothing left to send to.
  [[nodiscard]] bool send(const SseEvent& event);
  // The same for a producer that can wait: when there is no room the stream stays open and false is returned;
  // on_drained() tells when to try again, open() whether the client is still there.
  [[nodiscard]] bool try_send(const SseEvent& event);
  void close();
  [[nodiscard]] bool open() const { return stream_.open(); }
  void on_closed(std::function<void()> callback) { stream_.on_closed(std::move(callback)); }
  void on_drained(std::function<void()> callback) { stream_.on_drained(std::move(callback)); }

 private:
  Stream stream_;
};

// Where the client wants to go on: the header Last-Event-ID, or the query parameter last_event_id (browsers
// cannot set the header on a first connection). nullopt when neither is there.
[[nodiscard]] std::optional<std::string> last_event_id(const Request& request);

}  // namespace ez::http
