// The keys of a task that only an agent which asks a model has a use for.
#include "base/json.h"
#include "base/json_schema.h"
#include "orchestration/decoder.h"

namespace ez::orchestration {

void read_output_schema(Decoder& decoder, const Fields& fields, Task& task) {
  const auto node = fields.get("output_schema");
  if (!node) return;
  static constexpr std::string_view kExample = "Write `output_schema: {type: object, properties: {…}}`.";
  if (!fields.get("prompt")) {
    decoder.error(*fields.key("output_schema"), "`output_schema` is for tasks with a `prompt`",
                  "A `run` writes its output to $EZ_OUTPUT; check it there.");
    return;
  }
  if (decoder.tree.kind(*node) != SourceTree::Kind::kMap) {
    decoder.error(*node, "`output_schema` must be a map", std::string(kExample));
    return;
  }
  Value schema = decoder.tree.to_value(*node);
  if (to_json(schema).size() > kMaxOutputSchemaBytes) {
    decoder.error(*node, "`output_schema` has more than " + std::to_string(kMaxOutputSchemaBytes) + " bytes");
    return;
  }
  if (const auto compiled = JsonSchema::compile(schema); !compiled.ok()) {
    decoder.error(*node, "`output_schema`: " + compiled.error().message(), std::string(kExample));
    return;
  }
  task.output_schema = std::move(schema);
}

}  // namespace ez::orchestration
