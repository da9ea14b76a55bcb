#include "http/sse.h"

namespace ez::http {
namespace {

constexpr std::string_view kHeartbeat = ": still here\n\n";
constexpr std::string_view kTooSlow = ": too slow; come back with Last-Event-ID\n\n";

void append_clean(std::string& out, std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x20) out.push_back(c);
  }
}

StreamOptions stream_options(std::size_t buffer_bytes) {
  StreamOptions options;
  options.buffer_bytes = buffer_bytes;
  options.heartbeat = kHeartbeat;
  return options;
}

}  // namespace

void append_sse(std::string& out, const SseEvent& event) {
  if (!event.id.empty()) {
    out.append("id: ");
    append_clean(out, event.id);
    out.push_back('\n');
  }
  if (!event.event.empty()) {
    out.append("event: ");
    append_clean(out, event.event);
    out.push_back('\n');
  }
  out.append("data: ");
  for (std::size_t i = 0; i < event.data.size(); ++i) {
    const char c = event.data[i];
    if (c == '\r' || c == '\n') {  // each of CR, LF and CRLF ends a line for the reader
      out.append("\ndata: ");
      if (c == '\r' && i + 1 < event.data.size() && event.data[i + 1] == '\n') ++i;
    } else {
      out.push_back(c);
    }
  }
  out.append("\n\n");
}

EventStream::EventStream(Responder responder, std::size_t buffer_bytes)
    : stream_(responder.begin_stream("text/event-stream", stream_options(buffer_bytes))) {}

bool EventStream::try_send(const SseEvent& event) {
  std::string text;
  append_sse(text, event);
  return stream_.send(text);
}

bool EventStream::send(const SseEvent& event) {
  if (try_send(event)) return true;
  (void)stream_.send_last(kTooSlow);
  stream_.close();
  return false;
}

void EventStream::close() { stream_.close(); }

std::optional<std::string> last_event_id(const Request& request) {
  if (const auto header = request.headers.find("last-event-id"); header) return std::string(*header);
  if (const std::string* parameter = request.query.find("last_event_id"); parameter != nullptr)
    return *parameter;
  return std::nullopt;
}

}  // namespace ez::http
