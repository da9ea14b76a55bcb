#include "http/sse_client.h"

#include <algorithm>
#include <charconv>

namespace ez::http {
namespace {
constexpr std::chrono::milliseconds kLongestWait{30'000};
}

Result<bool> SseParser::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    if (after_cr_) {  // CRLF is one end of line, even when the two come apart
      after_cr_ = false;
      if (bytes.front() == '\n') {
        bytes.remove_prefix(1);
        continue;
      }
    }
    const std::size_t end = bytes.find_first_of("\r\n");
    partial_.append(bytes.substr(0, end));
    if (partial_.size() + data_.size() > max_event_bytes_) {
      return Error(Code::PayloadTooLarge,
                   "an event is longer than " + std::to_string(max_event_bytes_) + " bytes");
    }
    if (end == std::string_view::npos) break;
    after_cr_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    std::string text;
    text.swap(partial_);
    std::string_view view = text;
    if (at_start_ && view.starts_with("\xef\xbb\xbf")) view.remove_prefix(3);
    at_start_ = false;
    if (!line(view)) return false;
  }
  return true;
}

bool SseParser::line(std::string_view text) {
  if (text.empty()) {
    ReceivedEvent received;
    received.id = last_id_;
    if (!event_.empty()) received.event = event_;
    received.data.swap(data_);
    event_.clear();
    if (!std::exchange(has_data_, false)) return true;
    return on_event_(received);
  }
  if (text.front() == ':') return true;
  const std::size_t colon = text.find(':');
  const std::string_view field = text.substr(0, colon);
  std::string_view value = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "data") {
    if (has_data_) data_.push_back('\n');
    data_.append(value);
    has_data_ = true;
  } else if (field == "event") {
    event_ = value;
  } else if (field == "id") {
    if (value.find('\0') == std::string_view::npos) last_id_ = value;
  } else if (field == "retry") {
    std::int64_t wait_ms = 0;
    const auto [stop, failure] = std::from_chars(value.data(), value.data() + value.size(), wait_ms);
    if (failure == std::errc() && stop == value.data() + value.size() && wait_ms >= 0) {
      retry_ = std::min(std::chrono::milliseconds(wait_ms), kLongestWait);
    }
  }
  return true;
}

void SseParser::restart() {
  partial_.clear();
  data_.clear();
  event_.clear();
  has_data_ = after_cr_ = false;
  at_start_ = true;
}

Status follow_events(Client& client, const std::string& target, const FollowOptions& options,
                     const SseParser::OnEvent& on_event) {
  bool enough = false;
  int failures = 0;
  std::optional<Error> too_large;
  SseParser parser([&](const ReceivedEvent& event) {
    failures = 0;
    enough = !on_event(event);
    return !enough;
  });
  parser.set_last_id(options.last_event_id);
  for (;;) {
    parser.restart();
    ClientRequest request;
    request.target = target;
    request.headers = {{"Accept", "text/event-stream"}};
    if (!parser.last_id().empty()) request.headers.emplace_back("Last-Event-ID", parser.last_id());
    request.idle_timeout = options.idle_timeout;
    request.cancellation = options.cancellation;
    request.sink = [&](std::string_view piece) {
      const Result<bool> fed = parser.feed(piece);
      if (!fed.ok()) too_large = fed.error();
      return fed.ok() && *fed;
    };
    const Result<ClientAnswer> answer = client.send(request);
    if (enough || (answer.ok() && answer->status == 204)) return {};
    if (too_large) return *too_large;
    if (!answer.ok()) {
      if (!answer.error().retry() || ++failures >= options.max_failures) return answer.error();
    } else if (++failures >= options.max_failures) {
      return Error(Code::ServerUnreachable,
                   "the server ends the stream of " + target + " again and again without an event");
    }
    const auto wait = parser.retry().value_or(options.reconnect_wait);
    const Cancellation& own = client.cancellation();
    if ((options.cancellation != nullptr ? options.cancellation : &own)->wait_for(wait) || own.cancelled()) {
      return Error(Code::CallCancelled, "the call was broken off");
    }
  }
}

}  // namespace ez::http
