// What a resolver that asks a model is told; see resolver.h.
#include <algorithm>

#include "agents/files.h"
#include "agents/llm/prompts.h"
#include "agents/llm/tool_box.h"
#include "agents/resolver.h"

namespace ez::agents {
namespace {

constexpr std::size_t kMaxListedPaths = 60;

void add_section(std::string& out, const std::string& title, const std::string& text) {
  out += "\n\n## " + title + "\n\n" + text;
}

// Between fences that the text does not hold.
std::string fenced(const std::string& text) {
  std::string fence = "```";
  while (text.find(fence) != std::string::npos) fence += '`';
  const bool ended = text.empty() || text.back() == '\n';
  return fence + "\n" + text + (ended ? "" : "\n") + fence + "\n";
}

std::string listed(const std::vector<std::string>& paths) {
  std::string out;
  for (std::size_t i = 0; i < paths.size() && i < kMaxListedPaths; ++i) out += "- " + paths[i] + "\n";
  if (paths.size() > kMaxListedPaths) out += "- … all of them: `allowed` in /ez/merge/merge.json\n";
  return out;
}

// The sides of the files that conflict, whole as long as they are small.
std::string sides_text(const Workspace& place, const MergeProblem& problem) {
  std::string out;
  for (const MergeFile& file : problem.files) {
    for (std::size_t i = 0; i < file.sides.size(); ++i) {
      const std::string side(kMergeSides[i]);
      out += "### " + side + " of " + file.path + "\n\n";
      if (file.sides[i].mode.empty()) {
        out += i == 0 ? "not there\n\n" : "deleted, or never there\n\n";
        continue;
      }
      const std::string shown = "/ez/merge/" + side + "/" + file.path;
      auto text = read_file(place.root() + shown, kMaxSettledBytes);
      const bool small = text.ok() && text->size() <= kMaxShownSide && out.size() < kMaxShownSides &&
                         text->find('\0') == std::string::npos;
      out += small ? fenced(*text) + "\n" : "see " + shown + "\n\n";
    }
  }
  return out;
}

std::string what_to_do(const WorkItem& item, const MergeProblem& problem) {
  std::string out =
      "Two pieces of work on this repository do not fit together. You settle that, and nothing else: no task "
      "is done again, nothing is made nicer.\n\n"
      "- ours: what is merged already.\n"
      "- theirs: the work of the task " +
      item.task +
      ", which is to be merged into it.\n"
      "- base: what both began with.\n";
  if (problem.check_failed) {
    out +=
        "\nThe texts of the two are merged in the working tree, without conflict markers, but the check "
        "fails "
        "on it. Mend the work, not the check, so that what both sides meant holds. Of all files you may "
        "change "
        "only those that one of the sides has changed:\n\n";
  } else {
    out +=
        "\nThe files below conflict. In the working tree each holds conflict markers (`<<<<<<< ours`, "
        "`=======`, "
        "`>>>>>>> theirs`). Edit each so that it does what both sides meant, and leave no marker. Delete one "
        "only where a side has deleted it. Change no other file:\n\n";
  }
  return out + listed(problem.allowed) +
         "\nThe sides of each file that conflicts are whole in /ez/merge/base, /ez/merge/ours and "
         "/ez/merge/theirs (by run_command; read-only). The git directory is read-only too: edit files, add "
         "and commit nothing. ez looks at what you leave, then runs the task's check on it.";
}

}  // namespace

std::string resolver_prompt(const WorkItem& item, const Workspace& place, const MergeProblem& problem,
                            const std::vector<ResolverTry>& earlier, const std::string& check,
                            const std::string& printed) {
  std::string out = what_to_do(item, problem);
  const std::string& asked = item.prompt.empty() ? item.run_command : item.prompt;
  if (!asked.empty()) add_section(out, "What the task was asked for", shortened(asked, kMaxShownOutput));
  if (!item.merge.resolver->prompt.empty())
    add_section(out, "For this repository", shortened(item.merge.resolver->prompt, kMaxShownOutput));
  if (!problem.files.empty()) add_section(out, "The sides", sides_text(place, problem));
  if (problem.check_failed) {
    add_section(out, "The failing check",
                check + ". The end of what it printed:\n\n" + fenced(shortened(printed, kMaxShownOutput)));
  }
  std::string tried;
  for (std::size_t i = 0; i < earlier.size(); ++i)
    tried += std::to_string(i + 1) + ". " + earlier[i].error_message + "\n";
  if (!tried.empty()) add_section(out, "Earlier tries came to nothing", tried);
  return out;
}

}  // namespace ez::agents
