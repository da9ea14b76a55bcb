#include "planning/texts.h"

namespace ez::planning {

std::string_view saas_template_text();  // made from templates/saas.md

const std::vector<Template>& templates() {
  static const std::vector<Template> all{
      {"saas", "software as a service: tenants, accounts, an API, a page, an end-to-end test",
       saas_template_text()}};
  return all;
}

const Template* find_template(std::string_view name) {
  for (const Template& one : templates()) {
    if (one.name == name) return &one;
  }
  return nullptr;
}

}  // namespace ez::planning
