// Agent types as data: which runner serves a type, with which models, prompts and limits (agents.yaml).
//
// The built-in types are a file of the same form that is part of the program. A user's file is laid over it
// key by key: a type that exists keeps what the file does not name, `limits` and `cli` likewise; a new type
// needs `runner`, and `models` or `cli`. docs/formats/agent-types.md has every key. Threads: immutable once
// parsed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "orchestration/parse.h"

namespace ez::orchestration {

inline constexpr std::size_t kMaxAgentTypes = 200;
inline constexpr std::size_t kMaxModelsOfType = 16;
inline constexpr std::size_t kMaxPromptBytes = 64 * 1024;

struct AgentTypeLimits {
  std::uint32_t max_turns = 100;              // replies of the model in one attempt
  std::uint32_t max_tokens = 4'000'000;       // of one attempt, without what the provider had in its cache
  std::uint32_t context_tokens = 160'000;     // of one request and its reply
  std::uint32_t max_output_tokens = 16'000;   // of one reply
  std::int64_t command_timeout_ms = 600'000;  // of one command that the model runs
  std::uint32_t checks = 3;                   // how often a failed `verify` is given back to the model
};

// What starts a command-line agent and how its output is read (runner "cli"). Texts hold placeholders, see
// agent_types_cli.h.
struct CliAgent {
  using Texts = std::vector<std::pair<std::string, std::string>>;  // by name, in the order of the file
  std::vector<std::string> command;   // the first is a program that the sandbox sees
  Texts env;                          // over the task's own variables
  Texts files;                        // path below its home → contents
  std::vector<std::string> leaves;    // globs of names at the top of the working tree that are its own
  std::string events = "text";        // how its output is read: kCliEvents
  std::int64_t silence_ms = 900'000;  // printing nothing for so long, it counts as stuck
  std::int64_t linger_ms = 10'000;    // that it may live after its result
};

struct AgentType {
  std::string name;
  std::string runner;                     // "llm" or "cli"
  std::vector<std::string> models;        // the first is used; the next when it is not to be had
  std::string speciality;                 // for people and planners
  std::string system_prompt;              // after the general one
  std::vector<std::string> capabilities;  // what a worker of this type says of itself, besides its own
  AgentTypeLimits limits;
  CliAgent cli;
};

struct AgentTypes {
  std::string system_prompt;     // of all llm types
  std::string cli_prompt;        // what all cli types are told after the task
  std::vector<AgentType> types;  // sorted by name
  [[nodiscard]] const AgentType* find(std::string_view name) const;
};

struct ParsedAgentTypes {
  std::optional<AgentTypes> types;      // none when there are diagnostics
  std::vector<Diagnostic> diagnostics;  // AGENT_TYPES_INVALID, in file order
};

// The text of a file, laid over `base`. Never throws, never aborts on any bytes.
[[nodiscard]] ParsedAgentTypes parse_agent_types(std::string_view source, const AgentTypes& base);

[[nodiscard]] std::string_view builtin_agent_types_text();
[[nodiscard]] const AgentTypes& builtin_agent_types();

}  // namespace ez::orchestration
