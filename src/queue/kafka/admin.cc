// What a Client asks of the cluster itself: topics, offsets, groups.
#include <librdkafka/rdkafka.h>

#include <array>

#include "base/check.h"
#include "base/clock.h"
#include "queue/kafka/client.h"

namespace ez::queue::kafka {
namespace {

constexpr int kAskAgainMs = 20;  // a new topic has no leader for a moment

bool has_no_leader_yet(rd_kafka_resp_err_t code) {
  return code == RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION || code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
}

struct FreeOptions {
  void operator()(rd_kafka_AdminOptions_t* options) const { ::rd_kafka_AdminOptions_destroy(options); }
};
using AdminOptions = std::unique_ptr<rd_kafka_AdminOptions_t, FreeOptions>;

AdminOptions admin_options(const Client& client, rd_kafka_admin_op_t operation, bool wait) {
  AdminOptions out(::rd_kafka_AdminOptions_new(client.get(), operation));
  std::array<char, 256> text{};
  ::rd_kafka_AdminOptions_set_request_timeout(out.get(), client.patience_ms(), text.data(), text.size());
  if (wait) {
    ::rd_kafka_AdminOptions_set_operation_timeout(out.get(), client.patience_ms(), text.data(), text.size());
  }
  return out;
}

Partitions list_of_partitions(const std::string& topic, int count, std::int64_t offset) {
  Partitions out(::rd_kafka_topic_partition_list_new(count));
  for (int i = 0; i < count; ++i) {
    ::rd_kafka_topic_partition_list_add(out.get(), topic.c_str(), i)->offset = offset;
  }
  return out;
}

Queue new_queue(const Client& client) { return Queue(::rd_kafka_queue_new(client.get())); }

}  // namespace

Result<Event> Client::answer(rd_kafka_queue_s* queue, int type, const char* what) {
  // librdkafka's own timeout comes first.
  Event event(::rd_kafka_queue_poll(queue, 3 * patience_ms()));
  EZ_TRY(check());
  if (!event) return Error(Code::QueueUnreachable, std::string(what) + ": no answer in time");
  if (::rd_kafka_event_type(event.get()) != type) {
    return Error(Code::QueueProtocol, std::string(what) + ": another answer was expected");
  }
  const auto code = ::rd_kafka_event_error(event.get());
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    const char* text = ::rd_kafka_event_error_string(event.get());
    return to_error(code, what, text != nullptr ? text : "");
  }
  return event;
}

Result<int> Client::partitions(const std::string& topic) {
  rd_kafka_topic_t* handle = ::rd_kafka_topic_new(get(), topic.c_str(), nullptr);
  if (handle == nullptr) return to_error(::rd_kafka_last_error(), "topic " + topic);
  const std::int64_t end = system_clock().monotonic_us() + std::int64_t{patience_ms()} * 1000;
  Result<int> out = 0;
  while (true) {
    const struct rd_kafka_metadata* metadata = nullptr;
    const auto code = ::rd_kafka_metadata(get(), 0, handle, &metadata, patience_ms());
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
      out = to_error(code, "topic " + topic);
      break;
    }
    bool settled = metadata->topic_cnt == 1;
    if (settled) {
      const rd_kafka_metadata_topic& found = metadata->topics[0];
      settled = found.err == RD_KAFKA_RESP_ERR_NO_ERROR;
      for (int i = 0; i < found.partition_cnt; ++i) settled = settled && found.partitions[i].leader >= 0;
      out = found.partition_cnt;
      if (is_missing(found.err)) {
        out = 0;
        settled = true;
      } else if (found.err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) {
        out = to_error(found.err, "topic " + topic);
        settled = true;
      }
    }
    ::rd_kafka_metadata_destroy(metadata);
    if (settled) break;
    if (system_clock().monotonic_us() > end) {
      out = Error(Code::QueueUnreachable, "topic " + topic + " has no leader");
      break;
    }
    ::rd_kafka_poll(get(), kAskAgainMs);
  }
  ::rd_kafka_topic_destroy(handle);
  return out;
}

Result<bool> Client::make_topic(const TopicSettings& settings) {
  std::array<char, 256> text{};
  rd_kafka_NewTopic_t* topic = ::rd_kafka_NewTopic_new(settings.name.c_str(), settings.partitions,
                                                       options().replicas, text.data(), text.size());
  if (topic == nullptr) return Error(Code::InvalidArgument, text.data());
  const std::string retention = std::to_string(settings.retention_ms);
  const std::string largest = std::to_string(options().max_message_bytes);
  ::rd_kafka_NewTopic_set_config(topic, "retention.ms", retention.c_str());
  ::rd_kafka_NewTopic_set_config(topic, "retention.bytes", "-1");
  ::rd_kafka_NewTopic_set_config(topic, "cleanup.policy", "delete");
  ::rd_kafka_NewTopic_set_config(topic, "max.message.bytes", largest.c_str());
  // Our own offsets are counted in messages of these times.
  ::rd_kafka_NewTopic_set_config(topic, "message.timestamp.type", "CreateTime");
  const Queue queue = new_queue(*this);
  const AdminOptions wanted = admin_options(*this, RD_KAFKA_ADMIN_OP_CREATETOPICS, true);
  ::rd_kafka_CreateTopics(get(), &topic, 1, wanted.get(), queue.get());
  ::rd_kafka_NewTopic_destroy(topic);
  EZ_ASSIGN(const Event event, answer(queue.get(), RD_KAFKA_EVENT_CREATETOPICS_RESULT, "CreateTopics"));
  std::size_t count = 0;
  const auto* const* results =
      ::rd_kafka_CreateTopics_result_topics(::rd_kafka_event_CreateTopics_result(event.get()), &count);
  EZ_CHECK(count == 1, "librdkafka answered for another number of topics");
  const auto code = ::rd_kafka_topic_result_error(results[0]);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR && code != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
    const char* why = ::rd_kafka_topic_result_error_string(results[0]);
    return to_error(code, "topic " + settings.name, why != nullptr ? why : "");
  }
  EZ_TRY(see_topic(settings.name));
  return code == RD_KAFKA_RESP_ERR_NO_ERROR;
}

Status Client::see_topic(const std::string& name) {
  // The controller has made it; the broker that is asked hears of it a little later. librdkafka remembers for
  // a moment that there was no such topic, and a consumer that subscribes within that moment asks again only
  // when its metadata is due: nobody would read the topic until then.
  const std::int64_t end = system_clock().monotonic_us() + std::int64_t{patience_ms()} * 1000;
  while (true) {
    EZ_ASSIGN(const int count, partitions(name));
    if (count > 0) return {};
    if (system_clock().monotonic_us() > end) {
      return Error(Code::QueueUnreachable, "Kafka does not show the topic " + name + ", which was made");
    }
    ::rd_kafka_poll(get(), kAskAgainMs);
  }
}

Status Client::make_topics(const std::vector<TopicSettings>& all) {
  for (const TopicSettings& settings : all) {
    EZ_ASSIGN(const int count, partitions(settings.name));
    if (count > 0) continue;
    auto made = make_topic(settings);
    if (!made.ok()) return made.error();
  }
  return {};
}

Result<std::vector<std::int64_t>> Client::offsets(const std::string& topic, int count, std::int64_t which) {
  const std::int64_t end = system_clock().monotonic_us() + std::int64_t{patience_ms()} * 1000;
  while (true) {
    const Partitions list = list_of_partitions(topic, count, which);
    auto code = ::rd_kafka_offsets_for_times(get(), list.get(), patience_ms());
    EZ_TRY(check());
    std::vector<std::int64_t> out;
    for (int i = 0; i < list->cnt && code == RD_KAFKA_RESP_ERR_NO_ERROR; ++i) {
      code = list->elems[i].err;
      out.push_back(list->elems[i].offset);
    }
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return out;
    if (!has_no_leader_yet(code) || system_clock().monotonic_us() > end) {
      return to_error(code, "offsets of " + topic);
    }
    ::rd_kafka_poll(get(), kAskAgainMs);
  }
}

Result<std::vector<std::int64_t>> Client::ends(const std::string& topic, int count) {
  return offsets(topic, count, RD_KAFKA_OFFSET_END);
}
Result<std::vector<std::int64_t>> Client::begins(const std::string& topic, int count) {
  return offsets(topic, count, RD_KAFKA_OFFSET_BEGINNING);
}

Status Client::delete_records(const std::string& topic, const std::vector<std::int64_t>& before) {
  const std::int64_t end = system_clock().monotonic_us() + std::int64_t{patience_ms()} * 1000;
  while (true) {
    EZ_ASSIGN(const int refused, ask_to_delete(topic, before));
    const auto code = static_cast<rd_kafka_resp_err_t>(refused);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
    if (!has_no_leader_yet(code) || system_clock().monotonic_us() > end) {
      return to_error(code, "records of " + topic);
    }
    ::rd_kafka_poll(get(), kAskAgainMs);
  }
}

Result<int> Client::ask_to_delete(const std::string& topic, const std::vector<std::int64_t>& before) {
  const Partitions list = list_of_partitions(topic, static_cast<int>(before.size()), 0);
  for (int i = 0; i < list->cnt; ++i) list->elems[i].offset = before[static_cast<std::size_t>(i)];
  rd_kafka_DeleteRecords_t* request = ::rd_kafka_DeleteRecords_new(list.get());
  const Queue queue = new_queue(*this);
  const AdminOptions wanted = admin_options(*this, RD_KAFKA_ADMIN_OP_DELETERECORDS, true);
  ::rd_kafka_DeleteRecords(get(), &request, 1, wanted.get(), queue.get());
  ::rd_kafka_DeleteRecords_destroy(request);
  EZ_ASSIGN(const Event event, answer(queue.get(), RD_KAFKA_EVENT_DELETERECORDS_RESULT, "DeleteRecords"));
  const auto* offsets =
      ::rd_kafka_DeleteRecords_result_offsets(::rd_kafka_event_DeleteRecords_result(event.get()));
  for (int i = 0; offsets != nullptr && i < offsets->cnt; ++i) {
    if (offsets->elems[i].err != RD_KAFKA_RESP_ERR_NO_ERROR) return static_cast<int>(offsets->elems[i].err);
  }
  return static_cast<int>(RD_KAFKA_RESP_ERR_NO_ERROR);
}

Result<std::vector<Client::Committed>> Client::committed(const std::string& topic, int count) {
  const Partitions list = list_of_partitions(topic, count, RD_KAFKA_OFFSET_INVALID);
  const auto code = ::rd_kafka_committed(get(), list.get(), patience_ms());
  EZ_TRY(check());
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(code, "offsets of " + topic);
  std::vector<Committed> out(static_cast<std::size_t>(count));
  for (int i = 0; i < list->cnt; ++i) {
    const rd_kafka_topic_partition_t& one = list->elems[i];
    if (one.err != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(one.err, "offsets of " + topic);
    if (one.partition < 0 || one.partition >= count || one.offset < 0) continue;
    Committed& place = out[static_cast<std::size_t>(one.partition)];
    place.offset = one.offset;
    if (one.metadata != nullptr) {
      place.text.assign(static_cast<const char*>(one.metadata), one.metadata_size);
    }
  }
  return out;
}

Status Client::commit(const std::string& topic, const std::vector<std::int64_t>& offsets) {
  const Partitions list = list_of_partitions(topic, static_cast<int>(offsets.size()), 0);
  for (int i = 0; i < list->cnt; ++i) list->elems[i].offset = offsets[static_cast<std::size_t>(i)];
  const Queue queue = new_queue(*this);
  const auto code = ::rd_kafka_commit_queue(get(), list.get(), queue.get(), nullptr, nullptr);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(code, "offsets of " + topic);
  auto event = answer(queue.get(), RD_KAFKA_EVENT_OFFSET_COMMIT, "OffsetCommit");
  const auto* done = event.ok() ? ::rd_kafka_event_topic_partition_list(event->get()) : nullptr;
  for (int i = 0; done != nullptr && i < done->cnt; ++i) {
    if (done->elems[i].err == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID) return {};
    if (done->elems[i].err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      return to_error(done->elems[i].err, "offsets of " + topic);
    }
  }
  if (!event.ok() && event.error().message().find("UNKNOWN_MEMBER_ID") != std::string::npos) return {};
  return event.ok() ? Status() : Status(event.error());
}

}  // namespace ez::queue::kafka
