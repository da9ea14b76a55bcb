// queue list, pause, resume, purge.
#include "cli/commands/queue.h"

#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/text.h"
#include "orchestration/text.h"

namespace ez::cli {

std::string queue_target(std::string_view topic, std::string_view rest) {
  std::string out = "/v1/queues/" + encode(topic);
  if (!rest.empty()) out += "/" + std::string(rest);
  return out;
}

Result<std::int64_t> duration_of(const Arguments& arguments, std::string_view name, std::int64_t fallback) {
  if (!arguments.has(name)) return fallback;
  const std::string text = arguments.text(name);
  if (const auto ms = orchestration::parse_duration_ms(text)) return *ms;
  return Error(Code::InvalidArgument, "--" + std::string(name) + " is '" + printable(text) + "', no duration",
               "Write for example 500ms, 30s, 5m or 2h.");
}

std::string message_line(const Value& message) {
  std::string out = printable(message.string_or("id", ""));
  if (const auto key = message.string_or("key", ""); !key.empty()) out += "  key=" + printable(key);
  if (message.int_or("attempt", 1) > 1) out += "  attempt=" + std::to_string(message.int_or("attempt", 1));
  const bool binary = message.find("payload") == nullptr;
  out += binary ? "  (bytes, base64) " + std::string(message.string_or("payload_base64", ""))
                : "  " + printable(message.string_or("payload", ""));
  return out;
}

namespace {

constexpr std::size_t kMost = 100'000;

std::string number(const Value& view, std::string_view key) { return std::to_string(view.int_or(key, 0)); }

Result<int> list(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const auto api, session.connect(arguments));
  const std::string pattern = arguments.text("PATTERN", "#");
  EZ_ASSIGN(const Value::List topics, list_all(*api, "/v1/queues?pattern=" + encode(pattern), kMost));
  if (arguments.has("json")) {
    session.out << to_json(Value(Value::Map{{"items", Value(topics)}})) << "\n";
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows{
      {"TOPIC", "READY", "DELAYED", "OUT", "DEAD", "BYTES", "PUBLISHED", "GROUPS", "STATE"}};
  for (const Value& topic : topics) {
    std::string groups;
    for (const Value& group : topic.find("groups")->as_list()) {
      groups += (groups.empty() ? "" : ",") + printable(group.string_or("name", ""));
    }
    rows.push_back({printable(topic.string_or("topic", "")), number(topic, "ready"), number(topic, "delayed"),
                    number(topic, "in_flight"), number(topic, "dead"),
                    size_text(static_cast<std::uint64_t>(topic.int_or("bytes", 0))),
                    number(topic, "published"), groups.empty() ? "-" : groups,
                    topic.bool_or("paused", false) ? "paused" : ""});
  }
  session.out << (topics.empty() ? std::string("No topics yet: the first message makes one.\n")
                                 : table_text(rows));
  return kExitOk;
}

Result<int> set_paused(Session& session, const Arguments& arguments, bool on) {
  EZ_ASSIGN(const auto api, session.connect(arguments));
  const std::string target = queue_target(arguments.text("TOPIC"), on ? "pause" : "resume");
  EZ_ASSIGN(const Value view, api->post(target, Value(Value::Map{})));
  if (arguments.has("json")) {
    session.out << to_json(view) << "\n";
  } else {
    session.out << printable(view.string_or("topic", "")) << (on ? " is paused; " : " goes on; ")
                << view.int_or("ready", 0) << " messages wait\n";
  }
  return kExitOk;
}

Result<int> pause(Session& session, const Arguments& arguments) {
  return set_paused(session, arguments, true);
}

Result<int> resume(Session& session, const Arguments& arguments) {
  return set_paused(session, arguments, false);
}

Result<int> purge(Session& session, const Arguments& arguments) {
  const std::string topic = arguments.text("TOPIC");
  if (!arguments.has("yes")) {
    return Error(Code::InvalidArgument, "what is purged is gone, for every group of " + printable(topic),
                 "Say --yes to purge it, or look first: `ez queue peek " + printable(topic) + "`.");
  }
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const Value answer,
            api->post(queue_target(topic, "purge"), Value(Value::Map{{"confirm", Value(topic)}})));
  if (arguments.has("json")) {
    session.out << to_json(answer) << "\n";
  } else {
    session.out << answer.int_or("removed", 0) << " messages removed from " << printable(topic) << "\n";
  }
  return kExitOk;
}

Result<int> peek(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const std::int64_t limit, arguments.number("limit", 10, 1, 500));
  EZ_ASSIGN(const auto api, session.connect(arguments));
  const std::string target = queue_target(arguments.text("TOPIC"), "messages?limit=" + std::to_string(limit));
  EZ_ASSIGN(const Value answer, api->get(target));
  for (const Value& message : answer.find("items")->as_list()) {
    session.out << (arguments.has("json") ? to_json(message) : message_line(message)) << "\n";
  }
  return kExitOk;
}

const OperandSpec kTopic{"TOPIC", "the topic"};
const OptionSpec kJson{"--json", "", "as JSON"};

}  // namespace

Command queue_list_command() {
  return {"queue list",
          "List topics and what waits in them",
          "  ez queue list\n  ez queue list 'orders.#'\n",
          {kJson},
          {{"PATTERN", "only these: * is one word, # any number (all)", false}},
          true,
          list};
}

Command queue_pause_command() {
  return {"queue pause",
          "Stop the deliveries of a topic; publishing goes on",
          "  ez queue pause orders.new\n",
          {kJson},
          {kTopic},
          true,
          pause};
}

Command queue_resume_command() {
  return {"queue resume",
          "Let the deliveries of a topic go on",
          "  ez queue resume orders.new\n",
          {kJson},
          {kTopic},
          true,
          resume};
}

Command queue_purge_command() {
  return {"queue purge",
          "Remove all messages that wait in a topic",
          "  ez queue purge orders.new --yes\n",
          {{"--yes", "", "really remove them"}, kJson},
          {kTopic},
          true,
          purge};
}

Command queue_peek_command() {
  return {"queue peek",
          "Look at the messages that wait, without taking them",
          "  ez queue peek orders.new --limit 3\n",
          {{"--limit", "N", "at most so many (10)"}, {"--json", "", "one JSON object a line"}},
          {kTopic},
          true,
          peek};
}

}  // namespace ez::cli
