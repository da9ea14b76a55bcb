#include "models/dialect/estimate.h"

#include <algorithm>
#include <limits>

#include "base/json.h"

namespace ez::models {

namespace {

// Above what any vendor counts for one image at its largest size (docs/formats/dialects.md has the sums).
constexpr std::int64_t kImageUpper = 50'000;
constexpr std::int64_t kImageLikely = 1'600;
constexpr std::int64_t kPerRequest = 64;  // frames of the conversation
constexpr std::int64_t kPerMessage = 16;
constexpr std::int64_t kPerPart = 16;
constexpr std::int64_t kPerTool = 64;
constexpr std::int64_t kWithTools = 1'024;  // the provider's own words about tools

struct Count {
  std::int64_t bytes = 0;   // of text
  std::int64_t frames = 0;  // tokens
  std::int64_t images = 0;
  std::int64_t pages_bytes = 0;  // of documents
  bool bounded = true;

  void text(std::string_view more) { bytes += static_cast<std::int64_t>(more.size()); }
  void value(const Value& more) {
    if (!more.is_null()) bytes += static_cast<std::int64_t>(to_json(more).size());
  }
  void parts(const std::vector<Part>& parts) {
    for (const Part& part : parts) each(part);
  }
  void each(const Part& part) {
    frames += kPerPart;
    switch (part.kind) {
      case PartKind::kImage:
        ++images;
        break;
      case PartKind::kDocument:
        text(part.text);
        // A page is at least some hundred bytes, and counts as text and as an image.
        pages_bytes += static_cast<std::int64_t>(part.data.size());
        if (!part.url.empty()) bounded = false;
        break;
      case PartKind::kOpaque:
        value(part.raw);
        break;
      default:
        text(part.text);
        text(part.arguments);
        text(part.name);
        text(part.signature);
        value(part.extras);
    }
    if (part.url.starts_with("file:")) bounded = false;
    parts(part.content);
  }
};

}  // namespace

Estimate estimate_request(const ChatRequest& request) {
  Count count;
  count.frames = kPerRequest;
  count.parts(request.system);
  for (const Message& message : request.messages) {
    count.frames += kPerMessage;
    count.parts(message.parts);
  }
  bool hosted = false;
  for (const Tool& tool : request.tools) {
    count.frames += kPerTool;
    count.text(tool.name);
    count.text(tool.description);
    count.value(tool.schema);
    count.value(tool.raw);
    count.value(tool.extras);
    hosted = hosted || tool.kind == ToolKind::kHosted;
  }
  if (!request.tools.empty()) count.frames += kWithTools;
  if (request.format.has_value()) count.value(request.format->schema);
  Estimate out;
  out.input_upper = count.bytes + count.frames + count.images * kImageUpper + count.pages_bytes;
  // Texts and code have about three and a half bytes to a token; frames are mostly smaller than their bounds.
  out.input_likely =
      count.bytes * 2 / 7 + count.frames / 4 + count.images * kImageLikely + count.pages_bytes / 16;
  // What a provider fetches by itself comes on top, and nobody knows how much.
  for (const std::string_view fetched : {"mcp_servers", "container", "web_search_options"}) {
    hosted = hosted || request.extras.find(fetched) != nullptr;
  }
  out.bounded = count.bounded && !request.stored_context && !hosted;
  return out;
}

std::int64_t output_upper(const ChatRequest& request, std::int64_t model_max_output) {
  const std::int64_t each = request.max_tokens.value_or(model_max_output);
  std::int64_t all = 0;
  if (__builtin_mul_overflow(std::max<std::int64_t>(each, 0), request.answers, &all)) {
    return std::numeric_limits<std::int64_t>::max();
  }
  return all;
}

}  // namespace ez::models
