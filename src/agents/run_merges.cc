#include "agents/run_merges.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <string_view>

namespace ez::agents {
namespace {

bool is_object_name(std::string_view text) {
  return (text.size() == 40 || text.size() == 64) && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

// The value of the last line "name: value" of a message; empty when there is none.
std::string trailer_of(std::string_view message, std::string_view name) {
  std::string found;
  while (!message.empty()) {
    const std::size_t end = std::min(message.find('\n'), message.size());
    const std::string_view line = message.substr(0, end);
    if (line.size() > name.size() + 2 && line.starts_with(name) && line.substr(name.size(), 2) == ": ")
      found = line.substr(name.size() + 2);
    message.remove_prefix(std::min(end + 1, message.size()));
  }
  return found;
}

std::string_view take_field(std::string_view& text) {
  const std::size_t end = std::min(text.find('\0'), text.size());
  const std::string_view field = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return field;
}

// Of the commits, those that the repository has.
Result<std::vector<std::string>> present_commits(const Git& git, const std::set<std::string>& wanted) {
  GitCall call;
  call.arguments = {"cat-file", "--batch-check=%(objectname) %(objecttype)"};
  for (const std::string& name : wanted) call.input += name + "\n";
  EZ_ASSIGN(const std::string text, git.text(call));
  std::vector<std::string> out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = std::string_view(text).substr(at, end - at);
    if (line.ends_with(" commit")) out.emplace_back(line.substr(0, line.find(' ')));
    at = end + 1;
  }
  return out;
}

}  // namespace

Result<RunMerges> find_run_merges(const Git& git, const std::string& run,
                                  const std::vector<MergedTask>& tasks, std::int64_t since_s) {
  RunMerges out;
  std::set<std::string> heads;
  std::set<std::string> works;
  for (const MergedTask& task : tasks) {
    if (!is_object_name(task.head) || !(task.commit.empty() || is_object_name(task.commit)))
      return Error(Code::InvalidArgument, "the record of task " + task.task + " names no commits");
    heads.insert(task.head);
    if (!task.commit.empty()) works.insert(task.commit);
  }
  EZ_ASSIGN(const std::vector<std::string> present, present_commits(git, heads));
  std::set<std::string> seen;        // works
  std::set<std::string> seen_tasks;  // that have a merge, of whatever work
  if (!present.empty()) {
    GitCall list;
    list.arguments = {"log",
                      "--merges",
                      "--topo-order",
                      "-z",
                      "--max-count=" + std::to_string(kMaxRunMerges),
                      "--format=%H%x00%P%x00%ct%x00%B",
                      "--stdin"};
    for (const std::string& name : present) list.input += name + "\n";
    list.max_output_bytes = kMaxMergeListBytes;
    EZ_ASSIGN(const std::string text, git.text(list));
    std::string_view rest = text;
    while (!rest.empty()) {
      const std::string_view id = take_field(rest);
      const std::string_view parents = take_field(rest);
      const std::string_view time = take_field(rest);
      const std::string_view message = take_field(rest);
      const std::size_t blank = parents.find(' ');
      if (blank == std::string_view::npos || trailer_of(message, "Ez-Run") != run) continue;
      const std::string work(parents.substr(blank + 1));
      std::int64_t committed_s = 0;
      std::from_chars(time.data(), time.data() + time.size(), committed_s);
      if (!works.contains(work) && committed_s < since_s) continue;
      seen.insert(work);
      out.merges.push_back(
          {trailer_of(message, "Ez-Task"), std::string(id), std::string(parents.substr(0, blank)), work});
    }
  }
  for (const MergedTask& task : tasks) {
    const bool found = task.commit.empty() ? seen_tasks.contains(task.task) : seen.contains(task.commit);
    if (!found) out.missing.push_back(task.task);
  }
  return out;
}

}  // namespace ez::agents
