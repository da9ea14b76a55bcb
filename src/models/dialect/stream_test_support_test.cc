#include "models/dialect/stream_test_support.h"

#include <algorithm>
#include <fstream>
#include <sstream>

namespace ez::models::testing {

std::string golden(std::string_view name) {
  const std::string path = "tests/golden/models/" + std::string(name) + ".sse";
  std::ifstream in(path, std::ios::binary);
  if (!in.good()) return "cannot read " + path + ": the tests run in the top folder of the sources";
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

const std::string kAnthropicStream = golden("anthropic_tool");
const std::string kAnthropicThinkingStream = golden("anthropic_thinking");
const std::string kChatStream = golden("chat_tool");
const std::string kChatParallelStream = golden("chat_mixed_calls");
const std::string kResponsesStream = golden("responses_tool");
const std::string kResponsesReasoningStream = golden("responses_reasoning");

ReadStream read_stream(Dialect dialect, std::string_view bytes, std::size_t piece,
                       const StreamLimits& limits) {
  ReadStream out;
  const std::unique_ptr<StreamReader> reader = StreamReader::make(dialect, limits);
  while (!bytes.empty() && out.fed.ok()) {
    const std::size_t size = std::min(piece, bytes.size());
    out.fed = reader->feed(bytes.substr(0, size), out.events);
    bytes.remove_prefix(size);
  }
  if (out.fed.ok()) out.ended = reader->end(out.events);
  out.summary = reader->summary();
  return out;
}

std::vector<std::string> described(const std::vector<ChatEvent>& events) {
  std::vector<std::string> out;
  for (const ChatEvent& event : events) {
    const std::string index = std::to_string(event.index);
    switch (event.kind) {
      case EventKind::kStart:
        out.push_back("start " + event.id + " " + event.model);
        break;
      case EventKind::kBlockStart: {
        const bool call = event.part.kind == PartKind::kToolCall;
        const bool sealed = event.part.kind == PartKind::kRedactedThinking;
        out.push_back("open " + index + " " + std::to_string(static_cast<int>(event.part.kind)) +
                      (call ? " " + event.part.id + " " + event.part.name : "") +
                      (event.part.custom ? " custom" : "") + (sealed ? " " + event.part.signature : ""));
        break;
      }
      case EventKind::kTextDelta:
        out.push_back("text " + index + " " + event.text);
        break;
      case EventKind::kThinkingDelta:
        out.push_back("thinking " + index + " " + event.text);
        break;
      case EventKind::kSignatureDelta:
        out.push_back("signature " + index + " " + event.text);
        break;
      case EventKind::kArgumentsDelta:
        out.push_back("arguments " + index + " " + event.text);
        break;
      case EventKind::kBlockStop:
        out.push_back("close " + index);
        break;
      case EventKind::kPing:
        out.emplace_back("ping");
        break;
      case EventKind::kFinish:
        out.push_back("finish " + std::string(stop_reason_name(event.stop_reason)) + " " +
                      event.stop_sequence);
        break;
      case EventKind::kError:
        out.push_back("error " + std::string(error_kind_name(event.error->kind)) + " " +
                      event.error->message);
        break;
    }
  }
  return out;
}

std::string written(Dialect client, const std::vector<ChatEvent>& events, const Echo& echo) {
  const std::unique_ptr<StreamWriter> writer = StreamWriter::make(client, echo, "seed", 1'700'000'001);
  std::string out;
  for (const ChatEvent& event : events) writer->write(event, out);
  return out;
}

ChatAnswer built(Dialect dialect, const std::vector<ChatEvent>& events) {
  AnswerBuilder builder(dialect);
  for (const ChatEvent& event : events) builder.add(event);
  return builder.take();
}

}  // namespace ez::models::testing
