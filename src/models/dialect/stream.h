// Streams of answers: a reader per upstream dialect (bytes → events), a writer per client dialect (events →
// bytes), and a meter that only watches bytes on their way. Each object serves one answer and one thread at a
// time. Memory is bounded by StreamLimits.
//
// The events of a well-formed stream, whatever the upstream was:
//   kStart, then blocks one after another (kBlockStart, deltas of that block, kBlockStop; indices 0, 1, 2 …),
//   then kFinish. kPing may come anywhere. After kError or kFinish nothing comes.
// Blocks that only the upstream's dialect has (hosted tools) are left out: no request crosses with them.
// Usage in kStart and kFinish is the whole call's so far, never an addition: the last one counts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "models/dialect/chat.h"
#include "models/dialect/dialect.h"
#include "models/dialect/provider_error.h"

namespace ez::models {

enum class EventKind : std::uint8_t {
  kStart,           // id, model, usage
  kBlockStart,      // index, part (kind, id, name; of kRedactedThinking the whole)
  kTextDelta,       // index, text: of kText and kRefusal
  kThinkingDelta,   // index, text
  kSignatureDelta,  // index, text
  kArgumentsDelta,  // index, text: a piece of the JSON text (of free text for a custom tool)
  kBlockStop,       // index
  kPing,
  kFinish,  // stop_reason, stop_sequence, usage
  kError,   // error
};

struct ChatEvent {
  EventKind kind = EventKind::kPing;
  std::int32_t index = 0;
  std::string text;
  Part part;
  std::string id, model;
  std::int64_t created_s = 0;
  StopReason stop_reason = StopReason::kUnknown;
  std::string stop_sequence;
  Usage usage;
  std::optional<ProviderError> error;
};

struct StreamLimits {
  std::size_t max_event_bytes = 8 * 1024 * 1024;
  std::size_t max_total_bytes = 256 * 1024 * 1024;  // of the stream
  std::int32_t max_blocks = 4096;
};

// What is known of a stream at any moment; for the ledger, also when the stream broke.
struct StreamSummary {
  std::string id, model;
  StopReason stop_reason = StopReason::kUnknown;
  Usage usage;                    // the latest figures that came
  bool has_usage = false;         // final figures of the output came
  bool has_input_usage = false;   // figures of the input came
  bool finished = false;          // the stream reached its proper end
  bool failed = false;            // it carried an error
  std::int64_t output_bytes = 0;  // of text, thinking and arguments: output tokens are at most that many
};

class StreamReader {
 public:
  [[nodiscard]] static std::unique_ptr<StreamReader> make(Dialect upstream, const StreamLimits& limits = {});
  virtual ~StreamReader() = default;

  // Appends the events of these bytes. Errors: PROVIDER_ANSWER_INVALID (malformed, out of order, beyond a
  // limit); the reader is then finished, what `out` has stays good.
  [[nodiscard]] virtual Status feed(std::string_view bytes, std::vector<ChatEvent>& out) = 0;
  // The connection has ended. Appends what was held back. Errors: PROVIDER_STREAM_CUT (the answer is not
  // complete).
  [[nodiscard]] virtual Status end(std::vector<ChatEvent>& out) = 0;
  [[nodiscard]] virtual const StreamSummary& summary() const = 0;
};

class StreamWriter {
 public:
  // `seed` makes missing ids; `now_s` is the time of a Chat or Responses answer whose upstream had none.
  [[nodiscard]] static std::unique_ptr<StreamWriter> make(Dialect client, Echo echo, std::string seed,
                                                          std::int64_t now_s);
  virtual ~StreamWriter() = default;

  // Appends the bytes of an event, which comes from a StreamReader or keeps the order above. kError ends the
  // stream in the dialect's way. Nothing is written after the end.
  virtual void write(const ChatEvent& event, std::string& out) = 0;
  // A sign of life that every SDK ignores.
  virtual void keep_alive(std::string& out) = 0;
};

// Watches the bytes of a same-dialect stream, which are handed on as they are. Never fails: bytes that it
// cannot read are no figures.
class StreamMeter {
 public:
  [[nodiscard]] static std::unique_ptr<StreamMeter> make(Dialect dialect, const StreamLimits& limits = {});
  virtual ~StreamMeter() = default;
  virtual void observe(std::string_view bytes) = 0;
  [[nodiscard]] virtual const StreamSummary& summary() const = 0;
  // The error that the stream carried, once summary().failed.
  [[nodiscard]] virtual const std::optional<ProviderError>& error() const = 0;
};

// The whole answer of a stream, for clients that did not ask for one and for records.
class AnswerBuilder {
 public:
  explicit AnswerBuilder(Dialect upstream) { answer_.dialect = upstream; }
  void add(const ChatEvent& event);
  [[nodiscard]] ChatAnswer take() { return std::move(answer_); }

 private:
  ChatAnswer answer_;
};

// The events of a whole answer, for clients that asked for a stream where the upstream gave none.
[[nodiscard]] std::vector<ChatEvent> events_of(const ChatAnswer& answer);

}  // namespace ez::models
