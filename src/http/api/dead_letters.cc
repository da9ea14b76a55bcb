// Dead letters: list, show, redrive, discard.
#include "http/api/queue_view.h"

namespace ez::http::api {
namespace {

using security::Permission;

constexpr std::size_t kMaxNumbers = 10'000;

Result<queue::DeadLetterFilter> filter_of(const Request& request, const std::string& topic) {
  queue::DeadLetterFilter filter;
  EZ_ASSIGN(filter.topic, pattern_of(request, topic.empty() ? "#" : topic));
  return filter;
}

Status list_dead(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({"namespace", "topic", "group", "reason", "limit", "cursor"}));
  EZ_ASSIGN(queue::EmbeddedBus* const bus, queue_of(context));
  const auto given = [&](std::string_view name) {
    const std::string* found = request.query.find(name);
    return found == nullptr ? std::string() : *found;
  };
  EZ_ASSIGN(queue::DeadLetterFilter filter, filter_of(request, given("topic")));
  filter.group = given("group");
  filter.reason = given("reason");
  EZ_ASSIGN(const std::size_t limit, list_limit(request));
  EZ_ASSIGN(const auto cursor, read_cursor('d', request, 1));
  if (!cursor.empty()) filter.after = cursor[0];
  filter.limit = limit + 1;
  transfer(context, answer, [answer, bus, filter, limit] {
    auto found = bus->dead_letters(filter);
    if (!found.ok()) {
      answer->problem(found.error());
      return;
    }
    Value::List items;
    for (const queue::DeadLetterView& letter : *found) {
      if (items.size() == limit) break;
      items.push_back(dead_letter_view(letter));
    }
    const bool more = found->size() > limit;
    answer->list(items, more ? make_cursor('d', {(*found)[limit - 1].number}) : "");
  });
  return {};
}

Status show_dead(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(queue::EmbeddedBus* const bus, queue_of(context));
  EZ_ASSIGN(queue::DeadLetterFilter filter, filter_of(request, ""));
  const std::string& text = request.parameter("number");
  if (text.empty() || text.size() > 18 || text.find_first_not_of("0123456789") != std::string::npos) {
    return Error(Code::MessageNotFound, "'" + text.substr(0, 64) + "' is no number of a dead letter");
  }
  filter.numbers = {std::stoull(text)};
  transfer(context, answer, [answer, bus, filter, text] {
    auto found = bus->dead_letters(filter);
    if (!found.ok()) {
      answer->problem(found.error());
    } else if (found->empty()) {
      answer->problem(Error(Code::MessageNotFound, "there is no dead letter " + text));
    } else {
      answer->json(200, dead_letter_view(found->front()));
    }
  });
  return {};
}

// The numbers that a request means, in the caller's namespace: those it lists, or all that match its filter.
Status read_choice(const Request& request, Fields& fields, queue::DeadLetterFilter& filter) {
  for (const Value& item : fields.list("numbers", kMaxNumbers)) {
    if (item.is_int() && item.as_int() > 0) {
      filter.numbers.push_back(static_cast<std::uint64_t>(item.as_int()));
    } else {
      fields.fail("numbers", "must be numbers of dead letters");
    }
  }
  const bool all = fields.flag("all", false);
  const std::string topic = fields.line("topic", queue::kMaxTopicBytes);
  filter.group = fields.line("group", 64);
  filter.reason = fields.text("reason", 300);
  filter.limit = static_cast<std::size_t>(fields.number("limit", kMaxNumbers, 1, kMaxNumbers));
  const bool filtered = !topic.empty() || !filter.group.empty() || !filter.reason.empty();
  if (!all && !filtered && filter.numbers.empty()) {
    fields.fail("numbers", "or a topic, group or reason, or all must be given");
  }
  EZ_TRY(fields.done());
  EZ_ASSIGN(filter.topic, pattern_of(request, topic.empty() ? "#" : topic));
  return {};
}

Status change(Context& context, Request& request, const DeferredPtr& answer, bool redrive) {
  EZ_ASSIGN(queue::EmbeddedBus* const bus, queue_of(context));
  EZ_ASSIGN(const Value body, request.json_object());
  Fields fields(body);
  queue::DeadLetterFilter filter;
  EZ_TRY(read_choice(request, fields, filter));
  transfer(context, answer, [answer, bus, filter, redrive] {
    std::vector<std::uint64_t> numbers = bus->dead_numbers(filter);
    if (numbers.empty() && !filter.numbers.empty()) {
      answer->problem(Error(Code::MessageNotFound, "none of these dead letters is there"));
      return;
    }
    const auto done = [answer, redrive](const Result<std::uint64_t>& count) {
      if (!count.ok()) {
        answer->problem(count.error());
        return;
      }
      answer->json(
          200,
          Value(Value::Map{{redrive ? "redriven" : "discarded", Value(static_cast<std::int64_t>(*count))}}));
    };
    if (redrive) {
      bus->redrive(std::move(numbers), done);
    } else {
      bus->discard(std::move(numbers), done);
    }
  });
  return {};
}

Status redrive(Context& context, Request& request, const DeferredPtr& answer) {
  return change(context, request, answer, true);
}

Status discard(Context& context, Request& request, const DeferredPtr& answer) {
  return change(context, request, answer, false);
}

}  // namespace

void add_dead_letter_routes(Router& router, Context& context) {
  add_route(router, context, Method::kGet, "/v1/dead-letters", Permission::kRunRead, "List dead letters",
            list_dead);
  add_route(router, context, Method::kGet, "/v1/dead-letters/{number}", Permission::kRunRead,
            "Show a dead letter", show_dead);
  add_route(router, context, Method::kPost, "/v1/dead-letters/redrive", Permission::kRunControl,
            "Give dead letters back to their group", redrive);
  add_route(router, context, Method::kPost, "/v1/dead-letters/discard", Permission::kRunControl,
            "Discard dead letters", discard);
}

}  // namespace ez::http::api
