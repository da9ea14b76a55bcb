// queue take: takes deliveries, prints them, and settles them. queue tail: shows what is published.
#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/commands/queue.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

constexpr std::size_t kMostAtOnce = 1000;

void print(Session& session, const Arguments& arguments, const Value& message) {
  if (arguments.has("json")) {
    session.out << to_json(message) << "\n";
  } else if (arguments.has("payload")) {
    session.out << message.string_or("payload", "") << "\n";
  } else {
    session.out << message_line(message) << "\n";
  }
}

// Nothing came: is that because the topic is paused? A pattern, or a topic that is not there yet, is not
// looked at.
Status say_when_paused(Api& api, const std::string& topic) {
  if (topic.find_first_of("*#") != std::string::npos) return {};
  const auto view = api.get(queue_target(topic, ""));
  if (!view.ok() || !view->bool_or("paused", false)) return {};
  return Error(Code::QueuePaused, "topic " + topic + " is paused: " +
                                      std::to_string(view->int_or("ready", 0)) + " messages wait");
}

Result<int> take(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const std::int64_t max, arguments.number("max", 1, 1, kMostAtOnce));
  EZ_ASSIGN(const std::int64_t wait_ms, duration_of(arguments, "wait", 0));
  EZ_ASSIGN(const std::int64_t lease_ms, duration_of(arguments, "lease", 30'000));
  EZ_ASSIGN(const std::int64_t delay_ms, duration_of(arguments, "delay", 0));
  if (arguments.has("nack") && arguments.has("keep")) {
    return Error(Code::InvalidArgument, "--nack and --keep are both given");
  }
  EZ_ASSIGN(const auto api, session.connect(arguments));
  const Value body(Value::Map{{"group", Value(arguments.text("group", "default"))},
                              {"max", Value(max)},
                              {"wait_ms", Value(wait_ms)},
                              {"lease_ms", Value(lease_ms)}});
  EZ_ASSIGN(const Value answer, api->post(queue_target(arguments.text("TOPIC"), "take"), body));
  const Value::List& deliveries = answer.find("deliveries")->as_list();
  Value::List settled;
  for (const Value& delivery : deliveries) {
    print(session, arguments, delivery);
    const Value tag(delivery.string_or("tag", ""));
    settled.push_back(
        arguments.has("nack")
            ? Value(Value::Map{{"tag", tag},
                               {"delay_ms", Value(delay_ms)},
                               {"reason", Value(arguments.text("reason", "given back by hand"))}})
            : tag);
  }
  if (!settled.empty() && !arguments.has("keep")) {
    session.out.flush();
    const Value request(Value::Map{{arguments.has("nack") ? "nack" : "ack", Value(std::move(settled))}});
    EZ_ASSIGN(const Value results, api->post("/v1/deliveries/settle", request));
    for (const Value& result : results.find("results")->as_list()) {
      const Value* error = result.find("error");
      if (error == nullptr) continue;
      const CodeInfo* code = find_code(error->string_or("code", ""));
      return Error(code == nullptr ? Code::Internal : code->code,
                   std::string(error->string_or("message", "")));
    }
  }
  if (!deliveries.empty()) return kExitOk;
  EZ_TRY(say_when_paused(*api, arguments.text("TOPIC")));
  return kExitNegative;
}

Result<int> tail(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const std::int64_t max, arguments.number("max", 0, 0, 1'000'000'000));
  EZ_ASSIGN(const auto api, session.connect(arguments));
  std::int64_t seen = 0;
  EZ_TRY(api->stream(queue_target(arguments.text("TOPIC"), "events"), "", [&](const ApiEvent& event) {
    const auto message = parse_json(event.data);
    if (!message.ok()) return true;
    print(session, arguments, *message);
    session.out.flush();
    return ++seen != max;
  }));
  return kExitOk;
}

}  // namespace

Command queue_take_command() {
  return {"queue take",
          "Take messages, print them and acknowledge them",
          "  ez queue take jobs --max 10 --wait 5s\n  ez queue take 'orders.#' --group billing --json\n"
          "  ez queue take jobs --nack --delay 1m --reason 'not now'\n",
          {{"--group", "NAME", "the group that takes; each message goes to one of a group (default)"},
           {"--max", "N", "at most so many, 1 to 1000 (1)"},
           {"--wait", "TIME", "how long to wait for the first one (0s)"},
           {"--lease", "TIME", "how long they are kept from others (30s)"},
           {"--nack", "", "give them back instead of acknowledging them"},
           {"--delay", "TIME", "with --nack: not again before this has passed"},
           {"--reason", "TEXT", "with --nack: why; kept in the message's history"},
           {"--keep", "", "neither: settle them with POST /v1/deliveries/settle before their lease ends"},
           {"--payload", "", "print the payloads only"},
           {"--json", "", "one JSON object a line"}},
          {{"TOPIC", "a topic or a pattern"}},
          true,
          take};
}

Command queue_tail_command() {
  return {"queue tail",
          "Show what is published from now on, without taking it from anybody",
          "  ez queue tail 'orders.#'\n",
          {{"--max", "N", "end after so many (0: never)"},
           {"--payload", "", "print the payloads only"},
           {"--json", "", "one JSON object a line"}},
          {{"TOPIC", "a topic or a pattern"}},
          true,
          tail};
}

}  // namespace ez::cli
