// libFuzzer entry point: the first byte chooses what the rest is: a stream, a request, an answer or an error
// of one of the three dialects, or a line of a cassette. Nothing may crash, split bytes must give the same
// events, what is taken must be written in every dialect as something that is taken again, and figures are
// never negative.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "models/cassette/cassette.h"
#include "models/cassette/codec.h"
#include "models/dialect/estimate.h"
#include "models/dialect/listing.h"
#include "models/dialect/stream.h"
#include "models/prices.h"

// The build makes this of prices.json; here an empty table is enough.
namespace ez::models {
std::string_view prices_text();
std::string_view prices_text() { return R"({"dated":"2026-01-01"})"; }
}  // namespace ez::models

namespace {

using namespace ez;          // NOLINT
using namespace ez::models;  // NOLINT

constexpr Dialect kAll[] = {Dialect::kAnthropicMessages, Dialect::kOpenAiChat, Dialect::kOpenAiResponses};
constexpr Dialect kClients[] = {Dialect::kAnthropicMessages, Dialect::kOpenAiChat, Dialect::kOpenAiResponses,
                                Dialect::kGemini};

void check_usage(const Usage& usage) {
  EZ_CHECK(usage.input_tokens >= 0 && usage.cache_read_tokens >= 0 && usage.cache_write_tokens >= 0 &&
               usage.output_tokens >= 0 && usage.reasoning_tokens >= 0,
           "a negative count");
  EZ_CHECK(usage.cache_write_1h_tokens <= usage.cache_write_tokens &&
               usage.reasoning_tokens <= usage.output_tokens,
           "a part is larger than its whole");
}

struct Run {
  std::vector<ChatEvent> events;
  bool fed = true, ended = false;
  StreamSummary summary;
};

Run run(Dialect dialect, std::string_view bytes, std::size_t piece) {
  StreamLimits limits;
  limits.max_event_bytes = 64 * 1024;
  const std::unique_ptr<StreamReader> reader = StreamReader::make(dialect, limits);
  Run out;
  while (!bytes.empty() && out.fed) {
    const std::size_t size = std::min(piece, bytes.size());
    out.fed = reader->feed(bytes.substr(0, size), out.events).ok();
    bytes.remove_prefix(size);
  }
  out.ended = out.fed && reader->end(out.events).ok();
  out.summary = reader->summary();
  return out;
}

// The order that stream.h promises.
void check_order(const std::vector<ChatEvent>& events) {
  bool started = false, open = false, over = false;
  std::int32_t next = 0;
  for (const ChatEvent& event : events) {
    EZ_CHECK(!over, "an event after the end");
    switch (event.kind) {
      case EventKind::kStart:
        EZ_CHECK(!started, "a second start");
        started = true;
        break;
      case EventKind::kBlockStart:
        EZ_CHECK(started && !open && event.index == next, "a block out of order");
        open = true;
        break;
      case EventKind::kBlockStop:
        EZ_CHECK(open && event.index == next, "an end out of order");
        open = false;
        ++next;
        break;
      case EventKind::kFinish:
        EZ_CHECK(started && !open, "a finish out of order");
        check_usage(event.usage);
        over = true;
        break;
      case EventKind::kError:
        over = true;
        break;
      case EventKind::kPing:
        break;
      default:
        EZ_CHECK(open && event.index == next && !event.text.empty(), "a delta out of order");
    }
  }
}

void stream(Dialect dialect, std::string_view bytes) {
  const Run whole = run(dialect, bytes, bytes.size() + 1);
  const Run split = run(dialect, bytes, 1 + bytes.size() % 7);
  EZ_CHECK(whole.events.size() == split.events.size() && whole.ended == split.ended,
           "a split changes the events");
  check_order(whole.events);
  check_usage(whole.summary.usage);
  for (const Dialect client : kAll) {
    const std::unique_ptr<StreamWriter> writer =
        StreamWriter::make(client, Echo{"m", {"t"}, true, {}}, "s", 1);
    std::string out;
    for (const ChatEvent& event : whole.events) writer->write(event, out);
    if (!whole.ended || whole.summary.failed) continue;
    const Run back = run(client, out, out.size() + 1);
    // Only what is too large for one event here may not come back.
    EZ_CHECK(back.ended || out.size() > 64 * 1024, "a stream of ours is refused");
  }
  const std::unique_ptr<StreamWriter> gemini =
      StreamWriter::make(Dialect::kGemini, Echo{"m", {}, true, {}}, "s", 1);
  std::string pieces;
  for (const ChatEvent& event : whole.events) gemini->write(event, pieces);
  const std::unique_ptr<StreamMeter> replay = StreamMeter::make(Dialect::kGemini);
  replay->observe(pieces);
  check_usage(replay->summary().usage);
  const std::unique_ptr<StreamMeter> meter = StreamMeter::make(dialect);
  meter->observe(bytes);
  check_usage(meter->summary().usage);
}

void request(Dialect dialect, std::string_view bytes) {
  const Result<ChatRequest> parsed = parse_request(dialect, bytes);
  if (!parsed.ok()) return;
  const Estimate estimate = estimate_request(*parsed);
  EZ_CHECK(estimate.input_upper >= estimate.input_likely && estimate.input_likely >= 0,
           "an estimate is wrong");
  const Result<std::string> passed = pass_request(dialect, bytes, *parsed, "model");
  EZ_CHECK(!passed.ok() || parse_json(*passed, kBodyLimits).ok(), "an edited request is no JSON");
  for (const Dialect upstream : kAll) {
    const Result<Rendered> rendered = render_request(upstream, *parsed, "model");
    if (!rendered.ok()) continue;
    const Result<ChatRequest> again = parse_request(upstream, rendered->body);
    // Limits of numbers differ, so a message may name one; a form of ours must be right.
    EZ_CHECK(again.ok() || again.error().code() == Code::RequestInvalid, "a request of ours is refused");
  }
}

void answer(Dialect dialect, std::string_view bytes) {
  const Result<ChatAnswer> parsed = parse_answer(dialect, bytes);
  static_cast<void>(parse_models(bytes).ok());
  static_cast<void>(parse_embeddings_usage(bytes).ok());
  if (!parsed.ok()) return;
  check_usage(parsed->usage);
  check_order(events_of(*parsed));
  for (const Dialect client : kClients) {
    const std::string out = render_answer(client, *parsed, Echo{"m", {}, false, {}}, "s", 1);
    EZ_CHECK(parse_json(out, kBodyLimits).ok(), "an answer of ours is no JSON");
  }
}

void error(Dialect dialect, std::string_view bytes) {
  const ProviderError parsed =
      parse_error(dialect, 400 + static_cast<int>(bytes.size() % 200),
                  {{"retry-after", std::string(bytes.substr(0, 40))},
                   {"x-ratelimit-reset-tokens", std::string(bytes.substr(0, 40))},
                   {"anthropic-ratelimit-tokens-reset", std::string(bytes.substr(0, 40))}},
                  bytes, 1'795'000'000'000);
  EZ_CHECK(!parsed.message.empty() && parsed.message.size() <= 2'000, "a message without bounds");
  EZ_CHECK(!parsed.retry_after_ms || *parsed.retry_after_ms >= 0, "a negative wait");
  for (const Dialect client : kClients) {
    EZ_CHECK(parse_json(render_error(client, parsed).body).ok(), "an error of ours is no JSON");
  }
}

void cassette(std::string_view bytes) {
  static_cast<void>(PriceTable::parse(bytes).ok());
  const Result<CassetteEntry> entry = parse_entry(bytes, 1 << 20);
  if (entry.ok()) {
    const std::string line = entry_line(*entry);
    EZ_CHECK(parse_entry(std::string_view(line).substr(0, line.size() - 1), 1 << 20).ok(),
             "a line of ours is damaged");
  }
  const auto parsed = Cassette::parse(bytes);
  auto fresh = Cassette::create();
  EZ_CHECK(fresh.ok(), "a new cassette");
  const RecordedRequest asked{"POST", "/v1/messages", std::string(bytes)};
  RecordedAnswer given;
  given.chunks = {std::string(bytes.substr(0, bytes.size() / 2)),
                  std::string(bytes.substr(bytes.size() / 2))};
  const Result<std::string> line = (*fresh)->record(asked, given, {}, nullptr);
  if (!line.ok()) return;
  const auto read = Cassette::parse((*fresh)->header_line() + *line);
  EZ_CHECK(read.ok(), "a cassette of ours is damaged");
  const Result<Replay> replay = (*read)->play("s", asked, {});
  EZ_CHECK(replay.ok() && replay->answer->chunks == given.chunks, "a replay differs from the recording");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  const Dialect dialect = kAll[data[0] / 5 % 3];
  switch (data[0] % 5) {
    case 0:
      stream(dialect, bytes);
      break;
    case 1:
      request(kClients[data[0] / 5 % 4], bytes);
      break;
    case 2:
      answer(dialect, bytes);
      break;
    case 3:
      error(dialect, bytes);
      break;
    default:
      cassette(bytes);
  }
  return 0;
}
