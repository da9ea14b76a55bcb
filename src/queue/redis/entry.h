// A message as the fields of a stream's entry, plain enough for consumers that speak Redis themselves:
//   id, data; published (ms since 1970), when the entry's own id does not say it well enough; priority (0 to
//   4), when the stream does not say it; and when they are set: key, ttl and delay (ms); h:NAME for each
//   header.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "queue/broker/sequencer.h"
#include "queue/redis/connection.h"

namespace ez::queue::redis {

// 0 when it is sent at once and nothing depends on the very moment: then the entry's id, which has the time
// of Redis' clock when Redis took it, says it well enough. now_ms: of the clock that published_ms is of.
[[nodiscard]] std::int64_t published_field(const Message& message, std::int64_t published_ms,
                                           std::int64_t now_ms);

// Appends the names and values of the fields; published_ms as above. Numbers and names of headers are kept in
// `numbers`, which has to stay where it is (reserve kNumbers for each message).
inline constexpr std::size_t kNumbers = 8 + kMaxHeaders;
void append_fields(const Message& message, std::int64_t published_ms, std::vector<std::string>& numbers,
                   Words& words);

// Which of the streams of a queue it goes into.
[[nodiscard]] std::string_view lane_of(const Message& message);

// Appends id, lane, delay, bytes, count of words, words: what the publish script wants; `numbers` as above.
void append_message(const Message& message, std::int64_t published_ms, std::vector<std::string>& numbers,
                    Words& words);

// {lane, id, given back, {fields}} → an entry of that source; nothing when it is not one of ours.
[[nodiscard]] std::optional<broker::Entry> read_entry(Reply& reply, const std::string& topic,
                                                      std::uint32_t source);

// The same of {id, {fields}}, as the stream commands give it, from a stream of that lane.
[[nodiscard]] std::optional<broker::Entry> read_entry_of(int lane, Reply& one, const std::string& topic,
                                                         std::uint32_t source);

// The id of a stream entry as text.
[[nodiscard]] std::string entry_id(const broker::Place& place);

}  // namespace ez::queue::redis
