// The coding loop as a state machine: a conversation with a model that calls tools until it is done. Pure: no
// I/O, no clock. Its driver (llm_runner.h) asks next() what to do, does it, and tells the outcome.
//
//   kAsk    send request(), then replied() or refused()
//   kTools  run calls() in order, then answered()
//   kDone   status(), and after a success again() goes on when a check found something
//
// stop() ends it at any point. Bounds: turns, tokens, calls of one turn, repairs in a row; repeated calls
// without anything new end in AGENT_STUCK. When the conversation outgrows the model's context, old tool
// results are taken out first; then the model writes a summary, which replaces what was said.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agents/llm/message.h"
#include "agents/llm/tool_box.h"
#include "base/json_schema.h"
#include "base/result.h"

namespace ez::agents {

inline constexpr std::string_view kFinishTool = "finish";
inline constexpr std::size_t kMaxCallsPerTurn = 32;
inline constexpr int kMaxRepairs = 4;    // replies in a row that were no use: empty, cut off, bad output
inline constexpr int kStaleWarning = 3;  // turns in a row with nothing but known calls and known results
inline constexpr int kStaleEnd = 6;      // AGENT_STUCK
inline constexpr int kFailingEnd = 15;   // turns in a row in which every call failed: AGENT_STUCK
inline constexpr std::size_t kKeptMessages = 8;  // at the end, whose tool results stay whole

struct LoopSettings {
  std::vector<std::string> models;          // the first is asked; the next when it is not to be had
  std::int64_t max_turns = 100;             // replies of the model, those for summaries included
  std::int64_t max_tokens = 4'000'000;      // ModelUsage::counted() of all turns
  std::int64_t context_tokens = 160'000;    // of one request and its reply
  std::int64_t max_output_tokens = 16'000;  // of one reply
  std::optional<JsonSchema> output_schema;  // of what `finish` must give as its output
};

class Loop {
 public:
  enum class Next { kAsk, kTools, kDone };
  // `tools` are the definitions of a request, without `finish`, which the loop adds and handles itself.
  Loop(LoopSettings settings, std::string system, std::string task, Value tools);

  [[nodiscard]] Next next() const { return next_; }
  [[nodiscard]] Value request() const;
  void replied(ModelReply reply);
  // No reply for this request. The next model, a smaller conversation, or the end.
  void refused(const Error& error);
  [[nodiscard]] const std::vector<ToolCall>& calls() const { return calls_; }
  void answered(const std::vector<ToolAnswer>& answers);  // one for each of calls()
  void stop(const Error& error);
  void again(const std::string& text);

  [[nodiscard]] const Status& status() const { return status_; }
  [[nodiscard]] const std::string& summary() const { return summary_; }
  [[nodiscard]] const std::optional<Value>& output() const { return output_; }  // with an output_schema only
  [[nodiscard]] std::int64_t turns() const { return turns_; }
  [[nodiscard]] const ModelUsage& usage() const { return usage_; }
  [[nodiscard]] const std::string& model() const { return settings_.models[model_]; }
  [[nodiscard]] std::int64_t estimated_tokens() const;
  [[nodiscard]] const Value::List& messages() const { return messages_; }
  // What happened besides (a summary, a warning, another model), for the log; each once.
  [[nodiscard]] std::vector<std::string> take_notes();

 private:
  void take_calls(const ModelReply& reply);
  [[nodiscard]] ToolAnswer finish_call(const ToolCall& call, bool others_failed);
  void tell(std::string text);
  void repair(const std::string& text, const Error& otherwise);
  void note_progress(const std::vector<ToolAnswer>& answers);
  void before_asking();
  void drop_old_results(std::size_t keep);
  void take_summary(const ModelReply& reply);
  void finish(Status status);
  [[nodiscard]] std::int64_t room() const;

  const LoopSettings settings_;
  const std::string system_;
  const std::string task_;
  const Value tools_;
  Next next_ = Next::kAsk;
  Value::List messages_;
  std::size_t model_ = 0;
  std::vector<ToolCall> calls_;  // to be run
  std::vector<ToolCall> asked_;  // all of the turn, in order
  bool summarising_ = false;
  bool lost_context_ = false;  // the model refused the size once, and nothing has worked since
  Status status_;
  std::string summary_;
  std::optional<Value> output_;
  std::int64_t turns_ = 0;
  ModelUsage usage_;
  std::int64_t known_tokens_ = 0;  // of messages_ up to known_messages_, as the model counted them
  std::size_t known_messages_ = 0;
  int repairs_ = 0;
  int stale_turns_ = 0;
  int failing_turns_ = 0;
  std::set<std::string> seen_;  // hashes of calls with their results
  std::vector<std::string> notes_;
};

}  // namespace ez::agents
