#include "agents/llm/command_tool.h"

#include <algorithm>

namespace ez::agents {
namespace {

using std::chrono::milliseconds;

// Keeps the head and the tail of what passes.
class Ends {
 public:
  void add(std::string_view bytes) {
    total_ += bytes.size();
    const std::size_t to_head = std::min(bytes.size(), kHead - std::min(kHead, head_.size()));
    head_.append(bytes.substr(0, to_head));
    tail_.append(bytes.substr(to_head));
    if (tail_.size() > 2 * kTail) tail_.erase(0, tail_.size() - kTail);
  }
  [[nodiscard]] std::string text() {
    if (tail_.size() > kTail) tail_.erase(0, tail_.size() - kTail);
    const std::size_t lost = total_ - head_.size() - tail_.size();
    const std::string gap = lost > 0 ? "\n[… " + std::to_string(lost) + " bytes left out …]\n" : "";
    return shortened(head_ + gap + tail_, kMaxCommandText + 1'000);
  }

 private:
  static constexpr std::size_t kHead = kMaxCommandText / 3;
  static constexpr std::size_t kTail = kMaxCommandText - kHead;
  std::string head_;
  std::string tail_;
  std::size_t total_ = 0;
};

ToolAnswer run_command(Attempt& attempt, AttemptLog& log, milliseconds longest, const Value& input) {
  const std::string command(input.string_or("command", ""));
  if (command.find('\0') != std::string::npos) return tool_error("a command cannot hold a zero byte");
  milliseconds timeout = longest;
  if (const std::int64_t wanted = input.int_or("timeout_s", 0); wanted > 0)
    timeout = std::min(timeout, milliseconds(std::min<std::int64_t>(wanted, 86'400) * 1'000));
  Ends output;
  const auto sink = [&](std::string_view bytes) {
    log.text(bytes);
    output.add(bytes);
  };
  auto outcome = attempt.run_shell(command, timeout, sink, false);
  log.end_line();
  ToolAnswer answer;
  if (!outcome.ok()) {
    answer = tool_error(outcome.error().message());
    answer.fatal = outcome.error();
    return answer;
  }
  const ProcessOutcome& process = outcome->process;
  std::string status = "exit status " + std::to_string(process.exit_code);
  if (process.stopped) {
    const Error& why = *process.stopped;
    status = "stopped by ez: " + std::string(why.name()) + ": " + why.message();
    log.note(status);
    // The disk stays full and a cancel stays a cancel; the rest the model can avoid.
    if (why.code() == Code::DiskLimit || why.code() == Code::TaskCancelled) answer.fatal = why;
  }
  answer.is_error = process.stopped || process.exit_code != 0;
  answer.text = status + "\n" + output.text();
  return answer;
}

}  // namespace

Status add_command_tool(ToolBox& box, Attempt& attempt, AttemptLog& log, milliseconds longest) {
  return box.add(
      "run_command",
      "Runs a shell script (bash) in the workspace, in a sandbox: no terminal, no input, and no network "
      "unless the task allows it. Processes that it leaves in the background are ended with it.",
      object_schema({{"command", "string", "the script"},
                     {"timeout_s", "integer", "seconds after which it is stopped", false}}),
      [&attempt, &log, longest](const Value& input) { return run_command(attempt, log, longest, input); });
}

}  // namespace ez::agents
