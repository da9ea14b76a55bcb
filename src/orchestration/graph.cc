#include "orchestration/graph.h"

#include <algorithm>
#include <array>
#include <set>

#include "base/utf8.h"
#include "orchestration/dag.h"

namespace ez::orchestration {
namespace {

struct StateColour {
  std::string_view state;
  std::string_view fill;
};
constexpr std::array<StateColour, 9> kColours{{{"waiting", "#eeeeee"},
                                               {"ready", "#dbeafe"},
                                               {"running", "#bfdbfe"},
                                               {"merging", "#c7d2fe"},
                                               {"succeeded", "#bbf7d0"},
                                               {"failed", "#fecaca"},
                                               {"paused", "#fde68a"},
                                               {"skipped", "#e5e7eb"},
                                               {"cancelled", "#d1d5db"}}};

std::string_view colour_of(std::string_view state) {
  for (const StateColour& known : kColours) {
    if (known.state == state) return known.fill;
  }
  return {};
}

// One line without control characters, at most `limit` code points.
std::string one_line(std::string_view text, std::size_t limit, std::string_view more) {
  std::string out;
  std::vector<std::size_t> starts;  // of each code point in out
  while (!text.empty()) {
    const std::uint32_t point = take_code_point(text);
    if (starts.size() == limit) {
      const std::size_t keep = limit - std::min(limit, count_code_points(more));
      out.resize(keep < starts.size() ? starts[keep] : out.size());
      return out += more.substr(0, limit);
    }
    starts.push_back(out.size());
    append_utf8(out, point < 0x20 || point == 0x7F ? ' ' : point);
  }
  return out;
}

std::string annotation_of(const Annotate& annotate, const Task& task) {
  static constexpr std::size_t kMaxAnnotation = 80;
  return annotate ? one_line(annotate(task), kMaxAnnotation, "…") : std::string();
}

std::string node_name(std::size_t index) { return "t" + std::to_string(index); }

std::string mermaid_escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "#quot;";
        break;
      case '<':
        out += "#lt;";
        break;
      case '>':
        out += "#gt;";
        break;
      case '#':
        out += "#35;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string dot_escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

std::string to_mermaid(const Workflow& workflow, const Annotate& annotate) {
  std::string out = "flowchart TD\n";
  std::set<std::string> used;
  std::string classes;
  for (std::size_t i = 0; i < workflow.tasks.size(); ++i) {
    const Task& task = workflow.tasks[i];
    const std::string annotation = annotation_of(annotate, task);
    std::string label = mermaid_escape(task.id) + (task.for_each ? " ×n" : "");
    if (!annotation.empty()) label += "<br/>" + mermaid_escape(annotation);
    const std::string_view open = task.is_approval_only() ? "{{"
                                  : task.wait             ? "(["
                                  : task.for_each         ? "[["
                                                          : "[";
    const std::string_view close = task.is_approval_only() ? "}}"
                                   : task.wait             ? "])"
                                   : task.for_each         ? "]]"
                                                           : "]";
    out.append("  ")
        .append(node_name(i))
        .append(open)
        .append("\"")
        .append(label)
        .append("\"")
        .append(close) += '\n';
    if (!colour_of(annotation).empty()) {
      used.insert(annotation);
      classes += "  class " + node_name(i) + " " + annotation + "\n";
    }
  }
  for (std::size_t i = 0; i < workflow.tasks.size(); ++i) {
    for (const std::uint32_t d : workflow.tasks[i].dependencies) {
      out += "  " + node_name(d) + " --> " + node_name(i) + "\n";
    }
  }
  for (const std::string& state : used) {
    out += "  classDef " + state + " fill:" + std::string(colour_of(state)) + ",color:#111111\n";
  }
  return out + classes;
}

std::string to_dot(const Workflow& workflow, const Annotate& annotate) {
  std::string out =
      "digraph \"" + dot_escape(workflow.name) +
      "\" {\n  rankdir=TB;\n  node [shape=box, style=\"rounded,filled\", fillcolor=\"#ffffff\"];\n";
  for (std::size_t i = 0; i < workflow.tasks.size(); ++i) {
    const Task& task = workflow.tasks[i];
    const std::string annotation = annotation_of(annotate, task);
    out += "  " + node_name(i) + " [label=\"" + dot_escape(task.id) + (task.for_each ? " ×n" : "");
    if (!annotation.empty()) out += "\\n" + dot_escape(annotation);
    out += '"';
    if (task.is_approval_only()) out += ", shape=hexagon";
    if (task.wait) out += ", shape=oval";
    if (task.for_each) out += ", peripheries=2";
    if (!colour_of(annotation).empty()) out += ", fillcolor=\"" + std::string(colour_of(annotation)) + "\"";
    out += "];\n";
  }
  for (std::size_t i = 0; i < workflow.tasks.size(); ++i) {
    for (const std::uint32_t d : workflow.tasks[i].dependencies) {
      out += "  " + node_name(d) + " -> " + node_name(i) + ";\n";
    }
  }
  return out + "}\n";
}

namespace {

void pad_to(std::string& text, std::size_t width) {
  const std::size_t length = count_code_points(text);
  if (length < width) text.append(width - length, ' ');
}

// "build, lint, test" or "build, +2 more".
std::string dependency_list(const Workflow& workflow, const Task& task, std::size_t limit,
                            std::string_view more) {
  std::string out;
  for (std::size_t i = 0; i < task.dependencies.size() && out.size() <= limit; ++i) {
    out += std::string(i == 0 ? "" : ", ") + workflow.tasks[task.dependencies[i]].id;
  }
  if (out.size() <= limit) return out;
  out.clear();
  for (std::size_t i = 0; i < task.dependencies.size(); ++i) {
    const std::string& id = workflow.tasks[task.dependencies[i]].id;
    const std::size_t left = task.dependencies.size() - i;
    const std::string rest = "+" + std::to_string(left) + " more";
    const std::string separator = i == 0 ? "" : ", ";
    // Room for this one, and for the count of those behind it.
    const std::size_t after = left > 1 ? 2 + rest.size() : 0;
    if (out.size() + separator.size() + id.size() + after > limit) {
      return one_line(out + separator + rest, limit, more);
    }
    out += separator + id;
  }
  return one_line(out, limit, more);
}

}  // namespace

std::string draw_layers(const Workflow& workflow, const Annotate& annotate, const DrawingLimits& limits) {
  const std::size_t width = std::max<std::size_t>(20, limits.width);
  const std::string_view more = limits.unicode ? "…" : "..";
  std::vector<std::uint32_t> layer(workflow.tasks.size(), 0);
  std::vector<std::vector<std::uint32_t>> layers;
  for (const std::uint32_t task : topological_order(workflow.tasks)) {
    for (const std::uint32_t d : workflow.tasks[task].dependencies)
      layer[task] = std::max(layer[task], layer[d] + 1);
    if (layers.size() <= layer[task]) layers.resize(layer[task] + 1);
    layers[layer[task]].push_back(task);
  }
  struct Line {
    std::uint32_t task = 0;
    std::string left;  // number, connector, mark and id
    std::string annotation;
  };
  std::vector<Line> lines;
  const std::size_t number_width = std::to_string(layers.size()).size();
  std::size_t left_width = 0;
  std::size_t annotation_width = 0;
  for (std::size_t l = 0; l < layers.size() && lines.size() < limits.max_tasks; ++l) {
    std::sort(layers[l].begin(), layers[l].end());
    for (std::size_t i = 0; i < layers[l].size() && lines.size() < limits.max_tasks; ++i) {
      const Task& task = workflow.tasks[layers[l][i]];
      const bool is_last = i + 1 == layers[l].size();
      Line line;
      line.task = layers[l][i];
      const std::string number = i == 0 ? std::to_string(l + 1) : std::string();
      line.left = std::string(number_width - number.size(), ' ') + number;
      if (limits.unicode) {
        line.left += layers[l].size() == 1 ? " ── " : i == 0 ? " ┬─ " : is_last ? " └─ " : " ├─ ";
        line.left += task.is_approval_only() ? "◆ " : "● ";
      } else {
        line.left += layers[l].size() == 1 ? " -- " : " +- ";
        line.left += task.is_approval_only() ? "? " : "* ";
      }
      line.left += task.id;
      if (task.for_each) line.left += limits.unicode ? " ×n" : " xn";
      line.left = one_line(line.left, width * 3 / 5, more);
      line.annotation = annotate ? one_line(annotate(task), width / 4, more) : std::string();
      left_width = std::max(left_width, count_code_points(line.left));
      annotation_width = std::max(annotation_width, count_code_points(line.annotation));
      lines.push_back(std::move(line));
    }
  }
  std::string out;
  for (const Line& line : lines) {
    const Task& task = workflow.tasks[line.task];
    std::string text = line.left;
    if (!line.annotation.empty()) {
      pad_to(text, left_width + 2);
      text += line.annotation;
    }
    const std::size_t column = left_width + (annotation_width == 0 ? 0 : annotation_width + 2) + 2;
    if (!task.dependencies.empty() && column + 6 < width) {
      pad_to(text, column);
      text += limits.unicode ? "← " : "<- ";
      const std::size_t room = width - column - (limits.unicode ? 2 : 3);
      text += dependency_list(workflow, task, room, more);
    }
    out += text + "\n";
  }
  if (lines.size() < workflow.tasks.size()) {
    out += one_line(std::string(more) + " and " + std::to_string(workflow.tasks.size() - lines.size()) +
                        " more tasks",
                    width, more) +
           "\n";
  }
  return out;
}

}  // namespace ez::orchestration
