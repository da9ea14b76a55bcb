// What a model may call: tools by name, each with a JSON Schema for its input, checked before it runs.
// Threads: one call at a time.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_schema.h"
#include "base/result.h"
#include "base/value.h"

namespace ez::agents {

struct ToolCall {
  std::string id;
  std::string name;
  Value input;
  std::string bad_input;  // why the input could not be read; the tool is not run then
};

struct ToolAnswer {
  std::string text;
  bool is_error = false;
  std::optional<Error> fatal;  // ends the attempt with this error
};

[[nodiscard]] inline ToolAnswer tool_error(std::string text) { return {std::move(text), true, std::nullopt}; }
// The model can mend what is INVALID_ARGUMENT; everything else ends the attempt.
[[nodiscard]] ToolAnswer tool_failure(const Error& error);

class ToolBox {
 public:
  using Run = std::function<ToolAnswer(const Value& input)>;

  // A name is taken once: a later tool of the same name is refused. INVALID_ARGUMENT (the name or the
  // schema).
  [[nodiscard]] Status add(const std::string& name, const std::string& description, const Value& schema,
                           Run run);
  // The same for a schema that somebody else made and checks: it is shown to the model and nothing more.
  [[nodiscard]] Status add_unchecked(const std::string& name, const std::string& description,
                                     const Value& schema, Run run);
  [[nodiscard]] bool contains(const std::string& name) const { return tools_.contains(name); }
  [[nodiscard]] std::size_t size() const { return tools_.size(); }

  // The "tools" member of a request, sorted by name, so that it is the same in every turn.
  [[nodiscard]] Value definitions() const;
  [[nodiscard]] ToolAnswer run(const ToolCall& call) const;

 private:
  struct Tool {
    std::string description;
    Value schema;
    std::optional<JsonSchema> check;
    Run run;
  };
  std::map<std::string, Tool> tools_;
};

// A JSON Schema of an object: members as {name, type, description, required}.
struct ToolMember {
  std::string_view name;
  std::string_view type;
  std::string_view description;
  bool required = true;
};
[[nodiscard]] Value object_schema(std::initializer_list<ToolMember> members);

// At most that many bytes: the head and the tail with a note of what was left out between them. Bytes that
// are no UTF-8 and control characters are replaced, so that it can stand in a request.
[[nodiscard]] std::string shortened(std::string_view text, std::size_t max_bytes);

}  // namespace ez::agents
