// The `cli` part of an agent type: how a command-line agent is started. Placeholders in its texts are names
// in braces; what they stand for is the runner's to say (agents/cli):
//   {prompt}       the task as text: in the command only
//   {prompt_file}  a file with it
//   {model}        the first of the type's models, or the task's own
//   {gateway}      where it reaches the model gateway, "http://127.0.0.1:17878"
//   {key}          its key there, good for this attempt only: not in the command, which others could see
//   {max_turns}    the limit of the type or of the task
// Braces around anything but lower-case letters and `_` are text.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <string_view>

#include "orchestration/agent_types.h"
#include "orchestration/source_tree.h"

namespace ez::orchestration {

class Decoder;

inline constexpr std::array<std::string_view, 4> kCliEvents{"text", "claude-code", "codex", "gemini-cli"};
inline constexpr std::size_t kMaxCliWords = 100;  // of the command
inline constexpr std::size_t kMaxCliTexts = 50;   // variables, and files
inline constexpr std::size_t kMaxCliTextBytes = 64 * 1024;

// Reads the map over `out`, key by key, also within `env` and `files`; mistakes go to the decoder.
void read_cli_agent(Decoder& decoder, NodeId node, CliAgent& out);

// `text` with each placeholder replaced; `value_of` is asked by name ("model").
[[nodiscard]] std::string fill_placeholders(std::string_view text,
                                            const std::function<std::string(std::string_view)>& value_of);
// Whether that text stands anywhere in the command, the variables or the files.
[[nodiscard]] bool mentions(const CliAgent& cli, std::string_view text);

}  // namespace ez::orchestration
