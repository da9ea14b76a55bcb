#include "agents/llm/llm_runner.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>

#include "agents/llm/attempt_log.h"
#include "agents/llm/command_tool.h"
#include "agents/llm/file_tools.h"
#include "agents/llm/loop.h"
#include "agents/llm/model_client.h"
#include "agents/llm/prompts.h"
#include "agents/llm/transcript.h"
#include "agents/mcp/mcp_tools.h"
#include "base/json.h"

namespace ez::agents {
namespace {

using std::chrono::milliseconds;
constexpr std::uint64_t kMiB = 1024 * 1024;
constexpr milliseconds kBrokenPause{500};  // doubles

// No retry of the attempt mends these.
bool is_final(Code code) {
  constexpr std::array<Code, 7> kFinal{
      Code::ModelKeyRefused, Code::ModelUnknown,     Code::ModelRequestRefused, Code::ModelContextFull,
      Code::GatewayMissing,  Code::AgentTypeUnknown, Code::ModelDeclined};
  return std::find(kFinal.begin(), kFinal.end(), code) != kFinal.end();
}

LoopSettings loop_settings(const WorkItem& item, const orchestration::AgentType& type) {
  LoopSettings settings;
  settings.models = type.models;
  if (!item.agent_model.empty()) {
    std::erase(settings.models, item.agent_model);
    settings.models.insert(settings.models.begin(), item.agent_model);
  }
  settings.max_turns = item.max_turns > 0 ? item.max_turns : type.limits.max_turns;
  settings.max_tokens = item.max_tokens > 0 ? item.max_tokens : type.limits.max_tokens;
  settings.context_tokens = type.limits.context_tokens;
  settings.max_output_tokens = type.limits.max_output_tokens;
  return settings;
}

}  // namespace

class LlmRunner::Body final : public Attempt::Body {
 public:
  Body(WebPort& web, const orchestration::AgentTypes& types, const orchestration::AgentType& type)
      : web_(web), types_(types), type_(type) {}

  Status work(Attempt& attempt) override {
    Status done = begin(attempt);
    if (done.ok()) done = drive(attempt);
    if (!done.ok() && is_final(done.error().code())) attempt.make_final();
    return done;
  }

  Result<bool> mend(Attempt& attempt, const Error& failure, const std::string& text) override {
    if (checks_left_ == 0) return false;
    --checks_left_;
    log_->note("the check's result goes back to the model");
    transcript_->add("check_failed",
                     Value::Map{{"message", failure.message()}, {"text", shortened(text, 64 * 1024)}});
    loop_->again(check_prompt(attempt.item(), failure, text));
    const Status done = drive(attempt);
    if (done.ok()) return true;
    const Code code = done.error().code();
    if (code == Code::TaskCancelled || code == Code::CommandTimeout || code == Code::DiskLimit ||
        code == Code::BudgetExceeded)
      return done.error();
    log_->note("the model could not mend it: " + done.error().to_string());
    return false;  // the check's own failure stays the reason
  }

  void finish(Attempt& attempt) override {
    if (mcp_) mcp_->close();
    if (transcript_ == nullptr || !transcript_->written()) return;
    Value line{Value::Map{}};
    if (loop_) {
      line.set("turns", loop_->turns());
      line.set("usage", to_value(loop_->usage()));
      if (!loop_->status().ok()) line.set("error", loop_->status().error().to_string());
    }
    transcript_->add("end", std::move(line));
    if (Status kept = attempt.add_artifact(std::string(kTranscriptName), transcript_path_); !kept.ok())
      attempt.log().note("the transcript could not be kept: " + kept.error().to_string());
  }

 private:
  Status begin(Attempt& attempt) {
    const WorkItem& item = attempt.item();
    if (item.model_gateway.url.empty())
      return Error(Code::GatewayMissing, "the work item names no model gateway");
    transcript_path_ = attempt.ez_dir() + "/" + std::string(kTranscriptName);
    transcript_ = std::make_unique<Transcript>(transcript_path_);
    log_ = std::make_unique<AttemptLog>(
        attempt.log(),
        2 * kMiB * static_cast<std::uint64_t>(std::max<std::int64_t>(1, item.sandbox.output_mb)));
    client_ = std::make_unique<ModelClient>(web_, item.model_gateway.url, item.model_gateway.key);
    checks_left_ = type_.limits.checks;

    LoopSettings settings = loop_settings(item, type_);
    if (!item.output_schema.is_null()) {
      auto schema = JsonSchema::compile(item.output_schema);
      if (!schema.ok()) return Error(Code::InputInvalid, "output_schema: " + schema.error().message());
      settings.output_schema = std::move(*schema);
    }
    FileToolLimits limits;
    limits.max_written_bytes =
        std::min(limits.max_written_bytes,
                 kMiB * static_cast<std::uint64_t>(std::max<std::int64_t>(1, item.sandbox.disk_mb)));
    const CancelToken& cancel = attempt.cancel();
    EZ_TRY(add_file_tools(tools_, TreeFiles(attempt.workspace().tree()), limits,
                          [&cancel] { return cancel.cancelled(); }));
    EZ_TRY(add_command_tool(tools_, attempt, *log_, milliseconds(type_.limits.command_timeout_ms)));
    mcp_ = std::make_unique<McpTools>(attempt, web_);
    EZ_TRY(mcp_->add_to(tools_, item.mcp));

    const std::string system = system_prompt(types_, type_);
    const std::string task = task_prompt(item);
    transcript_->add("start",
                     Value::Map{{"run", item.run},
                                {"task", item.task},
                                {"attempt", static_cast<std::int64_t>(item.attempt)},
                                {"agent_type", type_.name},
                                {"models", Value::List(settings.models.begin(), settings.models.end())},
                                {"system", system},
                                {"prompt", task},
                                {"tools", tools_.definitions()}});
    log_->note("agent " + type_.name + " with " + settings.models[0]);
    loop_.emplace(std::move(settings), system, task, tools_.definitions());
    return {};
  }

  Status drive(Attempt& attempt) {
    while (loop_->next() != Loop::Next::kDone) {
      if (attempt.cancel().cancelled()) {
        loop_->stop(Error(Code::TaskCancelled, "cancelled while the agent was at work"));
      } else if (const auto left = attempt.time_left(); left && left->count() <= 0) {
        loop_->stop(attempt.timed_out());
      } else if (loop_->next() == Loop::Next::kAsk) {
        ask(attempt);
      } else {
        run_calls();
      }
      for (const std::string& note : loop_->take_notes()) {
        log_->note(note);
        transcript_->add("note", Value::Map{{"text", note}});
      }
    }
    mcp_->close();  // whoever is alive could still change what is checked and committed
    EZ_TRY(loop_->status());
    log_->note("done after " + std::to_string(loop_->turns()) + " turns: " + loop_->summary());
    if (loop_->output()) {
      attempt.set_output(*loop_->output());
    } else if (::faccessat(AT_FDCWD, (attempt.ez_dir() + "/out/output.json").c_str(), F_OK,
                           AT_SYMLINK_NOFOLLOW) != 0) {
      attempt.set_output(Value::Map{{"summary", shortened(loop_->summary(), 12 * 1024)}});
    }
    return {};
  }

  void ask(Attempt& attempt) {
    const Value request = loop_->request();
    transcript_->add("request", Value::Map{{"model", loop_->model()},
                                           {"messages", static_cast<std::int64_t>(loop_->messages().size())},
                                           {"estimated_tokens", loop_->estimated_tokens()}});
    Result<ModelReply> reply = Error(Code::Internal, "not asked");
    milliseconds pause = kBrokenPause;
    for (int broken = 0;; ++broken) {
      reply = client_->ask(
          request, [this](std::string_view piece) { log_->text(piece); }, attempt.cancel(),
          attempt.time_left());
      log_->end_line();
      if (reply.ok() || reply.error().code() != Code::ModelStreamBroken || broken == kBrokenStreams) break;
      log_->note(reply.error().message() + "; it is asked again");
      pollfd cancelled{attempt.cancel().fd(), POLLIN, 0};
      if (::poll(&cancelled, 1, static_cast<int>(pause.count())) > 0) break;
      pause *= 2;
    }
    if (!reply.ok()) {
      const Code code = reply.error().code();
      transcript_->add("refused",
                       Value::Map{{"code", reply.error().name()}, {"message", reply.error().message()}});
      if (attempt.cancel().cancelled()) {
        loop_->stop(Error(Code::TaskCancelled, "cancelled while the model was at work"));
      } else if (code == Code::CommandTimeout) {
        loop_->stop(attempt.timed_out());
      } else {
        loop_->refused(reply.error());
      }
      return;
    }
    transcript_->add("reply", Value::Map{{"model", reply->model},
                                         {"content", reply->content},
                                         {"stop_reason", reply->stop_reason},
                                         {"usage", to_value(reply->usage)}});
    loop_->replied(std::move(*reply));
  }

  void run_calls() {
    std::vector<ToolAnswer> answers;
    for (const ToolCall& call : loop_->calls()) {
      log_->note("> " + call.name + " " + to_json(call.input));
      // After one that ends the attempt the others do not run.
      const bool ended = !answers.empty() && answers.back().fatal;
      ToolAnswer answer = ended ? answers.back() : tools_.run(call);
      if (answer.is_error) log_->note("  " + call.name + " failed: " + answer.text);
      transcript_->add("tool", Value::Map{{"id", call.id},
                                          {"name", call.name},
                                          {"input", call.input},
                                          {"is_error", answer.is_error},
                                          {"text", answer.text}});
      answers.push_back(std::move(answer));
    }
    loop_->answered(answers);
  }

  WebPort& web_;
  const orchestration::AgentTypes& types_;
  const orchestration::AgentType& type_;
  std::string transcript_path_;
  std::unique_ptr<Transcript> transcript_;
  std::unique_ptr<AttemptLog> log_;
  std::unique_ptr<ModelClient> client_;
  std::unique_ptr<McpTools> mcp_;
  ToolBox tools_;
  std::optional<Loop> loop_;
  std::uint32_t checks_left_ = 0;
};

Result<std::unique_ptr<Attempt::Body>> LlmRunner::body_of(const WorkItem& item) {
  const orchestration::AgentType* type = types_.find(item.agent_type);
  if (type == nullptr || type->runner != "llm") {
    return Error(Code::AgentTypeUnknown,
                 "this worker knows no agent type " + item.agent_type + " that asks a model");
  }
  return std::unique_ptr<Attempt::Body>(new Body(web_, types_, *type));
}

TaskResult LlmRunner::run(const WorkItem& item, LogPort& log, const CancelToken& cancel) {
  return run_made(ports_, item, log, cancel, [this](const WorkItem& of) { return body_of(of); });
}

}  // namespace ez::agents
