// dlq list, show, redrive, discard: messages that ran out of deliveries.
#include <algorithm>
#include <chrono>
#include <thread>

#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/commands/queue.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

constexpr std::size_t kMost = 100'000;

std::string filter_query(const Arguments& arguments) {
  std::string out = "/v1/dead-letters";
  char sign = '?';
  for (const char* name : {"topic", "group", "reason"}) {
    if (!arguments.has(name)) continue;
    out += sign + std::string(name) + "=" + encode(arguments.text(name));
    sign = '&';
  }
  return out;
}

Result<int> list(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const Value::List letters, list_all(*api, filter_query(arguments), kMost));
  if (arguments.has("json")) {
    session.out << to_json(Value(Value::Map{{"items", Value(letters)}})) << "\n";
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows{
      {"NUMBER", "TOPIC", "GROUP", "ATTEMPTS", "DIED", "ID", "REASON"}};
  for (const Value& letter : letters) {
    rows.push_back({std::to_string(letter.int_or("number", 0)), printable(letter.string_or("topic", "")),
                    printable(letter.string_or("group", "")), std::to_string(letter.int_or("attempts", 0)),
                    printable(letter.string_or("died_at", "")),
                    printable(letter.find("message")->string_or("id", "")),
                    clipped(printable(letter.string_or("reason", "")), 60)});
  }
  session.out << (letters.empty() ? std::string("No dead letters.\n") : table_text(rows));
  return kExitOk;
}

Result<int> show(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const Value letter, api->get("/v1/dead-letters/" + encode(arguments.text("NUMBER"))));
  if (arguments.has("json")) {
    session.out << to_json(letter) << "\n";
    return kExitOk;
  }
  session.out << "dead letter " << letter.int_or("number", 0) << " of "
              << printable(letter.string_or("topic", "")) << ", group "
              << printable(letter.string_or("group", "")) << "\n"
              << "died      " << printable(letter.string_or("died_at", "")) << " after "
              << letter.int_or("attempts", 0) << " deliveries\n"
              << "reason    " << printable(letter.string_or("reason", "")) << "\n";
  for (const Value& failure : letter.find("history")->as_list()) {
    session.out << "          " << printable(failure.string_or("at", "")) << "  "
                << printable(failure.string_or("reason", "")) << "\n";
  }
  session.out << "message   " << message_line(*letter.find("message")) << "\n";
  return kExitOk;
}

// The numbers that are named, or those of all dead letters that match.
Result<std::vector<std::int64_t>> chosen(Api& api, const Arguments& arguments) {
  std::vector<std::int64_t> numbers;
  for (const std::string& text : arguments.all("NUMBER")) {
    const bool good =
        !text.empty() && text.size() <= 18 && text.find_first_not_of("0123456789") == std::string::npos;
    if (!good) return Error(Code::InvalidArgument, "'" + printable(text) + "' is no number of a dead letter");
    numbers.push_back(std::stoll(text));
  }
  const bool filtered = arguments.has("topic") || arguments.has("group") || arguments.has("reason");
  if (!numbers.empty() && (filtered || arguments.has("all"))) {
    return Error(Code::InvalidArgument, "give a number or a filter, not both");
  }
  if (!numbers.empty()) return numbers;
  if (!filtered && !arguments.has("all")) {
    return Error(Code::InvalidArgument, "no dead letter is named",
                 "Give a number, a filter (--topic, --group, --reason) or --all.");
  }
  EZ_ASSIGN(const Value::List letters, list_all(api, filter_query(arguments), kMost));
  for (const Value& letter : letters) numbers.push_back(letter.int_or("number", 0));
  return numbers;
}

Result<int> change(Session& session, const Arguments& arguments, const std::string& verb) {
  EZ_ASSIGN(const std::int64_t rate, arguments.number("rate", 0, 0, 1'000'000));
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const std::vector<std::int64_t> numbers, chosen(*api, arguments));
  const std::size_t at_once =
      rate > 0 ? static_cast<std::size_t>(std::max<std::int64_t>(1, rate / 10)) : 1000;
  const auto begin = std::chrono::steady_clock::now();
  std::int64_t changed = 0;
  for (std::size_t at = 0; at < numbers.size(); at += at_once) {
    if (rate > 0) {
      std::this_thread::sleep_until(
          begin + std::chrono::microseconds(at * 1'000'000 / static_cast<std::size_t>(rate)));
    }
    Value::List some;
    for (std::size_t i = at; i < std::min(numbers.size(), at + at_once); ++i)
      some.push_back(Value(numbers[i]));
    EZ_ASSIGN(const Value answer,
              api->post("/v1/dead-letters/" + verb, Value(Value::Map{{"numbers", Value(some)}})));
    changed += answer.int_or(verb == "redrive" ? "redriven" : "discarded", 0);
  }
  const std::string done = verb == "redrive" ? "redriven" : "discarded";
  if (arguments.has("json")) {
    session.out << to_json(Value(Value::Map{{done, Value(changed)}})) << "\n";
  } else {
    session.out << changed << " dead letters " << done << "\n";
  }
  return kExitOk;
}

Result<int> redrive(Session& session, const Arguments& arguments) {
  return change(session, arguments, "redrive");
}

Result<int> discard(Session& session, const Arguments& arguments) {
  return change(session, arguments, "discard");
}

std::vector<OptionSpec> filters(std::vector<OptionSpec> more) {
  std::vector<OptionSpec> out{{"--topic", "PATTERN", "of these topics"},
                              {"--group", "NAME", "of this group"},
                              {"--reason", "TEXT", "whose reason contains this"}};
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

const OptionSpec kJson{"--json", "", "as JSON"};

}  // namespace

Command dlq_list_command() {
  return {"dlq list", "List dead letters", "  ez dlq list --topic 'orders.#'\n", filters({kJson}), {}, true,
          list};
}

Command dlq_show_command() {
  return {"dlq show",
          "Show a dead letter: its message, why it died, and what happened before",
          "  ez dlq show 17\n",
          {kJson},
          {{"NUMBER", "its number"}},
          true,
          show};
}

Command dlq_redrive_command() {
  return {"dlq redrive",
          "Give dead letters back to the group where they died",
          "  ez dlq redrive 17\n  ez dlq redrive --topic orders.new --rate 50\n",
          filters({{"--all", "", "all of the namespace"},
                   {"--rate", "N", "at most so many a second (0: at once)"},
                   kJson}),
          {{"NUMBER", "its number", false}},
          true,
          redrive};
}

Command dlq_discard_command() {
  return {"dlq discard",
          "Remove dead letters for good",
          "  ez dlq discard 17\n  ez dlq discard --reason 'no such customer'\n",
          filters({{"--all", "", "all of the namespace"}, kJson}),
          {{"NUMBER", "its number", false}},
          true,
          discard};
}

}  // namespace ez::cli
