#include "queue/redis/entry.h"

#include <charconv>

namespace ez::queue::redis {
namespace {

template <typename Number>
bool read_number(std::string_view text, Number& out) {
  const auto read = std::from_chars(text.data(), text.data() + text.size(), out);
  return read.ec == std::errc() && read.ptr == text.data() + text.size();
}

bool read_id(std::string_view text, broker::Place& place) {
  const std::size_t dash = text.find('-');
  return dash != std::string_view::npos && read_number(text.substr(0, dash), place.a) &&
         read_number(text.substr(dash + 1), place.b);
}

std::string_view number_text(std::int64_t value, std::vector<std::string>& numbers) {
  numbers.push_back(std::to_string(value));
  return numbers.back();
}

constexpr std::int64_t kNear = 1'000;  // ms
constexpr std::string_view kDigits[] = {"0", "1", "2", "3", "4", "5"};

}  // namespace

std::int64_t published_field(const Message& message, std::int64_t published_ms, std::int64_t now_ms) {
  const bool matters = message.ttl_ms > 0 || message.delay_ms > 0 || now_ms - published_ms > kNear;
  return matters ? published_ms : 0;
}

void append_fields(const Message& message, std::int64_t published_ms, std::vector<std::string>& numbers,
                   Words& words) {
  const auto field = [&](std::string_view name, std::string_view value) {
    words.push_back(name);
    words.push_back(value);
  };
  field("id", message.id);
  field("data", message.payload);
  if (published_ms > 0) field("published", number_text(published_ms, numbers));
  if (!message.key.empty()) {
    field("priority", kDigits[static_cast<std::size_t>(message.priority)]);
    field("key", message.key);
  }
  if (message.ttl_ms > 0) field("ttl", number_text(message.ttl_ms, numbers));
  if (message.delay_ms > 0) field("delay", number_text(message.delay_ms, numbers));
  for (const auto& [name, value] : message.headers) {
    numbers.push_back("h:" + name);
    field(numbers.back(), value);
  }
}

std::string_view lane_of(const Message& message) {
  return kDigits[message.key.empty() ? static_cast<std::size_t>(message.priority) : broker::kKeyedLane];
}

void append_message(const Message& message, std::int64_t published_ms, std::vector<std::string>& numbers,
                    Words& words) {
  words.push_back(message.id);
  words.push_back(lane_of(message));
  words.push_back(message.delay_ms > 0 ? number_text(message.delay_ms, numbers) : "0");
  words.push_back(number_text(static_cast<std::int64_t>(message.payload.size()), numbers));
  const std::size_t count = words.size();
  words.emplace_back();
  append_fields(message, published_ms, numbers, words);
  words[count] = number_text(static_cast<std::int64_t>(words.size() - count - 1), numbers);
}

std::optional<broker::Entry> read_entry(Reply& reply, const std::string& topic, std::uint32_t source) {
  if (reply.list.size() != 4) return std::nullopt;
  broker::Entry entry;
  entry.place.source = source;
  entry.place.lane = static_cast<std::uint8_t>(reply.list[0].number);
  if (!read_id(reply.list[1].text, entry.place)) return std::nullopt;
  entry.given_back = static_cast<std::uint32_t>(std::max<std::int64_t>(0, reply.list[2].number));
  Message& message = entry.message;
  message.topic = topic;
  std::vector<Reply>& fields = reply.list[3].list;
  entry.published_ms = static_cast<std::int64_t>(entry.place.a);
  unsigned priority = entry.place.lane < broker::kKeyedLane ? entry.place.lane : 2;
  for (std::size_t i = 0; i + 1 < fields.size(); i += 2) {
    const std::string& name = fields[i].text;
    std::string& value = fields[i + 1].text;
    if (name == "id") {
      message.id = std::move(value);
    } else if (name == "data") {
      message.payload = std::move(value);
    } else if (name == "published") {
      (void)read_number(value, entry.published_ms);
    } else if (name == "priority") {
      (void)read_number(value, priority);
    } else if (name == "key") {
      message.key = std::move(value);
    } else if (name == "ttl") {
      (void)read_number(value, message.ttl_ms);
    } else if (name == "delay") {
      (void)read_number(value, message.delay_ms);
    } else if (name.size() > 2 && name[0] == 'h' && name[1] == ':') {
      message.headers.emplace_back(name.substr(2), std::move(value));
    }
  }
  message.priority = static_cast<Priority>(std::min<unsigned>(priority, kPriorities - 1));
  // Somebody else wrote into our stream without an id: its place is as good as one.
  if (message.id.empty()) message.id = entry_id(entry.place);
  return entry;
}

std::optional<broker::Entry> read_entry_of(int lane, Reply& one, const std::string& topic,
                                           std::uint32_t source) {
  if (one.list.size() != 2) return std::nullopt;
  Reply whole;  // as the scripts give it
  whole.list.resize(4);
  whole.list[0].number = lane;
  whole.list[1] = std::move(one.list[0]);
  whole.list[3] = std::move(one.list[1]);
  return read_entry(whole, topic, source);
}

std::string entry_id(const broker::Place& place) {
  return std::to_string(place.a) + "-" + std::to_string(place.b);
}

}  // namespace ez::queue::redis
