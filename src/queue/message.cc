#include "queue/message.h"

#include <algorithm>
#include <array>

#include "queue/topic.h"

namespace ez::queue {
namespace {

constexpr std::array<std::string_view, kPriorities> kNames = {"critical", "high", "normal", "low",
                                                              "deferred"};

constexpr std::ptrdiff_t kMaxOwnHeaders = 8;
constexpr std::size_t kMaxOwnHeaderBytes = 200;

bool is_name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

Error too_large(std::string_view what, std::size_t bytes, std::size_t limit) {
  return Error(Code::PayloadTooLarge, std::string(what) + " of the message has " + std::to_string(bytes) +
                                          " bytes, at most " + std::to_string(limit) + " are possible");
}

bool is_own(const std::string& name) { return name.starts_with("ez-"); }

Status check_headers(const Headers& headers) {
  const auto own =
      std::count_if(headers.begin(), headers.end(), [](const auto& one) { return is_own(one.first); });
  if (headers.size() - static_cast<std::size_t>(own) > kMaxHeaders || own > kMaxOwnHeaders) {
    return Error(Code::InvalidArgument, "a message has at most " + std::to_string(kMaxHeaders) + " headers");
  }
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < headers.size(); ++i) {
    const auto& [name, value] = headers[i];
    bool good = !name.empty() && name.size() <= 64;
    for (const char c : name) good = good && is_name_byte(c);
    if (!good) {
      return Error(Code::InvalidArgument, "the name of a header has 1 to 64 letters, digits, _ and -");
    }
    for (std::size_t before = 0; before < i; ++before) {
      if (headers[before].first == name) {
        return Error(Code::InvalidArgument, "the header " + name + " is there twice");
      }
    }
    if (!is_own(name)) bytes += name.size() + value.size();
    if (is_own(name) && value.size() > kMaxOwnHeaderBytes) {
      return Error(Code::InvalidArgument, "headers that begin with ez- are the bus's own");
    }
  }
  if (bytes > kMaxHeaderBytes) return too_large("the headers", bytes, kMaxHeaderBytes);
  return {};
}

Status check_time(std::string_view field, std::int64_t value) {
  if (value >= 0 && value <= kMaxDelayMs) return {};
  return Error(Code::InvalidArgument,
               std::string(field) + " is " + std::to_string(value) + " ms, 0 to 366 days are possible");
}

}  // namespace

std::string_view to_text(Priority priority) { return kNames.at(static_cast<std::size_t>(priority)); }

std::optional<Priority> parse_priority(std::string_view text) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == text) return static_cast<Priority>(i);
  }
  return std::nullopt;
}

Status check_message(const Message& message) {
  EZ_TRY(check_topic(message.topic));
  if (message.id.size() > kMaxIdBytes) return too_large("the id", message.id.size(), kMaxIdBytes);
  for (const char c : message.id) {
    if (c <= ' ' || c >= 127) {
      return Error(Code::InvalidArgument, "the id of a message is printable ASCII without blanks");
    }
  }
  if (message.key.size() > kMaxKeyBytes) return too_large("the key", message.key.size(), kMaxKeyBytes);
  if (message.payload.size() > kMaxPayloadBytes) {
    return too_large("the payload", message.payload.size(), kMaxPayloadBytes);
  }
  if (static_cast<std::size_t>(message.priority) >= kPriorities) {
    return Error(Code::InvalidArgument,
                 "the priority of a message is critical, high, normal, low or deferred");
  }
  EZ_TRY(check_time("the delay", message.delay_ms));
  EZ_TRY(check_time("the time to live", message.ttl_ms));
  return check_headers(message.headers);
}

}  // namespace ez::queue
