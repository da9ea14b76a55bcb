#include "agents/llm/tool_box.h"

#include <algorithm>

#include "base/utf8.h"

namespace ez::agents {
namespace {

bool is_tool_name(const std::string& name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

// Whole code points, printable or a usual blank.
std::string cleaned(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::uint32_t c = take_code_point(text);
    const bool control = (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f;
    append_utf8(out, control ? kReplacementCharacter : c);
  }
  return out;
}

}  // namespace

ToolAnswer tool_failure(const Error& error) {
  ToolAnswer answer = tool_error(error.message());
  if (error.code() != Code::InvalidArgument) answer.fatal = error;
  return answer;
}

Status ToolBox::add(const std::string& name, const std::string& description, const Value& schema, Run run) {
  auto compiled = JsonSchema::compile(schema);
  if (!compiled.ok()) return compiled.error().in(name);
  EZ_TRY(add_unchecked(name, description, schema, std::move(run)));
  tools_.at(name).check = std::move(*compiled);
  return {};
}

Status ToolBox::add_unchecked(const std::string& name, const std::string& description, const Value& schema,
                              Run run) {
  if (!is_tool_name(name))
    return Error(Code::InvalidArgument, "a tool cannot be named " + name.substr(0, 100));
  if (tools_.contains(name)) return Error(Code::InvalidArgument, "there are two tools named " + name);
  tools_.emplace(name, Tool{description, schema, std::nullopt, std::move(run)});
  return {};
}

Value ToolBox::definitions() const {
  Value::List list;
  for (const auto& [name, tool] : tools_) {
    list.push_back(
        Value::Map{{"name", name}, {"description", tool.description}, {"input_schema", tool.schema}});
  }
  return list;
}

ToolAnswer ToolBox::run(const ToolCall& call) const {
  const auto found = tools_.find(call.name);
  if (found == tools_.end()) {
    std::string names;
    for (const auto& [name, tool] : tools_) names += (names.empty() ? "" : ", ") + name;
    return tool_error("there is no tool " + call.name.substr(0, 100) + "; there are " +
                      names.substr(0, 4000));
  }
  if (!call.bad_input.empty()) return tool_error("the input of the call cannot be read: " + call.bad_input);
  std::vector<std::string> wrong;
  if (found->second.check) wrong = found->second.check->check(call.input);
  if (wrong.empty()) return found->second.run(call.input);
  std::string text = "the input does not fit the tool's schema:";
  for (const std::string& each : wrong) text += "\n" + each;
  return tool_error(std::move(text));
}

Value object_schema(std::initializer_list<ToolMember> members) {
  Value::Map properties;
  Value::List required;
  for (const ToolMember& member : members) {
    properties.emplace_back(std::string(member.name),
                            Value::Map{{"type", member.type}, {"description", member.description}});
    if (member.required) required.emplace_back(member.name);
  }
  return Value::Map{{"type", "object"},
                    {"properties", std::move(properties)},
                    {"required", std::move(required)},
                    {"additionalProperties", false}};
}

std::string shortened(std::string_view text, std::size_t max_bytes) {
  if (text.size() <= max_bytes) return cleaned(text);
  const std::size_t head = max_bytes / 3;
  const std::size_t tail = max_bytes - head;
  return cleaned(text.substr(0, head)) + "\n[… " + std::to_string(text.size() - head - tail) +
         " bytes left out …]\n" + cleaned(text.substr(text.size() - tail));
}

}  // namespace ez::agents
