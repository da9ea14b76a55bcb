// What the planner is told, as data of the tree: the prompt, the templates, the form of its answer, and what
// tasks usually take.
#pragma once

#include <string_view>
#include <vector>

namespace ez::planning {

// planner.md, answer.json (JSON Schema) and usual.json of this folder.
[[nodiscard]] std::string_view planner_prompt_text();
[[nodiscard]] std::string_view answer_schema_text();
[[nodiscard]] std::string_view usual_effort_text();

struct Template {
  std::string_view name;     // "saas"
  std::string_view summary;  // one line
  std::string_view text;     // what is added to the description
};

[[nodiscard]] const std::vector<Template>& templates();
// Null when there is none of that name.
[[nodiscard]] const Template* find_template(std::string_view name);

}  // namespace ez::planning
