#include "orchestration/graph.h"

#include <gtest/gtest.h>

#include "base/utf8.h"
#include "orchestration/generator.h"
#include "orchestration/parse.h"

namespace ez::orchestration {
namespace {

const Workflow& sample() {
  static const ParsedWorkflow parsed = parse_workflow(R"(name: sample
tasks:
  - {id: inventory, run: make}
  - {id: build, dependencies: [inventory], for_each: "${{ ['a'] }}", run: make}
  - {id: lint, dependencies: [inventory], run: make}
  - {id: release, dependencies: [build, lint], approval: {}}
)");
  EXPECT_TRUE(parsed.ok());
  return *parsed.workflow;
}

std::string state_of(const Task& task) {
  if (task.id == "inventory") return "succeeded";
  return task.id == "build" ? "running" : task.id == "lint" ? "a \"b\" <c>\n#" : "";
}

TEST(Graph, Mermaid) {
  EXPECT_EQ(to_mermaid(sample(), state_of), R"(flowchart TD
  t0["inventory<br/>succeeded"]
  t1[["build ×n<br/>running"]]
  t2["lint<br/>a #quot;b#quot; #lt;c#gt; #35;"]
  t3{{"release"}}
  t0 --> t1
  t0 --> t2
  t1 --> t3
  t2 --> t3
  classDef running fill:#bfdbfe,color:#111111
  classDef succeeded fill:#bbf7d0,color:#111111
  class t0 succeeded
  class t1 running
)");
}

TEST(Graph, Dot) {
  EXPECT_EQ(to_dot(sample(), state_of), R"(digraph "sample" {
  rankdir=TB;
  node [shape=box, style="rounded,filled", fillcolor="#ffffff"];
  t0 [label="inventory\nsucceeded", fillcolor="#bbf7d0"];
  t1 [label="build ×n\nrunning", peripheries=2, fillcolor="#bfdbfe"];
  t2 [label="lint\na \"b\" <c> #"];
  t3 [label="release", shape=hexagon];
  t0 -> t1;
  t0 -> t2;
  t1 -> t3;
  t2 -> t3;
}
)");
}

TEST(Graph, Layers) {
  EXPECT_EQ(draw_layers(sample(), state_of),
            "1 ── ● inventory  succeeded\n"
            "2 ┬─ ● build ×n   running      ← inventory\n"
            "  └─ ● lint       a \"b\" <c> #  ← inventory\n"
            "3 ── ◆ release                 ← build, lint\n");
  EXPECT_EQ(draw_layers(sample(), {}, {.width = 32, .unicode = false}),
            "1 -- * inventory\n"
            "2 +- * build xn   <- inventory\n"
            "  +- * lint       <- inventory\n"
            "3 -- ? release    <- build, lint\n");
  EXPECT_EQ(draw_layers(sample(), {}, {.width = 28, .unicode = false}),
            "1 -- * inventory\n"
            "2 +- * build xn   <- +1 more\n"
            "  +- * lint       <- +1 more\n"
            "3 -- ? release    <- +2 more\n");
  EXPECT_EQ(draw_layers(sample(), {}, {.max_tasks = 1}), "1 ── ● inventory\n… and 3 more tasks\n");
}

TEST(Graph, LinesStayInsideTheWidth) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    SeededRandom random(seed);
    const ParsedWorkflow parsed = parse_workflow(generate_workflow(random).source);
    ASSERT_TRUE(parsed.ok()) << "seed " << seed;
    for (const std::size_t width : {1U, 20U, 33U, 60U, 120U}) {
      for (const bool unicode : {true, false}) {
        const std::string drawn =
            draw_layers(*parsed.workflow, [](const Task& task) { return task.name + "\tü"; },
                        {.width = width, .unicode = unicode});
        std::size_t lines = 0;
        for (std::size_t start = 0; start < drawn.size(); ++lines) {
          const std::size_t end = drawn.find('\n', start);
          const std::string line = drawn.substr(start, end - start);
          EXPECT_LE(count_code_points(line), std::max<std::size_t>(20, width)) << "seed " << seed << "\n"
                                                                               << line;
          start = end + 1;
        }
        EXPECT_EQ(lines, parsed.workflow->tasks.size()) << "seed " << seed;
      }
    }
  }
}

}  // namespace
}  // namespace ez::orchestration
