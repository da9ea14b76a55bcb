#include "engine/import.h"

#include "base/sha256.h"
#include "core/snapshot.h"
#include "core/snapshot.pb.h"
#include "engine/resume.h"
#include "orchestration/labels.h"

namespace ez::engine {
namespace {

constexpr std::size_t kOriginDigits = 40;

Result<core::pb::Run> parse(std::string_view record) {
  core::pb::Run run;
  if (record.size() > kMaxImportedBytes ||
      !run.ParseFromArray(record.data(), static_cast<int>(record.size())) || run.id() == 0 ||
      run.state() >= static_cast<std::uint32_t>(core::kRunStates)) {
    return Error(Code::RequestInvalid, "record: it is not that of a run");
  }
  return run;
}

std::string origin_of(const core::pb::Run& run) {
  // A run that was itself imported keeps where it came from.
  for (const core::pb::Label& label : run.labels()) {
    if (label.name() == orchestration::kOriginLabel) return label.value();
  }
  const std::string identity = run.namespace_() + "\n" + run.workflow() + "\n" + std::to_string(run.id()) +
                               "\n" + std::to_string(run.created_ms()) + "\n" + run.principal() + "\n" +
                               run.inputs();
  return to_text(RunId{run.id()}) + "-" + sha256_hex(identity).substr(0, kOriginDigits);
}

}  // namespace

Result<ImportedRun> look_at_record(std::string_view record) {
  EZ_ASSIGN(const core::pb::Run run, parse(record));
  ImportedRun out;
  out.origin = origin_of(run);
  out.workflow = run.workflow();
  const auto state = static_cast<core::RunState>(run.state());
  out.state = core::to_text(state);
  out.live = !core::is_terminal(state);
  out.finished_ms = run.finished_ms();
  if (!orchestration::is_label_value(out.origin))
    return Error(Code::RequestInvalid, "record: it says no usable origin");
  return out;
}

Result<core::pb::Command> import_command(std::string_view record, const std::string& name_space,
                                         std::uint32_t version, const std::string& principal,
                                         const core::State& state) {
  EZ_ASSIGN(core::pb::Run run, parse(record));
  const std::string origin = origin_of(run);
  core::pb::Command command;
  if (core::is_terminal(static_cast<core::RunState>(run.state()))) {
    core::pb::ImportRun& body = *command.mutable_import_run();
    body.set_record(record.data(), record.size());
    body.set_namespace_(name_space);
    body.set_workflow(run.workflow());
    body.set_version(version);
    body.set_origin(origin);
    body.set_principal(principal);
    return command;
  }
  run.set_namespace_(name_space);
  run.set_version(version);
  auto decoded = core::decode_run(run.SerializeAsString(), state);
  if (!decoded.ok()) {
    if (decoded.error().code() == Code::WorkflowNotFound) return decoded.error();
    return Error(Code::RequestInvalid, "record: " + decoded.error().message());
  }
  core::pb::StartRun start = continue_command(*decoded);
  start.clear_resumed_from();  // that number is another run here
  start.set_principal(principal);
  start.set_idempotency_key("ez/import/" + origin);
  bool labelled = false;
  for (const core::pb::Label& label : start.labels())
    labelled = labelled || label.name() == orchestration::kOriginLabel;
  if (!labelled) {
    core::pb::Label* label = start.add_labels();
    label->set_name(std::string(orchestration::kOriginLabel));
    label->set_value(origin);
  }
  *command.mutable_start_run() = std::move(start);
  return command;
}

}  // namespace ez::engine
