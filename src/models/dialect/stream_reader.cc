#include "models/dialect/stream_reader.h"

#include "base/json.h"

namespace ez::models {

Error ReaderBase::wrong(std::string_view what) const {
  return {Code::ProviderAnswerInvalid, "the provider's stream: " + std::string(what)};
}

ChatEvent& ReaderBase::add(EventKind kind) {
  out_->emplace_back();
  out_->back().kind = kind;
  return out_->back();
}

Status ReaderBase::feed(std::string_view bytes, std::vector<ChatEvent>& out) {
  if (broken_) return wrong("it was refused before");
  if (over()) return {};
  out_ = &out;
  total_bytes_ += bytes.size();
  const auto break_off = [&](Error error) {
    broken_ = true;
    return error;
  };
  if (total_bytes_ > limits_.max_total_bytes) {
    return break_off(wrong("it is over " + std::to_string(limits_.max_total_bytes) + " bytes"));
  }
  SseEvent event;
  while (!over()) {
    const Result<bool> complete = sse_.next(bytes, event);
    if (!complete.ok()) return break_off(complete.error());
    if (!*complete) return {};
    if (event.data == "[DONE]") {
      if (Status status = on_done(); !status.ok()) return break_off(status.error());
      continue;
    }
    const Result<Value> data = parse_json(event.data, {limits_.max_event_bytes, 64, 1'000'000});
    if (!data.ok()) return break_off(wrong(data.error().message()));
    if (!data->is_map()) return break_off(wrong("an object is wanted"));
    if (Status status = on_event(event.event, *data); !status.ok()) return break_off(status.error());
  }
  return {};
}

Status ReaderBase::end(std::vector<ChatEvent>& out) {
  if (broken_) return wrong("it was refused before");
  out_ = &out;
  if (!over()) on_end();
  if (over()) return {};
  broken_ = true;
  return Error(Code::ProviderStreamCut, started_ ? "the provider's stream ended in the middle of the answer"
                                                 : "the provider's stream ended before the answer began");
}

void ReaderBase::start(std::string_view id, std::string_view model, std::int64_t created_s) {
  if (started_) return;
  started_ = true;
  summary_.id = id;
  summary_.model = model;
  ChatEvent& event = add(EventKind::kStart);
  event.id = id;
  event.model = model;
  event.created_s = created_s;
  event.usage = summary_.usage;
}

Status ReaderBase::open_block(Part part) {
  close_block();
  if (blocks_ >= limits_.max_blocks) return wrong("it has over " + std::to_string(blocks_) + " blocks");
  open_ = true;
  open_kind_ = part.kind;
  ChatEvent& event = add(EventKind::kBlockStart);
  event.index = blocks_;
  event.part = std::move(part);
  return {};
}

void ReaderBase::delta(EventKind kind, std::string_view text) {
  if (!open_ || text.empty()) return;
  if (kind != EventKind::kSignatureDelta) summary_.output_bytes += static_cast<std::int64_t>(text.size());
  ChatEvent& event = add(kind);
  event.index = blocks_;
  event.text = text;
}

void ReaderBase::close_block() {
  if (!open_) return;
  open_ = false;
  add(EventKind::kBlockStop).index = blocks_;
  ++blocks_;
}

void ReaderBase::ping() { add(EventKind::kPing); }

void ReaderBase::finish(StopReason reason, std::string_view stop_sequence) {
  close_block();
  summary_.finished = true;
  summary_.stop_reason = reason;
  ChatEvent& event = add(EventKind::kFinish);
  event.stop_reason = reason;
  event.stop_sequence = stop_sequence;
  event.usage = summary_.usage;
}

void ReaderBase::fail(const Value& error) {
  summary_.failed = true;
  add(EventKind::kError).error = parse_stream_error(dialect_, error);
}

}  // namespace ez::models
