#include "agents/llm/prompts.h"

#include "agents/llm/tool_box.h"
#include "base/json.h"

namespace ez::agents {
namespace {

void section(std::string& out, std::string_view title, const std::string& text) {
  out += "\n\n## " + std::string(title) + "\n\n" + text;
}

bool says_something(const Value& value) {
  return !value.is_null() && !(value.is_map() && value.as_map().empty());
}

}  // namespace

std::string system_prompt(const orchestration::AgentTypes& types, const orchestration::AgentType& type) {
  std::string out = types.system_prompt;
  if (!type.system_prompt.empty()) out += (out.empty() ? "" : "\n") + type.system_prompt;
  return out.empty() ? "You are a software engineer." : out;
}

std::string task_prompt(const WorkItem& item, PromptReader reader) {
  std::string out = item.prompt;
  while (!out.empty() && (out.back() == '\n' || out.back() == ' ')) out.pop_back();
  if (says_something(item.inputs)) section(out, "Inputs", shortened(to_json(item.inputs), kMaxShownOutput));
  if (!item.item.is_null()) {
    section(out, "Item",
            shortened(to_json(item.item), kMaxShownOutput) + " (number " + to_json(item.index) + ")");
  }
  std::string earlier;
  for (const auto& [task, dependency] : item.dependencies) {
    earlier += "- " + task + " (" + dependency.state + ")";
    if (!dependency.output_blob.empty()) earlier += ": its output is large, see /ez/input.json";
    if (says_something(dependency.output))
      earlier += ": " + shortened(to_json(dependency.output), kMaxShownOutput);
    earlier += "\n";
    for (const ArtifactRef& artifact : dependency.artifacts)
      earlier += "  - /ez/dependencies/" + task + "/" + artifact.name + "\n";
  }
  if (!earlier.empty()) section(out, "Earlier tasks", earlier);
  std::string place;
  if (item.workspace.mode == "write") {
    place = "The repository is in /workspace, which is where commands run. What you change there is merged.";
  } else if (item.workspace.mode == "read") {
    place = "The repository is in /workspace, to be looked at: what you change there is thrown away.";
  } else {
    place = "There is no repository. /workspace is empty and thrown away afterwards.";
  }
  place += reader == PromptReader::kLoop ? " Files for people go into /ez/artifacts (by run_command)."
                                         : " Files for people go into /ez/artifacts.";
  section(out, "Place", place);
  if (!item.verify.empty())
    section(out, "Check",
            "This has to succeed when you are done:\n\n" + shortened(item.verify, kMaxShownOutput));
  if (!item.output_schema.is_null()) {
    section(out, "Output",
            reader == PromptReader::kLoop
                ? "Call finish with an output that fits the JSON Schema of that tool."
                : "Write one JSON value that fits this JSON Schema into the file /ez/out/output.json:\n\n" +
                      to_json(item.output_schema));
  }
  return out;
}

std::string check_prompt(const WorkItem& item, const Error& failure, const std::string& text) {
  return "The task's check has failed: " + failure.message() + ".\n\nThe check:\n\n" +
         shortened(item.verify, kMaxShownOutput) + "\n\nThe end of what it printed:\n\n" +
         shortened(text, 16 * 1024) + "\n\nMend the work, not the check, and call finish again.";
}

}  // namespace ez::agents
