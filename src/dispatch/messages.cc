#include "dispatch/messages.h"

#include "base/fields.h"
#include "base/json.h"
#include "base/json_text.h"
#include "base/sha256.h"
#include "core/command.pb.h"
#include "core/run.h"
#include "engine/work_item.h"

namespace ez::dispatch {
namespace {

constexpr std::size_t kMaxTaskKeyBytes = 128;

queue::Priority priority_of(const core::Run& run, const core::Task& task) {
  // The two have the same five, in the same order.
  return static_cast<queue::Priority>(run.definition_of(task).priority.value_or(run.priority));
}

std::string message_id(std::string_view what, const core::Lease& lease) {
  std::string id = std::string(what) + "/" + to_text(lease.run) + "/" + lease.task_key + "/" +
                   std::to_string(lease.attempt) + "/" + std::to_string(lease.fence.value);
  return id.size() <= queue::kMaxIdBytes ? id : std::string(what) + "/" + sha256_hex(id);
}

queue::Headers headers_of(const core::Lease& lease, const queue::DispatchConfig& config) {
  return {{"run", to_text(lease.run)},
          {"task", lease.task_key},
          {"attempt", std::to_string(lease.attempt)},
          {"fence", std::to_string(lease.fence.value)},
          {"kind", lease.merge ? "merge" : "execute"},
          {"agent-type", config.agent_type}};
}

}  // namespace

Result<queue::Message> task_message(const engine::WorkTask& task, const queue::DispatchConfig& config) {
  queue::Message out;
  out.id = message_id("task", task.lease);
  out.topic = config.topic;
  EZ_TRY(engine::append_work_item(out.payload, *task.run, task.lease));
  out.payload.pop_back();  // its last brace
  out.payload += ",\"reply_topic\":";
  append_json(out.payload, Value(config.replies));
  out.payload.push_back('}');
  out.headers = headers_of(task.lease, config);
  out.priority = priority_of(*task.run, task.run->tasks[task.lease.task]);
  return out;
}

queue::Message cancel_message(const core::Lease& lease, const std::string& reason,
                              const queue::DispatchConfig& config) {
  queue::Message out;
  out.id = message_id("cancel", lease);
  out.topic = config.cancels;
  out.headers = headers_of(lease, config);
  JsonText json(out.payload);
  json.begin('{').key("run").text(to_text(lease.run)).key("task").text(lease.task_key);
  json.key("attempt").number(lease.attempt).key("fence").number(lease.fence.value);
  json.key("reason").text(reason).end('}');
  return out;
}

Result<Reply> read_reply(const std::string& payload, const storage::BlobStore& blobs) {
  EZ_ASSIGN(const Value value, parse_json(payload));
  Fields fields(value, "reply", false);
  Reply out;
  out.fence = Fence{static_cast<std::uint64_t>(fields.need_number("fence", 1, INT64_MAX))};
  const auto run = parse_run_id(fields.need_line("run", 32));
  if (!run) fields.fail("run", "must be the id of a run, such as r12");
  const std::string task = fields.need_line("task", kMaxTaskKeyBytes);
  const auto attempt = static_cast<std::uint32_t>(fields.need_number("attempt", 1, UINT32_MAX));
  out.progress = fields.line("kind", 16) == "progress";
  if (out.progress) out.log = fields.text("log", queue::kMaxPayloadBytes);
  EZ_TRY(fields.done());
  out.attempt = {*run, task, attempt};
  if (out.progress) return out;
  auto result = engine::read_work_result(value, "reply", blobs);
  if (result.ok()) {
    out.result = std::move(result).value();
    return out;
  }
  const Code code = result.error().code();
  if (code != Code::PayloadTooLarge && code != Code::BlobNotFound) return result.error();
  out.refused = result.error();
  return out;
}

core::pb::Command refused_result(const Reply& reply) {
  core::pb::Command command;
  core::pb::ReportResult& result = *command.mutable_report_result();
  result.set_fence(reply.fence.value);
  result.set_run(reply.attempt.run.value);
  result.set_outcome(core::pb::ReportResult::FAILED);
  result.set_error_code(std::string(reply.refused->name()));
  result.set_error_message(reply.refused->message());
  return command;
}

}  // namespace ez::dispatch
