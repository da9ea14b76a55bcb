// Streams: golden streams of the three dialects, pieces of any size, crossings, breaks.
#include "models/dialect/stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "base/json.h"
#include "models/dialect/sse.h"
#include "models/dialect/stream_test_support.h"
#include "models/dialect/usage_filter.h"

namespace ez::models::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr Dialect kA = Dialect::kAnthropicMessages, kC = Dialect::kOpenAiChat, kR = Dialect::kOpenAiResponses;

struct Golden {
  Dialect dialect;
  const std::string& stream;
};

const std::array<Golden, 6>& all_golden() {
  static const std::array<Golden, 6> all{{{kA, kAnthropicStream},
                                          {kA, kAnthropicThinkingStream},
                                          {kC, kChatStream},
                                          {kC, kChatParallelStream},
                                          {kR, kResponsesStream},
                                          {kR, kResponsesReasoningStream}}};
  return all;
}

TEST(StreamReader, Anthropic) {
  const ReadStream read = read_stream(kA, kAnthropicStream);
  ASSERT_TRUE(read.fed.ok() && read.ended.ok());
  EXPECT_THAT(described(read.events),
              ElementsAre("start msg_01 claude-sonnet-5-20260630", "open 0 0", "ping", "text 0 Hello",
                          "text 0  wörld \"!\"", "close 0", "open 1 6 toolu_01 get_weather",
                          "arguments 1 {\"city\": \"San", "arguments 1  Francisco\"}", "close 1",
                          "finish tool_use "));
  // The usage of message_delta replaces what it names and keeps the rest: nothing is counted twice.
  const Usage& usage = read.events.back().usage;
  EXPECT_EQ(usage, (Usage{25, 2000, 100, 60, 89, 0}));
  EXPECT_TRUE(read.summary.finished && read.summary.has_usage && read.summary.has_input_usage);
  EXPECT_EQ(read.summary.output_bytes, 5 + 11 + 13 + 12);
}

TEST(StreamReader, AnthropicThinkingAndBlocksOfItsOwn) {
  const ReadStream read = read_stream(kA, kAnthropicThinkingStream);
  ASSERT_TRUE(read.fed.ok() && read.ended.ok());
  EXPECT_THAT(described(read.events),
              ElementsAre("start msg_02 claude-opus-5", "open 0 4", "thinking 0 27 * 4",
                          "signature 0 anthropic:EqQBCg==", "close 0", "open 1 5 anthropic-redacted:EmwK",
                          "close 1", "open 2 0", "text 2 108", "close 2", "finish stop_sequence END"));
  EXPECT_EQ(read.events.back().usage, (Usage{10, 0, 0, 0, 30, 20}));
}

TEST(StreamReader, Chat) {
  const ReadStream read = read_stream(kC, kChatStream);
  ASSERT_TRUE(read.fed.ok() && read.ended.ok());
  EXPECT_THAT(described(read.events),
              ElementsAre("start chatcmpl-9 gpt-4.1-2025-04-14", "open 0 0", "text 0 Hello", "text 0  wörld",
                          "close 0", "open 1 6 call_1 get_weather",
                          "arguments 1 {\"city\":", "arguments 1 \"Paris\"}", "close 1", "finish tool_use "));
  EXPECT_EQ(read.events.back().usage, (Usage{36, 64, 0, 0, 20, 8}));
}

// Pieces of two calls come mixed, no [DONE], "stop" after calls, reasoning outside of the completion: what
// compatible servers do.
TEST(StreamReader, ChatOfCompatibleServers) {
  const ReadStream read = read_stream(kC, kChatParallelStream);
  ASSERT_TRUE(read.fed.ok() && read.ended.ok());
  EXPECT_THAT(described(read.events),
              ElementsAre("start c m", "open 0 4", "thinking 0 hm", "close 0", "open 1 6 a f",
                          "arguments 1 {\"x\":", "arguments 1 1}", "close 1", "open 2 6 b g",
                          "arguments 2 {\"y\":2}", "close 2", "finish tool_use "));
  EXPECT_EQ(read.summary.usage.output_tokens, 5);
}

TEST(StreamReader, Responses) {
  const ReadStream read = read_stream(kR, kResponsesStream);
  ASSERT_TRUE(read.fed.ok() && read.ended.ok());
  EXPECT_THAT(described(read.events),
              ElementsAre("start resp_1 gpt-5", "open 0 0", "text 0 Hi", "text 0  there", "close 0",
                          "open 1 6 call_1 get_weather", "arguments 1 {\"city\":", "arguments 1 \"Paris\"}",
                          "close 1", "finish tool_use "));
  EXPECT_EQ(read.events.back().usage, (Usage{21, 16, 0, 0, 11, 4}));
  EXPECT_EQ(read.summary.model, "gpt-5-2025-08-07");
}

TEST(StreamReader, ResponsesReasoningAndCustomTools) {
  const ReadStream read = read_stream(kR, kResponsesReasoningStream);
  ASSERT_TRUE(read.fed.ok() && read.ended.ok());
  EXPECT_THAT(
      described(read.events),
      ElementsAre("start resp_2 gpt-5", "open 0 4", "thinking 0 One", "thinking 0 \n\n", "thinking 0 Two",
                  "signature 0 openai:rs_1:gAAAA", "close 0", "open 1 6 call_9 apply_patch custom",
                  "arguments 1 *** Begin\n", "close 1", "finish max_tokens "));
}

// Wherever the bytes are split, the events are the same.
TEST(StreamReader, PiecesOfAnySizeGiveTheSameEvents) {
  for (const Golden& golden : all_golden()) {
    const ReadStream whole = read_stream(golden.dialect, golden.stream);
    for (std::size_t piece = 1; piece < 40; ++piece) {
      const ReadStream split = read_stream(golden.dialect, golden.stream, piece);
      ASSERT_EQ(described(split.events), described(whole.events)) << "pieces of " << piece;
      ASSERT_EQ(split.summary.usage, whole.summary.usage);
    }
  }
}

// Cut anywhere, a stream never counts as complete, never yields events out of order, and keeps its figures.
TEST(StreamReader, ACutStreamIsAnError) {
  for (const Golden& golden : all_golden()) {
    const std::string_view all = golden.stream;
    const std::vector<std::string> whole = described(read_stream(golden.dialect, all).events);
    for (std::size_t size = 0; size < all.size(); ++size) {
      const ReadStream cut = read_stream(golden.dialect, all.substr(0, size));
      ASSERT_TRUE(cut.fed.ok());
      const std::vector<std::string> events = described(cut.events);
      if (cut.ended.ok()) {  // only what says nothing was missing
        ASSERT_TRUE(cut.summary.finished);
        ASSERT_EQ(events.back().substr(0, 6), "finish");
        continue;
      }
      ASSERT_EQ(cut.ended.error().code(), Code::ProviderStreamCut);
      ASSERT_FALSE(cut.summary.finished);
      ASSERT_LE(events.size(), whole.size());
      for (std::size_t i = 0; i < events.size(); ++i) ASSERT_EQ(events[i], whole[i]) << size;
    }
  }
}

TEST(StreamReader, ErrorsInTheStream) {
  const auto error_of = [](Dialect dialect, std::string_view bytes) {
    const ReadStream read = read_stream(dialect, bytes);
    EXPECT_TRUE(read.fed.ok() && read.ended.ok() && read.summary.failed && !read.summary.finished);
    return described(read.events).back();
  };
  EXPECT_EQ(error_of(kA,
                     "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
                     "\"message\":\"Overloaded\"}}\n\n"),
            "error overloaded Overloaded");
  EXPECT_EQ(
      error_of(
          kC,
          "data: "
          "{\"error\":{\"message\":\"slow\",\"type\":\"requests\",\"code\":\"rate_limit_exceeded\"}}\n\n"),
      "error rate_limit slow");
  EXPECT_EQ(error_of(kR,
                     "event: error\ndata: "
                     "{\"type\":\"error\",\"code\":\"insufficient_quota\",\"message\":\"no money\"}\n\n"),
            "error quota no money");
  EXPECT_EQ(error_of(kR,
                     "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"id\":\"r\","
                     "\"error\":{\"code\":\"server_error\",\"message\":\"broke\"}}}\n\n"),
            "error server broke");
}

TEST(StreamReader, WhatIsWrongIsRefused) {
  const auto wrong = [](Dialect dialect, std::string_view bytes) {
    const ReadStream read = read_stream(dialect, bytes);
    EXPECT_FALSE(read.fed.ok()) << bytes;
    return read.fed.ok() ? std::string() : read.fed.error().to_string();
  };
  EXPECT_THAT(wrong(kA, "data: not json\n\n"), HasSubstr("PROVIDER_ANSWER_INVALID"));
  EXPECT_THAT(wrong(kA, "data: [1]\n\n"), HasSubstr("an object"));
  EXPECT_THAT(wrong(kA, "event: content_block_start\ndata: {\"index\":0}\n\n"),
              HasSubstr("before message_start"));
  EXPECT_THAT(wrong(kC, "data: [DONE]\n\n"), HasSubstr("before the answer began"));
  EXPECT_THAT(
      wrong(kR, "data: {\"type\":\"response.output_text.delta\",\"delta\":\"x\",\"output_index\":0}\n\n"),
      HasSubstr("not open"));
  const std::string start =
      "data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"c\"}}\n\n";
  const std::string block =
      "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\"}}\n\n";
  EXPECT_THAT(wrong(kA, start + start), HasSubstr("twice"));
  EXPECT_THAT(wrong(kA, start + block + block), HasSubstr("inside another"));
  EXPECT_THAT(
      wrong(kA, start + block + "data: {\"type\":\"content_block_delta\",\"index\":3,\"delta\":{}}\n\n"),
      HasSubstr("not open"));
}

TEST(StreamReader, LimitsHold) {
  StreamLimits limits;
  limits.max_event_bytes = 200;
  EXPECT_FALSE(read_stream(kC, "data: " + std::string(300, 'x'), 7, limits).fed.ok());
  limits = {};
  limits.max_total_bytes = 500;
  EXPECT_FALSE(read_stream(kA, kAnthropicStream, 64, limits).fed.ok());
  limits = {};
  limits.max_blocks = 1;
  EXPECT_FALSE(read_stream(kA, kAnthropicStream, 64, limits).fed.ok());
}

// Wrong figures are no figures: the ledger has to know that it has to estimate.
TEST(StreamReader, WrongUsageIsNone) {
  for (const char* bad : {"-5", "1.5", "\"9\"", "1e300", "9000000000000"}) {
    const std::string stream =
        R"(data: {"id":"c","model":"m","choices":[{"delta":{"content":"x"},"finish_reason":"stop"}],)"
        R"("usage":{"prompt_tokens":)" +
        std::string(bad) +
        R"(,"completion_tokens":2}})"
        "\n\n";
    const ReadStream read = read_stream(kC, stream);
    EXPECT_TRUE(read.ended.ok());
    EXPECT_FALSE(read.summary.has_usage) << bad;
    EXPECT_EQ(read.summary.usage, Usage{}) << bad;
  }
}

// An answer that crosses from any dialect to any other says the same there.
TEST(StreamWriter, CrossingKeepsTheAnswer) {
  for (const Golden& golden : all_golden()) {
    const std::vector<ChatEvent> events = read_stream(golden.dialect, golden.stream).events;
    const ChatAnswer original = built(golden.dialect, events);
    for (const Dialect client : {kA, kC, kR}) {
      const ReadStream back = read_stream(client, written(client, events, Echo{"asked", {}, true, {}}));
      ASSERT_TRUE(back.fed.ok() && back.ended.ok()) << dialect_name(client);
      const ChatAnswer answer = built(client, back.events);
      EXPECT_EQ(answer.model, "asked");
      std::string text, arguments, thinking, want_text, want_arguments, want_thinking;
      for (const Part& part : answer.parts) {
        (part.kind == PartKind::kThinking ? thinking : text) += part.text;
        arguments += part.name + part.id + part.arguments;
      }
      for (const Part& part : original.parts) {
        (part.kind == PartKind::kThinking ? want_thinking : want_text) += part.text;
        // A client without custom tools reads their free text as it came.
        want_arguments += part.name + part.id + part.arguments;
      }
      EXPECT_EQ(text, want_text);
      EXPECT_EQ(arguments, want_arguments);
      EXPECT_EQ(thinking, want_thinking);
      Usage usage = original.usage;
      if (client != kA) {  // no place for what was written to a cache
        usage.input_tokens += usage.cache_write_tokens;
        usage.cache_write_tokens = usage.cache_write_1h_tokens = 0;
      } else {
        usage.reasoning_tokens = usage.cache_write_1h_tokens = 0;
      }
      EXPECT_EQ(answer.usage, usage) << dialect_name(golden.dialect) << " to " << dialect_name(client);
    }
  }
}

TEST(StreamWriter, AnthropicBytes) {
  const std::string out = written(kA, read_stream(kC, kChatStream).events, Echo{"claude", {}, false, {}});
  std::vector<std::string> names;
  std::string_view rest = out;
  SseReader reader;
  SseEvent event;
  while (*reader.next(rest, event)) {
    names.emplace_back(event.event);
    EXPECT_EQ(parse_json(event.data)->string_or("type", ""), event.event);
  }
  EXPECT_THAT(
      names, ElementsAre("message_start", "content_block_start", "content_block_delta", "content_block_delta",
                         "content_block_stop", "content_block_start", "content_block_delta",
                         "content_block_delta", "content_block_stop", "message_delta", "message_stop"));
  EXPECT_THAT(out, HasSubstr(R"("id":"msg_)"));
  EXPECT_THAT(out, HasSubstr(R"("usage":{"cache_creation_input_tokens":0,"cache_read_input_tokens":64,)"
                             R"("input_tokens":36,"output_tokens":20})"));
}

TEST(StreamWriter, ChatBytes) {
  const std::vector<ChatEvent> events = read_stream(kA, kAnthropicStream).events;
  const std::string without = written(kC, events, Echo{"gpt", {}, false, {}});
  EXPECT_THAT(without, ::testing::Not(HasSubstr("usage")));
  EXPECT_TRUE(without.ends_with("data: [DONE]\n\n"));
  EXPECT_THAT(without, HasSubstr(": keep-alive\n\n"));  // a ping
  const std::string with = written(kC, events, Echo{"gpt", {}, true, {}});
  EXPECT_THAT(with, HasSubstr(R"("choices":[],"usage":{"completion_tokens":89)"));
  EXPECT_THAT(with, HasSubstr(R"("prompt_tokens":2125)"));
  EXPECT_THAT(with, HasSubstr(R"("tool_calls":[{"index":0,"id":"toolu_01","type":"function",)"
                              R"("function":{"name":"get_weather","arguments":""}}])"));
}

TEST(StreamWriter, ResponsesBytes) {
  const std::string out = written(kR, read_stream(kA, kAnthropicStream).events, Echo{"gpt", {}, false, {}});
  std::vector<std::string> names;
  std::int64_t sequence = 0;
  std::string_view rest = out;
  SseReader reader;
  SseEvent event;
  Value last;
  while (*reader.next(rest, event)) {
    names.emplace_back(event.event.substr(9));
    last = *parse_json(event.data);
    EXPECT_EQ(last.int_or("sequence_number", -1), sequence++);
  }
  EXPECT_THAT(names, ElementsAre("created", "in_progress", "output_item.added", "content_part.added",
                                 "output_text.delta", "output_text.delta", "output_text.done",
                                 "content_part.done", "output_item.done", "output_item.added",
                                 "function_call_arguments.delta", "function_call_arguments.delta",
                                 "function_call_arguments.done", "output_item.done", "completed"));
  const Value& response = *last.find("response");
  EXPECT_EQ(response.find("output")->as_list().size(), 2U);
  EXPECT_EQ(response.find("output")->as_list()[1].string_or("arguments", ""), R"({"city": "San Francisco"})");
  EXPECT_EQ(response.find("usage")->int_or("input_tokens", 0), 2125);
}

// A call of a function that stands for a custom tool reaches its client as free text.
TEST(StreamWriter, CustomToolsGetTheirFreeTextBack) {
  ChatAnswer answer;
  answer.dialect = kA;
  Part call;
  call.kind = PartKind::kToolCall;
  call.id = "toolu_7";
  call.name = "apply_patch";
  call.arguments = R"({"input":"*** Begin\n\"x\""})";
  answer.parts.push_back(call);
  answer.stop_reason = StopReason::kToolUse;
  for (const Dialect client : {kC, kR}) {
    const Echo echo{"gpt", {"apply_patch"}, false, {}};
    const ReadStream back = read_stream(client, written(client, events_of(answer), echo));
    const ChatAnswer read = built(client, back.events);
    ASSERT_EQ(read.parts.size(), 1U);
    EXPECT_TRUE(read.parts[0].custom);
    EXPECT_EQ(read.parts[0].arguments, "*** Begin\n\"x\"");
    const Result<ChatAnswer> whole = parse_answer(client, render_answer(client, answer, echo, "s", 1));
    ASSERT_TRUE(whole.ok());
    EXPECT_EQ(whole->parts[0].arguments, "*** Begin\n\"x\"");
  }
}

TEST(StreamWriter, ErrorsEndTheStream) {
  std::vector<ChatEvent> events = read_stream(kA, std::string_view(kAnthropicStream).substr(0, 900)).events;
  events.emplace_back();
  events.back().kind = EventKind::kError;
  events.back().error = from_error(Error(Code::BudgetExceeded, "the run has spent its budget"));
  events.push_back(read_stream(kA, kAnthropicStream).events.back());  // too late: nothing is written
  EXPECT_THAT(written(kA, events),
              HasSubstr("event: error\ndata: {\"error\":{\"message\":\"BUDGET_EXCEEDED"));
  EXPECT_THAT(written(kA, events), ::testing::Not(HasSubstr("message_stop")));
  EXPECT_THAT(written(kC, events), HasSubstr(R"(data: {"error":{"code":"insufficient_quota")"));
  EXPECT_THAT(written(kC, events), ::testing::Not(HasSubstr("[DONE]")));
  EXPECT_THAT(written(kR, events), HasSubstr("event: response.failed"));
}

// The meter sees what the reader sees, at any split, and never fails.
TEST(StreamMeter, AgreesWithTheReader) {
  for (const Golden& golden : all_golden()) {
    const StreamSummary want = read_stream(golden.dialect, golden.stream).summary;
    for (const std::size_t piece : {std::size_t{1}, std::size_t{13}, std::size_t{100'000}}) {
      const std::unique_ptr<StreamMeter> meter = StreamMeter::make(golden.dialect);
      std::string_view rest = golden.stream;
      while (!rest.empty()) {
        meter->observe(rest.substr(0, piece));
        rest.remove_prefix(std::min(piece, rest.size()));
      }
      const StreamSummary& seen = meter->summary();
      EXPECT_EQ(seen.usage, want.usage);
      EXPECT_EQ(seen.model, want.model);
      EXPECT_EQ(seen.id, want.id);
      EXPECT_TRUE(seen.finished && seen.has_usage && !seen.failed);
      // Escapes count as they stand: an upper bound of what the reader counts.
      EXPECT_GE(seen.output_bytes, want.output_bytes - 2);
      EXPECT_LE(seen.output_bytes, want.output_bytes * 2 + 64);
    }
  }
  const std::unique_ptr<StreamMeter> meter = StreamMeter::make(kA);
  meter->observe(
      "data: {broken\n\nevent: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\"}}\n\n");
  EXPECT_TRUE(meter->summary().failed);
  ASSERT_TRUE(meter->error().has_value());
  EXPECT_EQ(meter->error()->kind, ErrorKind::kServer);
}

TEST(UsageFilter, TakesOneChunkOutAndNothingElse) {
  const std::string& all = kChatStream;
  const std::size_t usage = all.rfind("data: {");
  ASSERT_NE(usage, std::string::npos);
  const std::string want = all.substr(0, usage) + "data: [DONE]\n\n";
  for (const std::string& line_end : {std::string("\n"), std::string("\r\n")}) {
    const auto with_ends = [&](const std::string& text) {
      std::string out;
      for (const char c : text) c == '\n' ? out += line_end : out += c;
      return out;
    };
    for (std::size_t piece = 1; piece < 50; ++piece) {
      UsageFilter filter;
      std::string out;
      const std::string bytes = with_ends(all);
      for (std::size_t at = 0; at < bytes.size(); at += piece) filter.pass(bytes.substr(at, piece), out);
      filter.end(out);
      ASSERT_EQ(out, with_ends(want)) << piece;
    }
  }
  // A stream that is not one, or too large, passes whole.
  UsageFilter filter;
  std::string out;
  filter.pass("no event", out);
  EXPECT_EQ(out, "");
  filter.pass(std::string(UsageFilter::kMaxHeldBytes, 'x'), out);
  filter.pass("y", out);
  filter.end(out);
  EXPECT_EQ(out.size(), UsageFilter::kMaxHeldBytes + 9);
}

TEST(Sse, LinesOfAllKinds) {
  SseReader reader;
  SseEvent event;
  std::string_view bytes =
      "\xEF\xBB\xBF: comment\revent:a\rdata:1\rdata: 2\r\n\r\nid: 7\n\nevent: lost\n\ndata\n\ndata: x";
  ASSERT_TRUE(*reader.next(bytes, event));
  EXPECT_EQ(event.event, "a");
  EXPECT_EQ(event.data, "1\n2");
  ASSERT_TRUE(*reader.next(bytes, event));
  EXPECT_EQ(event.event, "");
  EXPECT_EQ(event.data, "");
  EXPECT_FALSE(*reader.next(bytes, event));
  EXPECT_TRUE(reader.partial());
}

}  // namespace
}  // namespace ez::models::testing
