// Queues: list and show topics, publish, peek, pause, resume, purge.
#include "http/api/queue_view.h"

namespace ez::http::api {
namespace {

using security::Permission;

constexpr std::size_t kMaxMessages = 1000;
constexpr std::uint64_t kPublishBody = 24ULL << 20;

Status list_queues(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({"namespace", "pattern", "limit", "cursor"}));
  EZ_ASSIGN([[maybe_unused]] queue::EmbeddedBus* const bus, queue_of(context));
  EZ_ASSIGN(const std::size_t limit, list_limit(request));
  const std::string* given = request.query.find("pattern");
  EZ_ASSIGN(const std::string pattern, pattern_of(request, given == nullptr ? "#" : *given));
  std::string after;
  if (const std::string* cursor = request.query.find("cursor")) after = *cursor;
  transfer(context, answer, [&context, answer, pattern, limit, after] {
    Value::List items;
    std::string next;
    for (const auto& [topic, view] : topic_views(context, pattern)) {
      const std::string name = bare_topic(topic);
      if (!after.empty() && name <= after) continue;
      if (items.size() == limit) {
        next = std::string(items.back().string_or("topic", ""));
        break;
      }
      items.push_back(view);
    }
    answer->list(items, next);
  });
  return {};
}

void answer_topic(Context& context, const DeferredPtr& answer, const std::string& topic) {
  transfer(context, answer, [&context, answer, topic] {
    const auto found = topic_views(context, topic);
    if (found.empty()) {
      answer->problem(Error(Code::TopicNotFound, "there is no topic " + topic));
    } else {
      answer->json(200, found.begin()->second);
    }
  });
}

Status show_queue(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN([[maybe_unused]] queue::EmbeddedBus* const bus, queue_of(context));
  EZ_ASSIGN(const std::string topic, topic_of(request));
  answer_topic(context, answer, topic);
  return {};
}

Value receipt_view(const Result<queue::Receipt>& receipt) {
  if (receipt.ok()) {
    return Value(Value::Map{{"id", Value(receipt->id)}, {"duplicate", Value(receipt->duplicate)}});
  }
  const Error& error = receipt.error();
  return Value(Value::Map{{"error", Value(Value::Map{{"code", Value(error.name())},
                                                     {"message", Value(error.message())},
                                                     {"retry", Value(error.retry())}})}});
}

Status publish(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(queue::EmbeddedBus* const bus, queue_of(context));
  EZ_ASSIGN(const std::string topic, topic_of(request));
  EZ_ASSIGN(const Value body, request.json_object());
  Fields fields(body);
  const Value::List& items = fields.list("messages", kMaxMessages);
  EZ_TRY(fields.done());
  if (items.empty()) return Error(Code::RequestInvalid, "messages: must have at least one");
  std::vector<queue::Message> messages;
  for (std::size_t i = 0; i < items.size(); ++i) {
    Fields one(items[i], "messages[" + std::to_string(i) + "]");
    queue::Message message = read_message(one);
    EZ_TRY(one.done());
    message.topic = topic;
    messages.push_back(std::move(message));
  }
  bus->publish(std::move(messages), [answer](const std::vector<Result<queue::Receipt>>& receipts) {
    // One message: its failure is the answer's.
    if (receipts.size() == 1 && !receipts[0].ok()) {
      answer->problem(receipts[0].error());
      return;
    }
    Value::List views;
    for (const auto& receipt : receipts) views.push_back(receipt_view(receipt));
    answer->json(200, Value(Value::Map{{"receipts", Value(std::move(views))}}));
  });
  return {};
}

Status peek(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({"namespace", "limit"}));
  EZ_ASSIGN(queue::EmbeddedBus* const bus, queue_of(context));
  EZ_ASSIGN(const std::string topic, topic_of(request));
  EZ_ASSIGN(const std::size_t limit, list_limit(request));
  transfer(context, answer, [answer, bus, topic, limit] {
    bus->peek(topic, limit, [answer](const Result<std::vector<queue::Delivery>>& found) {
      if (!found.ok()) {
        answer->problem(found.error());
        return;
      }
      Value::List items;
      for (const queue::Delivery& delivery : *found) items.push_back(message_view(delivery));
      answer->list(items, "");
    });
  });
  return {};
}

Status set_paused(Context& context, Request& request, const DeferredPtr& answer, bool on) {
  EZ_ASSIGN(queue::EmbeddedBus* const bus, queue_of(context));
  EZ_ASSIGN(const std::string topic, topic_of(request));
  bus->pause(topic, on, [&context, answer, topic](const Result<bool>& done) {
    if (!done.ok()) {
      answer->problem(done.error());
      return;
    }
    answer_topic(context, answer, topic);
  });
  return {};
}

Status pause(Context& context, Request& request, const DeferredPtr& answer) {
  return set_paused(context, request, answer, true);
}

Status resume(Context& context, Request& request, const DeferredPtr& answer) {
  return set_paused(context, request, answer, false);
}

// `confirm` has to repeat the topic's name: what is purged is gone.
Status purge(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(queue::EmbeddedBus* const bus, queue_of(context));
  EZ_ASSIGN(const std::string topic, topic_of(request));
  EZ_ASSIGN(const Value body, request.json_object());
  Fields fields(body);
  if (fields.line("confirm", queue::kMaxTopicBytes) != bare_topic(topic)) {
    fields.fail("confirm", "must repeat the name of the topic: what is purged is gone");
  }
  EZ_TRY(fields.done());
  bus->purge(topic, [answer](const Result<std::uint64_t>& removed) {
    if (!removed.ok()) {
      answer->problem(removed.error());
      return;
    }
    answer->json(200, Value(Value::Map{{"removed", Value(static_cast<std::int64_t>(*removed))}}));
  });
  return {};
}

}  // namespace

void add_queue_routes(Router& router, Context& context) {
  add_route(router, context, Method::kGet, "/v1/queues", Permission::kRunRead, "List topics", list_queues);
  add_route(router, context, Method::kGet, "/v1/queues/{topic}", Permission::kRunRead, "Show a topic",
            show_queue);
  add_route(router, context, Method::kPost, "/v1/queues/{topic}/messages", Permission::kRunStart,
            "Publish messages", publish, kPublishBody);
  add_route(router, context, Method::kGet, "/v1/queues/{topic}/messages", Permission::kRunRead,
            "Look at messages that wait", peek);
  add_route(router, context, Method::kPost, "/v1/queues/{topic}/pause", Permission::kRunControl,
            "Pause deliveries of a topic", pause);
  add_route(router, context, Method::kPost, "/v1/queues/{topic}/resume", Permission::kRunControl,
            "Resume deliveries of a topic", resume);
  add_route(router, context, Method::kPost, "/v1/queues/{topic}/purge", Permission::kRunControl,
            "Remove all messages that wait", purge);
  add_queue_consumer_routes(router, context);
  add_queue_tail_routes(router, context);
  add_dead_letter_routes(router, context);
  add_queue_backend_routes(router, context);
  add_queue_migration_routes(router, context);
}

}  // namespace ez::http::api
