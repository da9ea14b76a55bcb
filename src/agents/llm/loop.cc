#include "agents/llm/loop.h"

#include <algorithm>

#include "base/check.h"
#include "base/json.h"
#include "base/sha256.h"

namespace ez::agents {
namespace {

constexpr std::int64_t kBytesPerToken = 3;  // on the careful side for code and JSON
constexpr std::size_t kSmallResult = 400;   // results up to this size are never taken out
constexpr std::int64_t kLastTurns = 3;

Value text_block(std::string text) { return Value::Map{{"type", "text"}, {"text", std::move(text)}}; }

Value user_message(Value::List content) {
  return Value::Map{{"role", "user"}, {"content", std::move(content)}};
}

std::int64_t tokens_of(const Value& value) {
  return static_cast<std::int64_t>(to_json(value).size()) / kBytesPerToken;
}

Value result_block(const ToolCall& call, const ToolAnswer& answer) {
  Value block(Value::Map{{"type", "tool_result"},
                         {"tool_use_id", call.id},
                         {"content", answer.text.empty() ? "(no output)" : answer.text}});
  if (answer.is_error) block.set("is_error", true);
  return block;
}

// The last block of the last message is where the provider's cache of the conversation may end.
Value::List marked_for_cache(Value::List messages) {
  if (messages.empty()) return messages;
  const Value* content = messages.back().find("content");
  if (content == nullptr || !content->is_list() || content->as_list().empty()) return messages;
  Value::List blocks = content->as_list();
  blocks.back().set("cache_control", Value::Map{{"type", "ephemeral"}});
  messages.back().set("content", std::move(blocks));
  return messages;
}

}  // namespace

Loop::Loop(LoopSettings settings, std::string system, std::string task, Value tools)
    : settings_(std::move(settings)), system_(std::move(system)), task_(std::move(task)), tools_([&] {
        Value schema = object_schema({{"summary", "string", "what was done, in a few sentences"}});
        if (settings_.output_schema) {
          Value properties = *schema.find("properties");
          properties.set("output", settings_.output_schema->source());
          schema.set("properties", std::move(properties));
          schema.set("required", Value::List{"summary", "output"});
        }
        tools.push(
            Value::Map{{"name", kFinishTool},
                       {"description", "Says that the task is done. Call it alone, as the last thing."},
                       {"input_schema", std::move(schema)}});
        return std::move(tools);
      }()) {
  EZ_CHECK(!settings_.models.empty(), "a loop needs a model");
  messages_.push_back(user_message({text_block(task_)}));
}

std::int64_t Loop::room() const { return settings_.context_tokens - settings_.max_output_tokens; }

std::int64_t Loop::estimated_tokens() const {
  std::int64_t tokens = known_tokens_;
  if (known_messages_ == 0)
    tokens = static_cast<std::int64_t>(system_.size()) / kBytesPerToken + tokens_of(tools_);
  for (std::size_t i = known_messages_; i < messages_.size(); ++i) tokens += tokens_of(messages_[i]);
  return tokens;
}

Value Loop::request() const {
  EZ_CHECK(next_ == Next::kAsk, "nothing is to be asked");
  Value::List messages = messages_;
  Value request(
      Value::Map{{"model", model()}, {"max_tokens", settings_.max_output_tokens}, {"stream", true}});
  request.set("system", Value::List{Value::Map{{"type", "text"},
                                               {"text", system_},
                                               {"cache_control", Value::Map{{"type", "ephemeral"}}}}});
  request.set("tools", tools_);
  if (summarising_) {
    // Behind the results of the last turn, in the same message: roles alternate.
    if (messages.back().string_or("role", "") != "user") messages.push_back(user_message({}));
    Value::List content = messages.back().find("content")->as_list();
    content.push_back(text_block(
        "The conversation is becoming too long and will be replaced by a summary. Write that summary now, "
        "without "
        "calling a tool: what the task is about, what was found out, which files were changed and how, which "
        "commands were run with which result, what is left to do, and everything that must not be "
        "forgotten."));
    messages.back().set("content", std::move(content));
    request.set("tool_choice", Value::Map{{"type", "none"}});
  }
  request.set("messages", marked_for_cache(std::move(messages)));
  return request;
}

void Loop::replied(ModelReply reply) {
  EZ_CHECK(next_ == Next::kAsk, "a reply that was not asked for");
  ++turns_;
  usage_ += reply.usage;
  lost_context_ = false;
  if (summarising_) return take_summary(reply);
  if (reply.usage.context() > reply.usage.output) {  // some servers count only what they write
    known_tokens_ = reply.usage.context();
    known_messages_ = messages_.size() + (reply.content.empty() ? 0 : 1);
  }
  if (!reply.content.empty())
    messages_.push_back(Value::Map{{"role", "assistant"}, {"content", reply.content}});
  take_calls(reply);
  if (reply.stop_reason == "refusal") {
    return finish(Error(Code::ModelDeclined, "the model declined: " + shortened(reply.text(), 1'000)));
  }
  if (reply.stop_reason == "model_context_window_exceeded") {
    // What was asked stays; what was answered only in part does not.
    if (!reply.content.empty()) messages_.pop_back();
    known_messages_ = std::min(known_messages_, messages_.size());
    return refused(Error(Code::ModelContextFull, "the model's context is full"));
  }
  if (!asked_.empty()) {
    if (calls_.empty()) return answered({});
    next_ = Next::kTools;
    return;
  }
  if (reply.content.empty()) {
    return repair("The reply was empty. Go on with the task, or call finish.",
                  Error(Code::ModelReplyInvalid, "the model gives empty replies"));
  }
  if (reply.stop_reason == "max_tokens") {
    return repair("The reply was cut off at " + std::to_string(settings_.max_output_tokens) +
                      " tokens. Go on in smaller steps.",
                  Error(Code::ModelReplyInvalid, "the model's replies are cut off at max_output_tokens"));
  }
  if (reply.stop_reason == "pause_turn") return before_asking();
  if (settings_.output_schema) {
    return repair("The task asks for an output. Call finish with a summary and the output.",
                  Error(Code::OutputInvalid, "the model ended without the output that the task asks for"));
  }
  summary_ = reply.text();
  finish({});
}

void Loop::take_calls(const ModelReply& reply) {
  asked_.clear();
  calls_.clear();
  for (const Value& block : reply.content) {
    if (block.string_or("type", "") != "tool_use") continue;
    ToolCall call;
    call.id = block.string_or("id", "");
    call.name = block.string_or("name", "");
    if (const Value* input = block.find("input")) call.input = *input;
    if (const auto bad = reply.bad_inputs.find(call.id); bad != reply.bad_inputs.end()) {
      call.bad_input = bad->second;
      if (reply.stop_reason == "max_tokens")
        call.bad_input = "the reply was cut off at " + std::to_string(settings_.max_output_tokens) +
                         " tokens; do it in smaller pieces";
    }
    asked_.push_back(call);
    if (call.name != kFinishTool && calls_.size() < kMaxCallsPerTurn) calls_.push_back(std::move(call));
  }
}

ToolAnswer Loop::finish_call(const ToolCall& call, bool others_failed) {
  if (!call.bad_input.empty()) return tool_error("the input of the call cannot be read: " + call.bad_input);
  if (others_failed) return tool_error("not finished: another call of this turn failed; look at it first");
  if (settings_.output_schema) {
    const Value* output = call.input.find("output");
    if (output == nullptr) return tool_error("the member output is missing");
    const std::vector<std::string> wrong = settings_.output_schema->check(*output);
    if (!wrong.empty()) {
      std::string text = "the output does not fit its schema:";
      for (const std::string& each : wrong) text += "\n" + each;
      return tool_error(std::move(text));
    }
    output_ = *output;
  }
  summary_ = call.input.string_or("summary", "");
  return {"accepted", false, std::nullopt};
}

void Loop::answered(const std::vector<ToolAnswer>& answers) {
  EZ_CHECK(answers.size() == calls_.size(), "each call has one answer");
  Value::List content;
  const bool others_failed =
      std::any_of(answers.begin(), answers.end(), [](const ToolAnswer& answer) { return answer.is_error; });
  std::size_t ran = 0;
  std::optional<ToolAnswer> end;  // of the last finish
  std::optional<Error> fatal;
  for (const ToolCall& call : asked_) {
    ToolAnswer answer;
    if (call.name == kFinishTool) {
      answer = finish_call(call, others_failed);
      end = answer;
    } else if (ran < calls_.size()) {
      answer = answers[ran++];
      if (answer.fatal && !fatal) fatal = answer.fatal;
    } else {
      answer = tool_error("not run: at most " + std::to_string(kMaxCallsPerTurn) + " calls in one turn");
    }
    content.push_back(result_block(call, answer));
  }
  messages_.push_back(user_message(std::move(content)));
  note_progress(answers);
  calls_.clear();
  asked_.clear();
  if (fatal) return finish(*fatal);
  if (end && !end->is_error) return finish({});
  if (end && ++repairs_ > kMaxRepairs)
    return finish(Error(Code::OutputInvalid, "the model does not manage to call finish: " + end->text));
  if (!end) repairs_ = 0;
  if (stale_turns_ >= kStaleEnd) {
    return finish(Error(Code::AgentStuck, "the model repeats the same calls with the same results, " +
                                              std::to_string(stale_turns_) + " turns in a row"));
  }
  if (failing_turns_ >= kFailingEnd) {
    return finish(Error(Code::AgentStuck,
                        "every call failed in " + std::to_string(failing_turns_) + " turns in a row"));
  }
  if (stale_turns_ >= kStaleWarning) {
    tell("These calls and their results are all known already, for " + std::to_string(stale_turns_) +
         " turns. Do something else, or call finish and say what is in the way.");
    notes_.push_back("no progress for " + std::to_string(stale_turns_) + " turns");
  }
  before_asking();
}

// New is a call that was never made, or a known one whose result is another now.
void Loop::note_progress(const std::vector<ToolAnswer>& answers) {
  if (answers.empty()) return;
  bool fresh = false;
  bool all_failed = true;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const std::string key = calls_[i].name + "\n" + to_json(calls_[i].input) + "\n" + calls_[i].bad_input +
                            "\n" + answers[i].text;
    fresh = seen_.insert(sha256_hex(key)).second || fresh;
    all_failed = all_failed && answers[i].is_error;
  }
  stale_turns_ = fresh ? 0 : stale_turns_ + 1;
  failing_turns_ = all_failed ? failing_turns_ + 1 : 0;
}

// Into the user's turn, which may be there already.
void Loop::tell(std::string text) {
  if (messages_.back().string_or("role", "") == "user") {
    Value::List content = messages_.back().find("content")->as_list();
    content.push_back(text_block(std::move(text)));
    messages_.back().set("content", std::move(content));
    known_messages_ = std::min(known_messages_, messages_.size() - 1);
  } else {
    messages_.push_back(user_message({text_block(std::move(text))}));
  }
}

void Loop::repair(const std::string& text, const Error& otherwise) {
  if (++repairs_ > kMaxRepairs) return finish(otherwise);
  tell(text);
  before_asking();
}

void Loop::before_asking() {
  next_ = Next::kAsk;
  if (turns_ >= settings_.max_turns) {
    return finish(Error(Code::AgentTurnLimit,
                        "not done after " + std::to_string(settings_.max_turns) + " turns of the model"));
  }
  if (usage_.counted() >= settings_.max_tokens) {
    return finish(Error(Code::AgentTokenLimit, "the attempt used " + std::to_string(usage_.counted()) +
                                                   " tokens, it may use " +
                                                   std::to_string(settings_.max_tokens)));
  }
  if (settings_.max_turns > 2 * kLastTurns && settings_.max_turns - turns_ == kLastTurns)
    tell("Only " + std::to_string(kLastTurns) + " turns are left. Bring the work to an end and call finish.");
  if (estimated_tokens() < room() * 8 / 10) return;
  drop_old_results(kKeptMessages);
  if (estimated_tokens() < room() * 6 / 10) return;
  if (messages_.size() > 2) summarising_ = true;
}

void Loop::drop_old_results(std::size_t keep) {
  std::size_t dropped = 0;
  for (std::size_t i = 0; i + keep < messages_.size(); ++i) {
    const Value* content = messages_[i].find("content");
    if (messages_[i].string_or("role", "") != "user" || content == nullptr) continue;
    Value::List blocks = content->as_list();
    bool changed = false;
    for (Value& block : blocks) {
      const std::size_t size = block.string_or("content", "").size();
      if (block.string_or("type", "") != "tool_result" || size <= kSmallResult) continue;
      block.set("content", "[" + std::to_string(size) +
                               " bytes of this result were taken out to save room; "
                               "call the tool again when they are needed]");
      changed = true;
      ++dropped;
    }
    if (!changed) continue;
    messages_[i].set("content", std::move(blocks));
    known_messages_ = std::min(known_messages_, i);
  }
  if (dropped == 0) return;
  known_messages_ = 0;  // the model's count no longer holds
  notes_.push_back(std::to_string(dropped) + " old tool results were taken out of the conversation");
}

void Loop::take_summary(const ModelReply& reply) {
  summarising_ = false;
  const std::string text = reply.text();
  known_messages_ = 0;
  if (text.empty() && ++repairs_ > kMaxRepairs)
    return finish(
        Error(Code::ModelContextFull, "the model gives no summary of a conversation that is too long"));
  const std::string before =
      text.empty() ? "What was done before is lost: look at the workspace (git status, git diff)." : text;
  messages_ = {user_message(
      {text_block(task_),
       text_block("The work was begun already. A summary of it:\n\n" + shortened(before, 64 * 1024))})};
  notes_.push_back("the conversation was replaced by a summary of " + std::to_string(text.size()) + " bytes");
  before_asking();
}

void Loop::refused(const Error& error) {
  EZ_CHECK(next_ == Next::kAsk, "a refusal that was not asked for");
  const Code code = error.code();
  const bool gone =
      code == Code::ModelUnavailable || code == Code::ModelUnknown || code == Code::ModelRateLimited;
  if (gone && model_ + 1 < settings_.models.size()) {
    ++model_;
    known_messages_ = 0;
    notes_.push_back(error.message() + "; going on with " + model());
    return;
  }
  if (code != Code::ModelContextFull || messages_.size() < 2) return finish(error);
  if (!lost_context_ && !summarising_) {
    lost_context_ = true;
    drop_old_results(2);
    summarising_ = messages_.size() > 2;
    if (summarising_) return;
  }
  if (turns_ > settings_.max_turns) return finish(error);
  // Not even the summary fits: only the task stays.
  summarising_ = false;
  lost_context_ = true;
  known_messages_ = 0;
  messages_ = {user_message({text_block(task_), text_block("The work was begun already, but what was said is "
                                                           "lost: look at the workspace (git status, git "
                                                           "diff) before going on.")})};
  notes_.push_back("the conversation was too long for the model and begins anew");
}

void Loop::stop(const Error& error) { finish(error); }

void Loop::again(const std::string& text) {
  EZ_CHECK(next_ == Next::kDone && status_.ok(), "only what was finished goes on");
  output_.reset();
  repairs_ = 0;
  stale_turns_ = 0;
  tell(text);
  before_asking();
}

void Loop::finish(Status status) {
  status_ = std::move(status);
  next_ = Next::kDone;
}

std::vector<std::string> Loop::take_notes() {
  std::vector<std::string> notes;
  notes.swap(notes_);
  return notes;
}

}  // namespace ez::agents
