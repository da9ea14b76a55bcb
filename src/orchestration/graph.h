// Pictures of a workflow as text: Mermaid, Graphviz, and a drawing for terminals. Pure.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "orchestration/definition.h"

namespace ez::orchestration {

// What a task shows besides its id, for example its state in a run ("running"); empty: nothing.
using Annotate = std::function<std::string(const Task& task)>;

// A `flowchart TD`. Waiting tasks are hexagons, for_each tasks are stacked rectangles. Tasks with the same
// annotation share a class (`classDef` of known states have colours).
[[nodiscard]] std::string to_mermaid(const Workflow& workflow, const Annotate& annotate = {});

// A `digraph`, from top to bottom.
[[nodiscard]] std::string to_dot(const Workflow& workflow, const Annotate& annotate = {});

struct DrawingLimits {
  std::size_t width = 100;        // columns; at least 20
  std::size_t max_tasks = 2'000;  // the rest is counted in a last line
  bool unicode = true;            // false: ASCII only
};

// Layers from top to bottom: a task stands in the first layer below all of its dependencies. Its line has the
// number of the layer, a mark (● works, ◆ waits for a person), its id (×n: for_each), its annotation and what
// it waits for:
//
//   1 ── ● inventory   succeeded
//   2 ┬─ ● build ×n    running    ← inventory
//     └─ ● lint        ready      ← inventory
//   3 ── ◆ release                ← build, lint
//
// No line has more than `width` code points.
[[nodiscard]] std::string draw_layers(const Workflow& workflow, const Annotate& annotate = {},
                                      const DrawingLimits& limits = {});

}  // namespace ez::orchestration
