#include "orchestration/agent_types.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "orchestration/agent_types_cli.h"
#include "orchestration/decoder.h"
#include "orchestration/text.h"

namespace ez::orchestration {
namespace {

constexpr std::array<std::string_view, 4> kFileKeys{"version", "system_prompt", "cli_prompt", "types"};
constexpr std::array<std::string_view, 7> kTypeKeys{"runner",       "models", "speciality", "system_prompt",
                                                    "capabilities", "limits", "cli"};
constexpr std::array<std::string_view, 6> kLimitKeys{"max_turns",         "max_tokens",      "context_tokens",
                                                     "max_output_tokens", "command_timeout", "checks"};
constexpr std::array<std::string_view, 2> kRunners{"llm", "cli"};
constexpr std::size_t kMaxCapabilities = 32;

bool is_model(std::string_view text) {
  return !text.empty() && text.size() <= 200 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-_./:@+").find(c) != std::string_view::npos;
  });
}

class Reader {
 public:
  Reader(const SourceTree& tree, const AgentTypes& base) : decoder_(tree), out_(base) {}

  ParsedAgentTypes read() {
    const SourceTree& tree = decoder_.tree;
    if (tree.kind(tree.root()) != SourceTree::Kind::kMap) {
      decoder_.error(tree.root(), "the file must be a map", "Write `version: 1` and `types:`.");
      return end();
    }
    const Fields file(decoder_, tree.root(), "the file", kFileKeys);
    std::uint32_t version = 0;
    file.read_uint("version", version, 1, 1);
    if (!file.get("version")) decoder_.error(tree.root(), "the file has no `version`", "Write `version: 1`.");
    file.read_text("system_prompt", out_.system_prompt, kMaxPromptBytes);
    file.read_text("cli_prompt", out_.cli_prompt, kMaxPromptBytes);
    if (const auto types = file.get("types")) read_types(*types);
    return end();
  }

 private:
  ParsedAgentTypes end() {
    ParsedAgentTypes parsed;
    if (!decoder_.has_errors()) parsed.types = std::move(out_);
    parsed.diagnostics = decoder_.take_diagnostics();
    for (Diagnostic& diagnostic : parsed.diagnostics) {
      if (diagnostic.code == Code::WorkflowInvalid) diagnostic.code = Code::AgentTypesInvalid;
    }
    return parsed;
  }

  void read_types(NodeId node) {
    const SourceTree& tree = decoder_.tree;
    if (tree.kind(node) != SourceTree::Kind::kMap) {
      decoder_.error(node, "`types` must be a map", "Write `types: {claude: {models: [MODEL]}}`.");
      return;
    }
    for (std::size_t i = 0; i < tree.size(node); i += 2) {
      const NodeId key = tree.child(node, i);
      const NodeId value = tree.child(node, i + 1);
      const std::string name(tree.text(key));
      if (!is_name(name)) {
        decoder_.error(key, "an agent type cannot be named " + quoted(name),
                       "Lower-case letters, digits and `-`, for example `reviewer`.");
      } else if (name == "exec" || name == "merge") {
        decoder_.error(key, quoted(name) + " is a type of ez itself", "Use another name.");
      } else if (tree.kind(value) != SourceTree::Kind::kMap) {
        decoder_.error(value, "the type " + quoted(name) + " must be a map",
                       "Write `" + name + ": {runner: llm, models: [MODEL]}`.");
      } else {
        read_type(name, key, value);
      }
    }
    if (out_.types.size() > kMaxAgentTypes)
      decoder_.error(node, "there are more than " + std::to_string(kMaxAgentTypes) + " agent types");
  }

  void read_type(const std::string& name, NodeId key, NodeId node) {
    const auto place = std::lower_bound(out_.types.begin(), out_.types.end(), name,
                                        [](const AgentType& a, const std::string& n) { return a.name < n; });
    const bool is_new = place == out_.types.end() || place->name != name;
    AgentType& type = is_new ? *out_.types.insert(place, AgentType{}) : *place;
    type.name = name;
    const Fields fields(decoder_, node, "an agent type", kTypeKeys);
    if (const auto runner = fields.read_word("runner", kRunners)) type.runner = kRunners[*runner];
    read_models(fields, type);
    fields.read_text("speciality", type.speciality, 1'000);
    fields.read_text("system_prompt", type.system_prompt, kMaxPromptBytes);
    read_capabilities(fields, type);
    read_limits(fields, type.limits);
    if (const auto cli = fields.get("cli")) read_cli_agent(decoder_, *cli, type.cli);
    if (is_new && !fields.get("runner")) {
      decoder_.error(key, "the new type " + quoted(name) + " has no `runner`", "Write `runner: llm`.");
      return;
    }
    check_whole(name, key, fields, type);
  }

  // What its runner cannot do without. A part that is there and wrong was reported already.
  void check_whole(const std::string& name, NodeId key, const Fields& fields, const AgentType& type) {
    if (type.runner == "cli") {
      if (type.cli.command.empty() && !fields.get("cli"))
        decoder_.error(key, "the type " + quoted(name) + " has no `cli`",
                       "Write `cli: {command: [PROGRAM, \"{prompt}\"]}`.");
      if (type.models.empty() && !fields.get("models") && mentions(type.cli, "{model}"))
        decoder_.error(key, "the type " + quoted(name) + " has no `models`, but its command names {model}",
                       "Write `models: [MODEL]`.");
      return;
    }
    if (fields.get("cli"))
      decoder_.error(*fields.key("cli"), "`cli` is for types with `runner: cli`", "Write `runner: cli`.");
    if (type.models.empty() && !fields.get("models"))
      decoder_.error(key, "the new type " + quoted(name) + " has no `models`", "Write `models: [MODEL]`.");
  }

  void read_models(const Fields& fields, AgentType& type) {
    if (!fields.get("models")) return;
    std::vector<std::string> models;
    for (const NodeId node : fields.read_list("models", kMaxModelsOfType, "models: [claude-opus-5-5]")) {
      const std::string_view text = decoder_.tree.text(node);
      if (!decoder_.tree.is_scalar(node) || !is_model(text)) {
        decoder_.error(node, "a model cannot be " + quoted(text),
                       "Write the name that its provider uses, for example `claude-opus-5-5`.");
      } else {
        models.emplace_back(text);
      }
    }
    if (models.empty() && !decoder_.has_errors())
      decoder_.error(*fields.get("models"), "`models` is empty", "Name at least one model.");
    type.models = std::move(models);
  }

  void read_capabilities(const Fields& fields, AgentType& type) {
    if (!fields.get("capabilities")) return;
    type.capabilities.clear();
    for (const NodeId node : fields.read_list("capabilities", kMaxCapabilities, "capabilities: [cpp, git]")) {
      const std::string_view text = decoder_.tree.text(node);
      if (!decoder_.tree.is_scalar(node) || !is_name(text)) {
        decoder_.error(node, "a capability cannot be " + quoted(text),
                       "Write names, for example `[cpp, git]`.");
      } else {
        type.capabilities.emplace_back(text);
      }
    }
  }

  void read_limits(const Fields& fields, AgentTypeLimits& limits) {
    const auto node = fields.get("limits");
    if (!node) return;
    if (decoder_.tree.kind(*node) != SourceTree::Kind::kMap) {
      decoder_.error(*node, "`limits` must be a map", "Write `limits: {max_turns: 50}`.");
      return;
    }
    const Fields map(decoder_, *node, "`limits`", kLimitKeys);
    map.read_uint("max_turns", limits.max_turns, 1, 10'000);
    map.read_uint("max_tokens", limits.max_tokens, 1'000, 4'000'000'000U);
    map.read_uint("context_tokens", limits.context_tokens, 8'000, 100'000'000);
    map.read_uint("max_output_tokens", limits.max_output_tokens, 256, 1'000'000);
    map.read_duration("command_timeout", limits.command_timeout_ms, 1'000, false);
    map.read_uint("checks", limits.checks, 0, 100);
    if (limits.max_output_tokens * 2 > limits.context_tokens) {
      decoder_.error(*node,
                     "`max_output_tokens` (" + std::to_string(limits.max_output_tokens) +
                         ") is more than half of `context_tokens` (" + std::to_string(limits.context_tokens) +
                         ")",
                     "Lower the one or raise the other.");
    }
  }

  Decoder decoder_;
  AgentTypes out_;
};

}  // namespace

const AgentType* AgentTypes::find(std::string_view name) const {
  const auto found = std::lower_bound(types.begin(), types.end(), name,
                                      [](const AgentType& a, std::string_view n) { return a.name < n; });
  return found != types.end() && found->name == name ? &*found : nullptr;
}

ParsedAgentTypes parse_agent_types(std::string_view source, const AgentTypes& base) {
  SourceLimits limits;
  limits.max_bytes = 1024 * 1024;
  SourceError error;
  const auto tree = SourceTree::parse(source, error, limits);
  if (tree == nullptr) {
    ParsedAgentTypes parsed;
    parsed.diagnostics.push_back(
        {error.at.line, error.at.column, Code::AgentTypesInvalid, error.message, error.hint});
    return parsed;
  }
  return Reader(*tree, base).read();
}

const AgentTypes& builtin_agent_types() {
  static const AgentTypes types = [] {
    ParsedAgentTypes parsed = parse_agent_types(builtin_agent_types_text(), AgentTypes{});
    EZ_CHECK(parsed.types.has_value(), "the built-in agents.yaml is wrong");
    return std::move(*parsed.types);
  }();
  return types;
}

}  // namespace ez::orchestration
