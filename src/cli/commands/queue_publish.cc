// queue publish: one message from the command line, or many from standard input.
#include <unistd.h>
#include <iostream>

#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/commands/queue.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

constexpr std::size_t kBatch = 500;
constexpr std::size_t kBatchBytes = 4 * 1024 * 1024;

// What all messages of the call have in common.
Result<Value> common(const Arguments& arguments) {
  Value out(Value::Map{});
  for (const char* name : {"id", "key", "priority"}) {
    if (arguments.has(name)) out.set(name, Value(arguments.text(name)));
  }
  EZ_ASSIGN(const std::int64_t delay_ms, duration_of(arguments, "delay", 0));
  EZ_ASSIGN(const std::int64_t ttl_ms, duration_of(arguments, "ttl", 0));
  if (delay_ms > 0) out.set("delay_ms", Value(delay_ms));
  if (ttl_ms > 0) out.set("ttl_ms", Value(ttl_ms));
  Value::Map headers;
  for (const std::string& header : arguments.all("header")) {
    const auto at = header.find('=');
    if (at == std::string::npos || at == 0) {
      return Error(Code::InvalidArgument, "--header is '" + printable(header) + "', not NAME=VALUE");
    }
    headers.emplace_back(header.substr(0, at), Value(header.substr(at + 1)));
  }
  if (!headers.empty()) out.set("headers", Value(std::move(headers)));
  return out;
}

struct Totals {
  std::int64_t published = 0;
  std::int64_t duplicates = 0;
  std::vector<std::string> ids;
};

Status send(Api& api, const std::string& topic, Value::List& batch, Totals& totals) {
  if (batch.empty()) return {};
  Value body(Value::Map{{"messages", Value(std::exchange(batch, {}))}});
  EZ_ASSIGN(const Value answer, api.post(queue_target(topic, "messages"), body));
  for (const Value& receipt : answer.find("receipts")->as_list()) {
    if (const Value* error = receipt.find("error")) {
      const CodeInfo* code = find_code(error->string_or("code", ""));
      return Error(code == nullptr ? Code::Internal : code->code,
                   std::string(error->string_or("message", "")));
    }
    ++totals.published;
    if (receipt.bool_or("duplicate", false)) ++totals.duplicates;
    if (totals.ids.size() < 2) totals.ids.emplace_back(receipt.string_or("id", ""));
  }
  return {};
}

Result<int> publish(Session& session, const Arguments& arguments) {
  const std::string topic = arguments.text("TOPIC");
  EZ_ASSIGN(const Value shape, common(arguments));
  EZ_ASSIGN(const auto api, session.connect(arguments));
  Totals totals;
  Value::List batch;
  if (arguments.has("PAYLOAD") && arguments.text("PAYLOAD") != "-") {
    Value message = shape;
    message.set("payload", Value(arguments.text("PAYLOAD")));
    batch.push_back(std::move(message));
  } else {
    if (arguments.has("id")) {
      return Error(Code::InvalidArgument, "--id names one message, and standard input may hold many");
    }
    std::size_t bytes = 0;
    for (std::string line; std::getline(std::cin, line);) {
      if (line.empty()) continue;
      Value message = shape;
      message.set("payload", Value(line));
      bytes += line.size();
      batch.push_back(std::move(message));
      if (batch.size() < kBatch && bytes < kBatchBytes) continue;
      EZ_TRY(send(*api, topic, batch, totals));
      bytes = 0;
    }
  }
  EZ_TRY(send(*api, topic, batch, totals));
  if (arguments.has("json")) {
    Value out(Value::Map{{"published", Value(totals.published)}, {"duplicates", Value(totals.duplicates)}});
    if (totals.ids.size() == 1) out.set("id", Value(totals.ids[0]));
    session.out << to_json(out) << "\n";
  } else if (totals.ids.size() == 1) {
    session.out << totals.ids[0] << (totals.duplicates > 0 ? " (was published before)" : "") << "\n";
  } else {
    session.out << totals.published << " messages published to " << printable(topic) << "\n";
  }
  return kExitOk;
}

}  // namespace

Command queue_publish_command() {
  return {"queue publish",
          "Publish a message, or each line of standard input as one",
          "  ez queue publish orders.new '{\"customer\": 7}' --id order-1 --key customer-7\n"
          "  ez queue publish jobs < lines.txt\n",
          {{"--id", "ID", "its id; publishing the same id again changes nothing"},
           {"--key", "KEY", "messages of one key keep their order"},
           {"--header", "NAME=VALUE", "a header; may be given several times", true},
           {"--priority", "P", "critical, high, normal, low or deferred (normal)"},
           {"--delay", "TIME", "not delivered earlier than after this: 30s, 5m"},
           {"--ttl", "TIME", "not delivered later than after this"},
           {"--json", "", "as JSON"}},
          {{"TOPIC", "the topic; made when it is new"},
           {"PAYLOAD", "the text; - or nothing: standard input", false}},
          true,
          publish};
}

}  // namespace ez::cli
