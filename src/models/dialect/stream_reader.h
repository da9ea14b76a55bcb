// What the readers of the three dialects share: framing, limits, the order of blocks, the summary. Internal
// to models/dialect.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "models/dialect/codec.h"
#include "models/dialect/sse.h"
#include "models/dialect/stream.h"

namespace ez::models {

class ReaderBase : public StreamReader {
 public:
  ReaderBase(Dialect dialect, const StreamLimits& limits)
      : dialect_(dialect), limits_(limits), sse_(limits.max_event_bytes) {}

  Status feed(std::string_view bytes, std::vector<ChatEvent>& out) final;
  Status end(std::vector<ChatEvent>& out) final;
  [[nodiscard]] const StreamSummary& summary() const final { return summary_; }

 protected:
  // One event's JSON. `name` is its SSE name.
  virtual Status on_event(std::string_view name, const Value& data) = 0;
  // "[DONE]" of the Chat dialect.
  virtual Status on_done() { return {}; }
  // The bytes have ended. Finishes what counts as complete.
  virtual void on_end() {}

  void start(std::string_view id, std::string_view model, std::int64_t created_s);
  [[nodiscard]] Status open_block(Part part);
  void delta(EventKind kind, std::string_view text);  // of the open block; empty ones are left out
  void close_block();
  void ping();
  void finish(StopReason reason, std::string_view stop_sequence);
  void fail(const Value& error);
  [[nodiscard]] Error wrong(std::string_view what) const;

  [[nodiscard]] bool started() const { return started_; }
  [[nodiscard]] bool over() const { return summary_.finished || summary_.failed; }
  [[nodiscard]] bool block_is_open() const { return open_; }
  [[nodiscard]] PartKind open_kind() const { return open_kind_; }

  StreamSummary summary_;

 private:
  ChatEvent& add(EventKind kind);
  const Dialect dialect_;
  const StreamLimits limits_;
  SseReader sse_;
  std::vector<ChatEvent>* out_ = nullptr;
  std::size_t total_bytes_ = 0;
  std::int32_t blocks_ = 0;
  PartKind open_kind_ = PartKind::kText;
  bool started_ = false, open_ = false, broken_ = false;
};

}  // namespace ez::models
