#include "models/dialect/sse.h"

#include <algorithm>

namespace ez::models {

namespace {

Error too_large(std::size_t limit) {
  return {Code::ProviderAnswerInvalid, "an event of the stream is over " + std::to_string(limit) + " bytes"};
}

}  // namespace

bool SseReader::take_line(std::string_view line) {
  if (line.empty()) {
    // An event without data is none; its name is forgotten (the standard's "dispatch the event").
    if (!has_data_) event_.clear();
    return has_data_;
  }
  const std::size_t colon = line.find(':');
  if (colon == 0) return false;  // a comment
  const std::string_view field = line.substr(0, colon);
  std::string_view value = colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "data") {
    if (has_data_) data_ += '\n';
    data_ += value;
    has_data_ = true;
  } else if (field == "event") {
    event_ = value;
  }
  return false;
}

Result<bool> SseReader::next(std::string_view& bytes, SseEvent& event) {
  if (delivered_) {
    data_.clear();
    event_.clear();
    has_data_ = delivered_ = false;
  }
  while (!bytes.empty()) {
    if (after_cr_) {
      after_cr_ = false;
      if (bytes.front() == '\n') {
        bytes.remove_prefix(1);
        continue;
      }
    }
    const std::size_t newline = bytes.find('\n');
    const std::size_t end = std::min(newline, bytes.substr(0, newline).find('\r'));
    const std::size_t taken = std::min(end, bytes.size());
    if (line_.size() + data_.size() + event_.size() + taken > max_event_bytes_) {
      bytes = {};
      return too_large(max_event_bytes_);
    }
    if (end == std::string_view::npos) {
      line_ += bytes;
      bytes = {};
      return false;
    }
    std::string_view line = bytes.substr(0, end);
    if (!line_.empty()) {
      line_ += line;
      line = line_;
    }
    after_cr_ = bytes[end] == '\r';
    if (at_start_ && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
    at_start_ = false;
    const bool complete = take_line(line);
    line_.clear();
    bytes.remove_prefix(end + 1);
    if (complete) {
      delivered_ = true;
      event = {event_, data_};
      return true;
    }
  }
  return false;
}

void append_sse(std::string& out, std::string_view event, std::string_view data) {
  if (!event.empty()) {
    out += "event: ";
    out += event;
    out += '\n';
  }
  out += "data: ";
  out += data;
  out += "\n\n";
}

}  // namespace ez::models
