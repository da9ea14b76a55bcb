// Reads typed values out of a SourceTree and collects what is wrong with them. Internal to the workflow
// decoder.
//
// Every reader leaves its target as it was when the key is absent, null or wrong, and reports the mistake;
// decoding goes on, so that one look at a file shows all of its mistakes.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/expression.h"
#include "orchestration/parse.h"
#include "orchestration/source_tree.h"

namespace ez::orchestration {

// What an expression at some place may refer to.
struct Scope {
  static constexpr std::uint32_t kNoTask = UINT32_MAX;
  std::uint32_t task = kNoTask;  // whose upstream tasks may be referred to; kNoTask: `tasks` is unknown here
  bool has_item = false;         // `item` and `index`
  std::string_view place;        // for messages: "`when`"
  bool whole_run = false;        // any task may be referred to: it is asked about a run, not by a task
};

class Decoder {
 public:
  static constexpr std::size_t kMaxCollected = 200;

  explicit Decoder(const SourceTree& source) : tree(source) {}

  void error(Position at, std::string message, std::string hint = {}, Code code = Code::WorkflowInvalid);
  void error(NodeId node, std::string message, std::string hint = {}, Code code = Code::WorkflowInvalid) {
    error(tree.position(node), std::move(message), std::move(hint), code);
  }
  // At byte `offset` of a scalar's text. The place is only looked for when there is room for the report: it
  // costs a walk over the text.
  void error_in(NodeId node, std::size_t offset, std::string message, std::string hint = {},
                Code code = Code::WorkflowInvalid);
  [[nodiscard]] bool has_errors() const { return !diagnostics.empty(); }
  // At most 100, in file order.
  [[nodiscard]] std::vector<Diagnostic> take_diagnostics();

  // A text with `${{ }}` or a bare expression; its references are checked or kept for later.
  [[nodiscard]] std::optional<Template> read_template(NodeId node, const Scope& scope);
  [[nodiscard]] std::optional<Expression> read_expression(NodeId node, const Scope& scope);

  // References to tasks, for check_task_references().
  struct TaskReference {
    std::uint32_t task = 0;  // where it stands
    NodeId node = 0;
    std::size_t offset = 0;  // of the expression in the node's text
    std::string id;          // what it refers to
  };

  const SourceTree& tree;
  std::vector<Diagnostic> diagnostics;
  std::vector<Input> inputs;  // declared; filled before any expression is read
  std::vector<TaskReference> task_references;

 private:
  // An error of the expression parser, which says where in `text` it is.
  void expression_error(NodeId node, const Error& failure, const Scope& scope);
  void check_references(const Expression& expression, NodeId node, std::size_t offset, const Scope& scope);
  void check_variable(const std::string& name, const std::string& source, NodeId node, std::size_t offset,
                      const Scope& scope);
  void check_path(const std::vector<std::string>& path, const std::string& source, NodeId node,
                  std::size_t offset, const Scope& scope);
};

// The keys of one map.
class Fields {
 public:
  // Reports unknown keys with a suggestion. `what` names the map in messages: "a task", "`retry`".
  Fields(Decoder& decoder, NodeId map, std::string_view what, std::span<const std::string_view> known);

  // The same without that check, for a second look at a map.
  Fields(Decoder& decoder, NodeId map) : decoder_(decoder), map_(map) {}

  // The value's node; nullopt when the key is absent or null.
  [[nodiscard]] std::optional<NodeId> get(std::string_view key) const;
  // The node of the key itself, for messages about the key; also when its value is null.
  [[nodiscard]] std::optional<NodeId> key(std::string_view key) const;
  [[nodiscard]] NodeId node() const { return map_; }

  void read_text(std::string_view key, std::string& out, std::size_t max_bytes) const;
  void read_name(std::string_view key, std::string& out) const;
  void read_bool(std::string_view key, bool& out) const;
  void read_uint(std::string_view key, std::uint32_t& out, std::uint32_t min, std::uint32_t max) const;
  void read_duration(std::string_view key, std::int64_t& out_ms, std::int64_t min_ms,
                     bool zero_is_none) const;
  void read_permille(std::string_view key, std::uint32_t& out, std::uint32_t min, std::uint32_t max) const;
  void read_template(std::string_view key, std::optional<Template>& out, const Scope& scope) const;
  // A template that is a shell script: its inserts stand where a word may.
  void read_script(std::string_view key, std::optional<Template>& out, const Scope& scope) const;
  // The index of the word in `words`, or nullopt after a report.
  [[nodiscard]] std::optional<std::size_t> read_word(std::string_view key,
                                                     std::span<const std::string_view> words) const;
  // The items of a list; an empty list after a report.
  [[nodiscard]] std::vector<NodeId> read_list(std::string_view key, std::size_t max_items,
                                              std::string_view example) const;

 private:
  // The text of a scalar; reports anything else.
  [[nodiscard]] std::optional<std::string_view> scalar(std::string_view key, std::string_view expected) const;

  Decoder& decoder_;
  NodeId map_;
};

// " (did you mean `x`?)" or nothing.
[[nodiscard]] std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates);
// A text of the file for a message: in backquotes, shortened, control characters replaced.
[[nodiscard]] std::string quoted(std::string_view text);

// decode_compensation.cc. Compensations that stand inside their task are appended to the workflow's tasks.
using InlineTaskReader = std::function<Task(NodeId, std::uint32_t index, const std::string& id)>;
void decode_compensations(Decoder& decoder, const std::vector<NodeId>& nodes, Workflow& workflow,
                          const InlineTaskReader& read_inline);

// decode_flow.cc.
[[nodiscard]] std::optional<Concurrency> read_concurrency(Decoder& decoder, const Fields& fields,
                                                          const Scope& scope);
[[nodiscard]] std::optional<Rate> read_rate(Decoder& decoder, const Fields& fields, const Scope& scope);

// decode_wait.cc: nullopt also after a report.
[[nodiscard]] std::optional<Wait> read_wait(Decoder& decoder, const Fields& fields, const Scope& scope);
// decode_wait.cc: refuses the keys that have no meaning for a task of that kind ("only waits").
void refuse_keys(Decoder& decoder, const Fields& fields, std::span<const std::string_view> keys,
                 std::string_view kind);

// decode_sub_workflow.cc: nullopt also after a report. `own_name`: of the workflow that the task is of.
[[nodiscard]] std::optional<SubWorkflow> read_sub_workflow(Decoder& decoder, const Fields& fields,
                                                           const std::string& own_name, const Scope& scope);
// decode_sub_workflow.cc: a map of expressions over the whole run, of the top-level key `key`.
[[nodiscard]] NamedExpressions read_named_expressions(Decoder& decoder, const Fields& fields,
                                                      std::string_view key);
// decode_agent.cc: who works on a task, and who settles what does not merge. read_resolver(): null for
// `resolver: none` and after a report, nullopt when the key is absent.
void read_agent(Decoder& decoder, const Fields& fields, AgentNeed& out);
[[nodiscard]] std::optional<std::shared_ptr<const Resolver>> read_resolver(Decoder& decoder,
                                                                           const Fields& fields,
                                                                           const Scope& scope);
// decode_llm.cc: what only tasks for a model have.
void read_output_schema(Decoder& decoder, const Fields& fields, Task& task);
void read_mcp(Decoder& decoder, const Fields& fields, Task& task);

// decode_task.cc: the tasks of `list`, with `defaults` (may be absent) under each. False when dependencies
// were wrong.
[[nodiscard]] bool decode_tasks(Decoder& decoder, NodeId list, std::optional<NodeId> defaults,
                                Workflow& workflow);
// references.cc: dependencies form a DAG and `tasks.x` is upstream; fills dependents and depth_below. `list`
// is the node of the tasks; with `is_complete` false some dependencies were wrong, and what is upstream
// cannot be told.
void check_graph(Decoder& decoder, NodeId list, bool is_complete, Workflow& workflow);
// inputs.cc: a value as an input of that type: texts become what is declared. Errors: INPUT_INVALID.
[[nodiscard]] Result<Value> convert_input(std::string_view name, InputType type, const Value& value);

}  // namespace ez::orchestration
