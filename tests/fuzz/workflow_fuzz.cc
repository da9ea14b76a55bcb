// Any bytes as a workflow file: parsing ends, and what it accepts reads back from its canonical form.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "orchestration/graph.h"
#include "orchestration/parse.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ez::orchestration;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const ParsedWorkflow parsed = parse_workflow(bytes);
  EZ_CHECK(parsed.ok() == parsed.diagnostics.empty(), "a workflow or mistakes, never both or neither");
  if (parsed.ok()) {
    const std::string canonical = to_canonical(*parsed.workflow);
    const auto again = from_canonical(canonical);
    EZ_CHECK(again.ok(), "a canonical form that does not read back");
    EZ_CHECK(to_canonical(**again) == canonical, "a canonical form that changes when it is read back");
    EZ_CHECK(!draw_layers(*parsed.workflow).empty(), "a workflow without a picture");
  }
  // The same bytes as what a log might hold.
  if (const auto read = from_canonical(bytes); read.ok()) {
    EZ_CHECK(from_canonical(to_canonical(**read)).ok(), "a canonical form that does not read back");
  }
  return 0;
}
