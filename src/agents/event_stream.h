// Server-sent events (WHATWG HTML, section 9.2.6), the reading side, bounded. Ids and retry times are read
// over: what speaks to this room does not come back to a stream.
#pragma once

#include <cstddef>
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

 private:
  [[nodiscard]] bool line(std::string_view text);

  const OnEvent on_event_;
  const std::size_t max_event_bytes_;
  std::string partial_;
  std::string event_;
  std::string data_;
  bool has_data_ = false;
  bool after_cr_ = false;
};

}  // namespace ez::agents
