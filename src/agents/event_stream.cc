#include "agents/event_stream.h"

#include <algorithm>

namespace ez::agents {

Result<bool> EventStream::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    if (after_cr_) {
      after_cr_ = false;
      if (bytes[0] == '\n') {
        bytes.remove_prefix(1);
        continue;
      }
    }
    const std::size_t end = std::min(bytes.find_first_of("\r\n"), bytes.size());
    partial_.append(bytes.substr(0, end));
    if (partial_.size() + data_.size() > max_event_bytes_) {
      return Error(Code::PayloadTooLarge,
                   "an event of the stream has more than " + std::to_string(max_event_bytes_) + " bytes");
    }
    if (end == bytes.size()) return true;
    after_cr_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    std::string text;
    text.swap(partial_);
    if (!line(text)) return false;
  }
  return true;
}

bool EventStream::line(std::string_view text) {
  if (text.empty()) {
    std::string data;
    std::string event;
    data.swap(data_);
    event.swap(event_);
    const bool complete = has_data_;
    has_data_ = false;
    return !complete || on_event_(event.empty() ? "message" : event, data);
  }
  const std::size_t colon = std::min(text.find(':'), text.size());
  const std::string_view field = text.substr(0, colon);
  std::string_view value = text.substr(std::min(colon + 1, text.size()));
  if (!value.empty() && value[0] == ' ') value.remove_prefix(1);
  if (field == "event") event_ = value;
  if (field == "id" && value.size() <= kMaxIdBytes && value.find('\0') == std::string_view::npos)
    last_id_ = value;
  if (field == "retry" && !value.empty() && value.size() <= 6 &&
      value.find_first_not_of("0123456789") == std::string_view::npos) {
    retry_ms_ = 0;
    for (const char digit : value) retry_ms_ = retry_ms_ * 10 + (digit - '0');
  }
  if (field == "data") {
    if (has_data_) data_ += '\n';
    data_ += value;
    has_data_ = true;
  }
  return true;
}

}  // namespace ez::agents
