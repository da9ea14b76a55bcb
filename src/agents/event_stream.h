// Server-sent events (WHATWG HTML, section 9.2.6), the reading side, bounded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ez::agents {

class EventStream {
 public:
  // False ends the feeding.
  using OnEvent = std::function<bool(const std::string& event, const std::string& data)>;
  EventStream(OnEvent on_event, std::size_t max_event_bytes)
      : on_event_(std::move(on_event)), max_event_bytes_(max_event_bytes) {}

  // Bytes in any pieces. False when the callback wants no more. PAYLOAD_TOO_LARGE.
  [[nodiscard]] Result<bool> feed(std::string_view bytes);
  // Of the last event that had one; at most kMaxIdBytes.
  [[nodiscard]] const std::string& last_id() const { return last_id_; }
  // What the server asked clients to wait before they come back; negative: it did not say.
  [[nodiscard]] std::int64_t retry_ms() const { return retry_ms_; }
  static constexpr std::size_t kMaxIdBytes = 1'000;

 private:
  [[nodiscard]] bool line(std::string_view text);

  const OnEvent on_event_;
  const std::size_t max_event_bytes_;
  std::string partial_;
  std::string event_;
  std::string data_;
  std::string last_id_;
  std::int64_t retry_ms_ = -1;
  bool has_data_ = false;
  bool after_cr_ = false;
};

}  // namespace ez::agents
