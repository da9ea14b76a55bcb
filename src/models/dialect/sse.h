// Server-sent events as providers send them (WHATWG HTML, section 9.2.6), read incrementally. Bytes may be
// split anywhere. Not thread-safe; bounded by max_event_bytes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ez::models {

struct SseEvent {
  std::string_view event;  // "" when the stream named none
  std::string_view data;   // lines joined by '\n'
};

class SseReader {
 public:
  static constexpr std::size_t kMaxEventBytes = 8 * 1024 * 1024;
  explicit SseReader(std::size_t max_event_bytes = kMaxEventBytes) : max_event_bytes_(max_event_bytes) {}

  // Takes bytes from the front of `bytes` until an event is complete: true, and `event` is valid until the
  // next call. False: all bytes were taken and no event is complete. Errors: PROVIDER_ANSWER_INVALID (an
  // event beyond the limit); the reader is then finished.
  [[nodiscard]] Result<bool> next(std::string_view& bytes, SseEvent& event);

  // Whether the stream ended in the middle of an event.
  [[nodiscard]] bool partial() const { return !line_.empty() || (has_data_ && !delivered_); }

 private:
  [[nodiscard]] bool take_line(std::string_view line);  // true: the event is complete
  std::size_t max_event_bytes_;
  std::string line_, event_, data_;
  bool has_data_ = false, delivered_ = false, after_cr_ = false, at_start_ = true;
};

// Appends one event: "event: NAME\ndata: DATA\n\n"; without the first line when the name is empty. `data` has
// no line breaks (compact JSON has none).
void append_sse(std::string& out, std::string_view event, std::string_view data);

}  // namespace ez::models
