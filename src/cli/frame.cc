#include "cli/frame.h"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>

#include "base/utf8.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

struct Look {
  std::string_view symbol;
  std::string_view ascii;
  std::string_view color;  // SGR parameters
};

const Look& look_of(std::string_view state) {
  static const std::map<std::string_view, Look> looks{
      {"succeeded", {"✔", "+", "32"}},    {"failed", {"✘", "x", "31"}},      {"running", {"●", "*", "36"}},
      {"merge_queued", {"⇢", ">", "36"}}, {"merge_ready", {"⇢", ">", "36"}}, {"merging", {"⇢", ">", "36"}},
      {"timer", {"◷", "~", "36"}},        {"signal", {"◇", "~", "36"}},         {"child", {"●", "*", "36"}},
      {"expanded", {"▤", "#", "36"}},     {"backoff", {"↻", "~", "33"}},     {"approval", {"◆", "?", "33;1"}},
      {"conflict", {"◆", "?", "33;1"}},   {"paused", {"◆", "?", "33;1"}},    {"skipped", {"⊘", "-", "2"}},
      {"cancelled", {"⊗", "-", "2"}},     {"ready", {"◌", ".", ""}},         {"throttled", {"◌", ".", ""}}};
  static const Look waiting{"○", ".", "2"};
  const auto found = looks.find(state);
  return found == looks.end() ? waiting : found->second;
}

std::string_view state_word(std::string_view state) {
  if (state == "approval") return "approval?";
  if (state == "merge_queued" || state == "merge_ready") return "merge";
  if (state == "backoff") return "retries";
  return state;
}

std::string colored(const std::string& text, std::string_view color, const FrameLimits& limits) {
  if (!limits.color || color.empty() || text.empty()) return text;
  return "\x1b[" + std::string(color) + "m" + text + "\x1b[0m";
}

std::string symbol(std::string_view state, const FrameLimits& limits) {
  const Look& look = look_of(state);
  return colored(std::string(limits.unicode ? look.symbol : look.ascii), look.color, limits);
}

struct Counts {
  std::size_t total = 0, done = 0, running = 0, failed = 0, person = 0, succeeded = 0, skipped = 0;
  void add(const TaskPicture& task) {
    ++total;
    done += is_done(task.state) ? 1 : 0;
    running += task.state == "running" || task.state == "merging" ? 1 : 0;
    failed += task.state == "failed" ? 1 : 0;
    person += waits_for_person(task.state) ? 1 : 0;
    succeeded += task.state == "succeeded" ? 1 : 0;
    skipped += task.state == "skipped" ? 1 : 0;
  }
};

// Instances count, not the group that they belong to.
Counts counts_of(const RunPicture& run) {
  Counts counts;
  for (const TaskPicture& task : run.tasks) {
    if (!task.is_group) counts.add(task);
  }
  return counts;
}

std::string elapsed(const TaskPicture& task, std::int64_t now_ms) {
  if (task.started_ms == 0) return "";
  return duration_text((task.finished_ms != 0 ? task.finished_ms : now_ms) - task.started_ms);
}

struct Line {
  std::string text;  // as it is shown
  int rank = 0;      // which lines stay when there is no room: the larger ones
};

constexpr int kRankDone = 0, kRankWaiting = 1, kRankReady = 2, kRankTrouble = 3, kRankAlive = 4,
              kRankPerson = 5;

int rank_of(const TaskPicture& task) {
  if (waits_for_person(task.state)) return kRankPerson;
  if (task.state == "failed") return kRankTrouble;
  if (is_done(task.state)) return kRankDone;
  if (task.state == "waiting") return kRankWaiting;
  return task.state == "ready" || task.state == "throttled" ? kRankReady : kRankAlive;
}

std::string command_for(const RunPicture& run, const TaskPicture& task) {
  const std::string place = run.id + " " + task.id;
  if (task.state == "paused") return "ez retry " + place + "   or   ez reject " + place;
  return "ez approve " + place + "   or   ez reject " + place;
}

class Drawing {
 public:
  Drawing(const RunPicture& run, std::int64_t now_ms, const FrameLimits& limits)
      : run_(run), now_ms_(now_ms), limits_(limits) {
    for (const TaskPicture& task : run.tasks) {
      if (!task.group.empty()) instances_[task.group].push_back(&task);
      const std::size_t indent = task.group.empty() ? 0 : 2;
      id_width_ = std::max(id_width_, count_code_points(task.id) + indent + (task.is_group ? 5 : 0));
    }
    id_width_ = std::min(id_width_, std::max<std::size_t>(12, limits.width / 2));
  }

  std::vector<std::string> draw() {
    std::vector<std::string> out;
    out.push_back(head());
    out.push_back(bar());
    if (run_.state == "paused" && !run_.error.empty()) {
      out.push_back(below(printable(run_.error), "33;1"));
      if (run_.error.starts_with("BUDGET_EXCEEDED"))
        out.push_back(below("ez budget " + run_.id + " --add USD   or   ez cancel " + run_.id, "1"));
    }
    for (const TaskPicture& task : run_.tasks) {
      if (!task.group.empty()) continue;
      add(task, 0);
    }
    fold(out);
    return out;
  }

 private:
  // Cuts to the width before colours are put in.
  std::string fitted(std::string_view mark, const std::string& text, std::string_view color) const {
    if (limits_.width < 3) return std::string(mark);
    const std::size_t room = limits_.width - 2;
    return std::string(mark) + " " + colored(clipped(text, room), color, limits_);
  }

  // A line below its task, indented.
  std::string below(const std::string& text, std::string_view color) const {
    return colored(clipped("    " + text, limits_.width), color, limits_);
  }

  std::string head() const {
    std::string text = run_.id + "  " + printable(run_.workflow) + "  " + run_.state + "  " +
                       duration_text((run_.finished_ms != 0 ? run_.finished_ms : now_ms_) - run_.created_ms);
    if (run_.cost_microusd != 0 || run_.budget_microusd != 0) text += "  " + money_text(run_.cost_microusd);
    if (run_.budget_microusd != 0) text += " of " + money_text(run_.budget_microusd);
    return colored(clipped(text, limits_.width), "1", limits_);
  }

  std::string bar() const {
    const Counts counts = counts_of(run_);
    std::string words = " " + std::to_string(counts.done) + "/" + std::to_string(counts.total);
    if (counts.running > 0) words += "  " + std::to_string(counts.running) + " running";
    if (counts.failed > 0) words += "  " + std::to_string(counts.failed) + " failed";
    if (counts.person > 0) words += "  " + std::to_string(counts.person) + " waiting for a person";
    const std::size_t used = count_code_points(words);
    if (limits_.width < used + 12) return clipped(words, limits_.width);
    const std::size_t length = std::min<std::size_t>(limits_.width - used - 1, 40);
    const std::size_t full = counts.total == 0 ? 0 : length * counts.done / counts.total;
    std::string done, rest;
    for (std::size_t i = 0; i < full; ++i) done += limits_.unicode ? "━" : "=";
    for (std::size_t i = full; i < length; ++i) rest += limits_.unicode ? "╌" : "-";
    return colored(done, counts.failed > 0 ? "31" : "32", limits_) + colored(rest, "2", limits_) + words;
  }

  void add(const TaskPicture& task, std::size_t indent) {
    const auto found = instances_.find(task.id);
    if (found != instances_.end()) {
      add_group(task, found->second);
      return;
    }
    std::string text = std::string(indent, ' ') +
                       padded(clipped(task.id, id_width_ - indent), id_width_ - indent) + "  " +
                       padded(state_word(task.state), 9);
    const std::string time = elapsed(task, now_ms_);
    text += "  " + padded(time, 6);
    if (task.attempt > 1) {
      text += "  attempt " + std::to_string(task.attempt);
      if (task.max_attempts > 0) text += "/" + std::to_string(task.max_attempts);
    }
    if (!is_done(task.state) && !task.agent.empty()) text += "  " + printable(task.agent);
    if (!task.error.empty() && task.state != "succeeded") text += "  " + printable(task.error);
    while (!text.empty() && text.back() == ' ') text.pop_back();
    lines_.push_back(
        {fitted(symbol(task.state, limits_), text, task.state == "failed" ? "31" : ""), rank_of(task)});
    if (!waits_for_person(task.state)) return;
    if (!task.message.empty()) lines_.push_back({below(printable(task.message), ""), kRankPerson});
    lines_.push_back({below(command_for(run_, task), "1"), kRankPerson});
  }

  void add_group(const TaskPicture& task, const std::vector<const TaskPicture*>& instances) {
    Counts counts;
    for (const TaskPicture* instance : instances) counts.add(*instance);
    std::string text =
        padded(clipped(task.id + (limits_.unicode ? " ×" : " x") + std::to_string(counts.total), id_width_),
               id_width_) +
        "  " + std::to_string(counts.done) + "/" + std::to_string(counts.total) + " done";
    if (counts.running > 0) text += ", " + std::to_string(counts.running) + " running";
    if (counts.failed > 0) text += ", " + std::to_string(counts.failed) + " failed";
    if (counts.person > 0) text += ", " + std::to_string(counts.person) + " waiting for a person";
    lines_.push_back({fitted(symbol(task.state, limits_), text, ""), rank_of(task)});
    for (const TaskPicture* instance : instances) {
      if (rank_of(*instance) >= kRankTrouble) add(*instance, 2);
    }
  }

  // The least interesting lines go first, the last ones of the list before the first ones.
  void fold(std::vector<std::string>& out) const {
    const std::size_t room = limits_.height > out.size() ? limits_.height - out.size() : 0;
    std::vector<bool> shown(lines_.size(), true);
    std::size_t left = lines_.size();
    for (int rank = kRankDone; rank <= kRankPerson && left + (left < lines_.size() ? 1 : 0) > room; ++rank) {
      for (std::size_t i = lines_.size(); i-- > 0 && left + (left < lines_.size() ? 1 : 0) > room;) {
        if (lines_[i].rank != rank) continue;
        shown[i] = false;
        --left;
      }
    }
    for (std::size_t i = 0; i < lines_.size(); ++i) {
      if (shown[i]) out.push_back(lines_[i].text);
    }
    const std::size_t folded = lines_.size() - left;
    if (folded > 0 && out.size() < limits_.height) {
      out.push_back(
          colored(clipped("  … " + std::to_string(folded) + " more lines; `ez show " + run_.id + "` has all",
                          limits_.width),
                  "2", limits_));
    }
    if (out.size() > limits_.height) out.resize(limits_.height);
  }

  const RunPicture& run_;
  const std::int64_t now_ms_;
  const FrameLimits limits_;
  std::map<std::string, std::vector<const TaskPicture*>> instances_;
  std::size_t id_width_ = 8;
  std::vector<Line> lines_;
};

}  // namespace

std::vector<std::string> draw_frame(const RunPicture& run, std::int64_t now_ms, const FrameLimits& limits) {
  return Drawing(run, now_ms, limits).draw();
}

std::string state_mark(std::string_view state, const FrameLimits& limits) { return symbol(state, limits); }

std::string change_line(const RunPicture& run, const TaskPicture& task) {
  const std::string& state = task.state;
  const std::string attempt = task.attempt > 1 ? " (attempt " + std::to_string(task.attempt) + ")" : "";
  const std::string why = task.error.empty() ? "" : ": " + printable(task.error);
  if (state == "running") return task.id + " running" + attempt;
  if (state == "succeeded" || state == "cancelled") {
    const std::string time = elapsed(task, task.finished_ms);
    return task.id + " " + state + (time.empty() ? "" : " after " + time);
  }
  if (state == "skipped") return task.id + " skipped";
  if (state == "failed") return task.id + " failed" + why;
  if (state == "backoff")
    return task.id + " attempt " + std::to_string(task.attempt) + " failed, retries" + why;
  if (waits_for_person(state)) {
    std::string text = task.id + (state == "approval" ? " waits for approval"
                                  : state == "paused" ? " paused"
                                                      : " conflict");
    if (!task.message.empty()) text += ": " + printable(task.message);
    return text + "\n  " + command_for(run, task);
  }
  return "";
}

std::string replayed_line(const RunPicture& run) {
  if (run.replayed_calls == 0) return "";
  return "  replayed: " + std::to_string(run.replayed_calls) + " of " + std::to_string(run.model_calls) +
         " calls of models were answered from a recording\n";
}

std::string summary_text(const RunPicture& run, const FrameLimits& limits) {
  const Counts counts = counts_of(run);
  std::string out = symbol(run.state, limits) + " run " + run.id + " (" + printable(run.workflow) + ") " +
                    run.state + " in " + duration_text(run.finished_ms - run.created_ms) + ": " +
                    std::to_string(counts.succeeded) + " of " + std::to_string(counts.total) +
                    " tasks succeeded";
  if (counts.failed > 0) out += ", " + std::to_string(counts.failed) + " failed";
  if (counts.skipped > 0) out += ", " + std::to_string(counts.skipped) + " skipped";
  if (run.cost_microusd != 0) out += ", cost " + money_text(run.cost_microusd);
  out += "\n" + replayed_line(run);
  if (!run.error.empty()) out += "  " + printable(run.error) + "\n";
  constexpr std::size_t kShown = 10;
  std::size_t failed = 0;
  for (const TaskPicture& task : run.tasks) {
    if (task.state != "failed" || task.is_group) continue;
    if (++failed <= kShown) {
      out += "  " + symbol("failed", limits) + " " + task.id + "  " + printable(task.error) +
             "\n    ez logs " + run.id + " " + task.id + "\n";
    }
  }
  if (failed > kShown) out += "  and " + std::to_string(failed - kShown) + " more; ez show " + run.id + "\n";
  if (!run.branch.empty()) {
    out += "  branch " + printable(run.branch) + (run.head.empty() ? "" : " at " + run.head.substr(0, 12)) +
           (run.repository.empty() ? "" : " of " + printable(run.repository)) + "\n";
  }
  std::size_t artifacts = 0;
  for (const TaskPicture& task : run.tasks) {
    for (const std::string& name : task.artifacts) {
      if (++artifacts <= kShown) out += "  artifact " + task.id + "/" + printable(name) + "\n";
    }
  }
  if (artifacts > kShown) out += "  and " + std::to_string(artifacts - kShown) + " more artifacts\n";
  if (artifacts > 0) out += "  ez artifacts " + run.id + " --get NAME --out FILE\n";
  out += "  ez show " + run.id + "   ez logs " + run.id + " TASK\n";
  return out;
}

}  // namespace ez::cli
