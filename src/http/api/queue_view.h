// Messages and topics as JSON, and back. Internal to http/api/.
//
// A payload that is UTF-8 is the string `payload`; any other bytes are `payload_base64` (RFC 4648 section 4).
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/value.h"
#include "http/api/context.h"
#include "http/api/fields.h"
#include "queue/embedded/embedded_bus.h"

namespace ez::http::api {

// The server's queue; NOT_LEADER when it has none.
[[nodiscard]] Result<queue::EmbeddedBus*> queue_of(Context& context);

// The topic or pattern of the path parameter, in the request's namespace. INVALID_ARGUMENT.
[[nodiscard]] Result<std::string> topic_of(const Request& request);
[[nodiscard]] Result<std::string> pattern_of(const Request& request, std::string_view pattern);
// Without the namespace, as users of that namespace write it.
[[nodiscard]] std::string bare_topic(std::string_view topic);
[[nodiscard]] std::string_view namespace_of_topic(std::string_view topic);

[[nodiscard]] Value message_view(const queue::Delivery& delivery);
[[nodiscard]] Value topic_view(const queue::EmbeddedTopic& topic);
// Of the topics that the pattern matches, by name: those of the log, and those that only a broker has. Waits
// for the brokers, a second at most for each.
[[nodiscard]] std::map<std::string, Value> topic_views(Context& context, const std::string& pattern);
[[nodiscard]] Value dead_letter_view(const queue::DeadLetterView& letter);

// The members of a message in a publish request; the topic is set by the caller.
[[nodiscard]] queue::Message read_message(Fields& fields);

[[nodiscard]] std::string base64(std::string_view bytes);
// Empty and false when the text is no base64.
[[nodiscard]] bool from_base64(std::string_view text, std::string& bytes);

}  // namespace ez::http::api
