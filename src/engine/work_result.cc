#include "engine/work_result.h"

#include <algorithm>

#include "base/fields.h"
#include "base/json.h"
#include "core/run.h"
#include "telemetry/text.h"

namespace ez::engine {
namespace {

using core::pb::ReportResult;

constexpr std::size_t kMaxRefBytes = 256;
constexpr std::int64_t kMaxMicrousd = 1'000'000'000'000'000;
constexpr std::int64_t kMaxFiles = 10'000'000;
constexpr std::int64_t kMaxArtifactSize = 1LL << 40;

// A text for people: shortened and mended where it has to be.
std::string loose_text(Fields& fields, std::string_view key, std::size_t limit) {
  const Value value = fields.any(key);
  if (value.is_null()) return {};
  if (!value.is_string()) {
    fields.fail(key, "must be a string, not " + std::string(kind_name(value.kind())));
    return {};
  }
  std::string text(telemetry::utf8_prefix(value.as_string(), limit));
  std::replace(text.begin(), text.end(), '\0', ' ');
  return text;
}

// A git object name (SHA-1 or SHA-256); empty when absent.
std::string object_name(Fields& fields, std::string_view key) {
  std::string text = fields.line(key, 64);
  const bool digits = text.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!text.empty() && (!digits || (text.size() != 40 && text.size() != 64))) {
    fields.fail(key, "must be a git object name of 40 or 64 lower-case hexadecimal digits");
  }
  return text;
}

// An empty text is the same as none, and most are: a message keeps no storage for what was never set.
template <typename Set>
void set_text(std::string text, Set set) {
  if (!text.empty()) set(std::move(text));
}

void read_outcome(Fields& fields, ReportResult& result) {
  const std::string outcome = fields.need_line("outcome", 16);
  if (outcome == "succeeded") {
    result.set_outcome(ReportResult::SUCCEEDED);
  } else if (outcome == "failed") {
    result.set_outcome(ReportResult::FAILED);
  } else if (outcome == "cancelled") {
    result.set_outcome(ReportResult::CANCELLED);
  } else if (outcome == "conflict") {
    result.set_outcome(ReportResult::CONFLICT);
  } else {
    fields.fail("outcome", "must be succeeded, failed, cancelled or conflict");
  }
}

void read_output(Fields& fields, ReportResult& result) {
  const Value output = fields.any("output");
  if (!output.is_null()) result.set_output(to_json(output));
  if (result.output().size() > core::kMaxInlineBytes) {
    fields.fail(Error(Code::PayloadTooLarge,
                      fields.name_of("output") + ": it has " + std::to_string(result.output().size()) +
                          " bytes; at most " + std::to_string(core::kMaxInlineBytes) + " are allowed",
                      "PUT it to /v1/artifacts/{sha256} and name it as output_blob."));
  }
  set_text(fields.sha256("output_blob"), [&](std::string text) { result.set_output_blob(std::move(text)); });
  if (!result.output().empty() && !result.output_blob().empty()) {
    fields.fail("output_blob", "give either output or output_blob");
  }
}

Status read_error(Fields& fields, const std::string& where, ReportResult& result) {
  const Value error = fields.any("error");
  if (error.is_null()) return {};
  Fields inner(error, where + ".error", false);
  result.set_error_code(inner.line("code", 64));
  result.set_error_message(loose_text(inner, "message", kMaxErrorBytes));
  return inner.done();
}

Status read_artifacts(Fields& fields, const std::string& where, ReportResult& result) {
  const Value::List& artifacts = fields.list("artifacts", kMaxArtifacts);
  for (std::size_t i = 0; i < artifacts.size(); ++i) {
    Fields inner(artifacts[i], where + ".artifacts[" + std::to_string(i) + "]", false);
    core::pb::Artifact& artifact = *result.add_artifacts();
    artifact.set_name(inner.need_line("name", kMaxArtifactNameBytes));
    artifact.set_sha256(inner.sha256("sha256"));
    artifact.set_size(static_cast<std::uint64_t>(inner.number("size", 0, 0, kMaxArtifactSize)));
    if (artifact.sha256().empty()) inner.fail("sha256", "is missing");
    EZ_TRY(inner.done());
  }
  return {};
}

Status read_resolution(Fields& fields, const std::string& where, ReportResult& result) {
  const Value value = fields.any("resolver");
  if (value.is_null()) return {};
  Fields inner(value, where + ".resolver", false);
  ReportResult::Resolution& out = *result.mutable_resolution();
  out.set_agent_type(inner.need_line("agent_type", 63));
  const Value::List& tries = inner.list("tries", orchestration::kMaxResolverTries);
  for (std::size_t i = 0; i < tries.size(); ++i) {
    Fields each(tries[i], where + ".resolver.tries[" + std::to_string(i) + "]", false);
    ReportResult::Resolution::Try& slot = *out.add_tries();
    const Value error = each.any("error");
    EZ_TRY(each.done());
    if (error.is_null()) continue;
    Fields why(error, where + ".resolver.tries[" + std::to_string(i) + "].error", false);
    slot.set_error_code(why.need_line("code", 64));
    slot.set_error_message(loose_text(why, "message", kMaxErrorBytes));
    EZ_TRY(why.done());
  }
  return inner.done();
}

Status check_stored(const storage::BlobStore& blobs, const std::string& where, const ReportResult& result) {
  const auto check = [&](const std::string& sha256, const std::string& field) -> Status {
    if (const auto found = blobs.stat(sha256); !found.ok()) {
      return Error(found.error().code(), where + field + ": " + found.error().message(),
                   "PUT the bytes to /v1/artifacts/{sha256} before the result.");
    }
    return {};
  };
  if (!result.output_blob().empty()) EZ_TRY(check(result.output_blob(), ".output_blob"));
  for (int i = 0; i < result.artifacts_size(); ++i) {
    EZ_TRY(check(result.artifacts(i).sha256(), ".artifacts[" + std::to_string(i) + "]"));
  }
  return {};
}

}  // namespace

Result<WorkResult> read_work_result(const Value& value, const std::string& where,
                                    const storage::BlobStore& blobs) {
  Fields fields(value, where, false);
  WorkResult out;
  ReportResult& result = out.report;
  result.set_fence(static_cast<std::uint64_t>(fields.need_number("fence", 1, INT64_MAX)));
  const auto run = parse_run_id(fields.need_line("run", 32));
  if (!run) fields.fail("run", "must be the id of a run, such as r12");
  if (run) result.set_run(run->value);
  const std::string task = fields.need_line("task", 128);
  const auto attempt = static_cast<std::uint32_t>(fields.need_number("attempt", 1, UINT32_MAX));
  const std::string kind = fields.line("kind", 16);
  if (!kind.empty() && kind != "execute" && kind != "merge") fields.fail("kind", "must be execute or merge");
  read_outcome(fields, result);
  read_output(fields, result);
  if (const Status status = read_error(fields, where, result); !status.ok()) fields.fail(status.error());
  result.set_final(fields.flag("final", false));
  result.set_exit_code(static_cast<std::int32_t>(fields.number("exit_code", 0, INT32_MIN, INT32_MAX)));
  if (const Status status = read_artifacts(fields, where, result); !status.ok()) fields.fail(status.error());
  if (kind == "merge") {
    if (const Status status = read_resolution(fields, where, result); !status.ok())
      fields.fail(status.error());
  }
  result.set_keep_artifacts(result.outcome() != ReportResult::SUCCEEDED && result.artifacts_size() > 0);
  set_text(fields.line("branch", kMaxRefBytes),
           [&](std::string text) { result.set_branch(std::move(text)); });
  set_text(object_name(fields, "commit"), [&](std::string text) { result.set_commit(std::move(text)); });
  set_text(object_name(fields, "base"), [&](std::string text) { result.set_base(std::move(text)); });
  set_text(object_name(fields, "head"), [&](std::string text) { result.set_head(std::move(text)); });
  result.set_changed_files(static_cast<std::uint32_t>(fields.number("changed_files", 0, 0, kMaxFiles)));
  result.set_cost_microusd(fields.number("cost_microusd", 0, 0, kMaxMicrousd));
  set_text(loose_text(fields, "conflict", core::kMaxInlineBytes),
           [&](std::string text) { result.set_conflict(std::move(text)); });
  EZ_TRY(fields.done());
  EZ_TRY(check_stored(blobs, where, result));
  const bool succeeded = result.outcome() == ReportResult::SUCCEEDED;
  const bool goes_on = result.outcome() == ReportResult::CONFLICT ||
                       (succeeded && kind != "merge" && !result.commit().empty());
  out.attempt = {*run, task, attempt};
  out.merge = kind == "merge";
  out.ends = !goes_on;
  return out;
}

core::pb::Command unmakeable_item(const core::Lease& lease, const Error& error) {
  core::pb::Command command;
  ReportResult& result = *command.mutable_report_result();
  result.set_fence(lease.fence.value);
  result.set_run(lease.run.value);
  result.set_outcome(ReportResult::FAILED);
  result.set_final(true);
  result.set_error_code(std::string(error.name()));
  result.set_error_message(error.message());
  return command;
}

}  // namespace ez::engine
