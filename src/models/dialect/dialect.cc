#include "models/dialect/dialect.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "models/dialect/codec.h"

namespace ez::models {

namespace {

Error wrong_answer(const Error& error) {
  return {Code::ProviderAnswerInvalid, "the provider's answer: " + error.message()};
}

}  // namespace

Result<ChatRequest> parse_request(Dialect dialect, std::string_view body) {
  EZ_ASSIGN(const Value value, parse_json(body, kBodyLimits));
  ReadContext context{Code::RequestInvalid, std::nullopt};
  ChatRequest out;
  out.dialect = dialect;
  switch (dialect) {
    case Dialect::kAnthropicMessages:
      parse_anthropic_request(context, value, out);
      break;
    case Dialect::kOpenAiChat:
      parse_chat_request(context, value, out);
      break;
    case Dialect::kOpenAiResponses:
      parse_responses_request(context, value, out);
      break;
    case Dialect::kGemini:
      parse_gemini_request(context, value, out);
      break;
  }
  if (context.error.has_value()) return *context.error;
  return out;
}

Result<Rendered> render_request(Dialect upstream, const ChatRequest& request, std::string_view model,
                                const UpstreamTraits& traits) {
  Losses losses;
  Value body;
  switch (upstream) {
    case Dialect::kAnthropicMessages:
      body = render_anthropic_request(request, model, traits, losses);
      break;
    case Dialect::kOpenAiChat:
      body = render_chat_request(request, model, traits, losses);
      break;
    case Dialect::kOpenAiResponses:
      body = render_responses_request(request, model, traits, losses);
      break;
    case Dialect::kGemini:
      EZ_CHECK(false, "no provider is asked in Gemini's own dialect");
  }
  if (losses.refused().has_value()) return *losses.refused();
  return Rendered{to_json(body), losses.take()};
}

Result<ChatAnswer> parse_answer(Dialect upstream, std::string_view body) {
  const Result<Value> value = parse_json(body, kBodyLimits);
  if (!value.ok()) return wrong_answer(value.error());
  ReadContext context{Code::ProviderAnswerInvalid, std::nullopt};
  ChatAnswer out;
  out.dialect = upstream;
  switch (upstream) {
    case Dialect::kAnthropicMessages:
      parse_anthropic_answer(context, *value, out);
      break;
    case Dialect::kOpenAiChat:
      parse_chat_answer(context, *value, out);
      break;
    case Dialect::kOpenAiResponses:
      parse_responses_answer(context, *value, out);
      break;
    case Dialect::kGemini:
      EZ_CHECK(false, "no provider answers in Gemini's own dialect");
  }
  if (context.error.has_value()) return wrong_answer(*context.error);
  return out;
}

std::string render_answer(Dialect client, const ChatAnswer& answer, const Echo& echo, std::string_view seed,
                          std::int64_t now_s) {
  switch (client) {
    case Dialect::kAnthropicMessages:
      return to_json(render_anthropic_answer(answer, echo, seed));
    case Dialect::kOpenAiChat:
      return to_json(render_chat_answer(answer, echo, seed, now_s));
    case Dialect::kGemini:
      return to_json(render_gemini_answer(answer, echo, seed));
    case Dialect::kOpenAiResponses:
      break;
  }
  return to_json(render_responses_answer(answer, echo, seed, now_s));
}

namespace {

// One tool as an answer of the Responses dialect repeats it.
Value echoed_tool(const Tool& tool) {
  if (tool.kind == ToolKind::kHosted) return tool.raw;
  Value out;
  const bool custom = tool.kind == ToolKind::kCustom;
  out.set("type", custom ? "custom" : "function");
  out.set("name", tool.name);
  out.set("description", tool.description);
  if (!custom) {
    out.set("parameters", tool.schema);
    out.set("strict", tool.strict.value_or(true));
  }
  add_extras(out, tool.extras);
  return out;
}

Value echoed_choice(const ChatRequest& request) {
  if (!request.tool_choice) return Value("auto");
  switch (request.tool_choice->kind) {
    case ToolChoiceKind::kAuto:
      break;
    case ToolChoiceKind::kNone:
      return Value("none");
    case ToolChoiceKind::kRequired:
      return Value("required");
    case ToolChoiceKind::kNamed: {
      Value out;
      out.set("type", "function");
      out.set("name", request.tool_choice->name);
      return out;
    }
  }
  return Value("auto");
}

Value echoed_text(const ChatRequest& request) {
  Value format;
  const FormatKind kind = request.format ? request.format->kind : FormatKind::kText;
  format.set("type", kind == FormatKind::kText         ? "text"
                     : kind == FormatKind::kJsonObject ? "json_object"
                                                       : "json_schema");
  if (kind == FormatKind::kJsonSchema) {
    format.set("name", request.format->name);
    format.set("schema", request.format->schema);
    format.set("strict", request.format->strict.value_or(false));
  }
  Value out;
  out.set("format", std::move(format));
  return out;
}

}  // namespace

Echo echo_of(const ChatRequest& request) {
  Echo echo;
  echo.model = request.model;
  echo.stream_usage = request.stream_usage;
  for (const Tool& tool : request.tools) {
    if (tool.kind == ToolKind::kCustom) echo.custom_tools.push_back(tool.name);
  }
  if (request.dialect != Dialect::kOpenAiResponses) return echo;
  Value& out = echo.response;
  std::string instructions;
  for (const Part& part : request.system) instructions += part.text;
  out.set("instructions", instructions.empty() ? Value() : Value(instructions));
  Value::List tools;
  for (const Tool& tool : request.tools) tools.push_back(echoed_tool(tool));
  out.set("tools", Value(std::move(tools)));
  out.set("tool_choice", echoed_choice(request));
  out.set("parallel_tool_calls", request.parallel_tools.value_or(true));
  out.set("temperature", request.temperature ? Value(*request.temperature) : Value(1.0));
  out.set("top_p", request.top_p ? Value(*request.top_p) : Value(1.0));
  out.set("max_output_tokens", request.max_tokens ? Value(*request.max_tokens) : Value());
  out.set("text", echoed_text(request));
  Value reasoning;
  const bool effort = request.thinking && !request.thinking->effort.empty();
  const bool summary = request.thinking && !request.thinking->summary.empty();
  reasoning.set("effort", effort ? Value(request.thinking->effort) : Value());
  reasoning.set("summary", summary ? Value(request.thinking->summary) : Value());
  out.set("reasoning", std::move(reasoning));
  out.set("previous_response_id", Value());
  out.set("store", false);
  out.set("truncation", "disabled");
  const Value* metadata = request.extras.is_map() ? request.extras.find("metadata") : nullptr;
  out.set("metadata", metadata != nullptr ? *metadata : Value(Value::Map{}));
  return echo;
}

Result<std::string> pass_request(Dialect dialect, std::string_view body, const ChatRequest& request,
                                 std::string_view model, const UpstreamTraits& traits) {
  if (has_foreign_seals(request)) {
    EZ_ASSIGN(Rendered rendered, render_request(dialect, request, model, traits));
    return std::move(rendered.body);
  }
  std::vector<std::pair<std::string_view, std::string>> edits;
  std::string name;
  append_json_string(name, model);
  edits.emplace_back("model", std::move(name));
  if (dialect == Dialect::kOpenAiChat && request.stream && traits.stream_usage && !request.stream_usage) {
    const Value* given = request.extras.is_map() ? request.extras.find("stream_options") : nullptr;
    Value options = given == nullptr ? Value() : *given;
    options.set("include_usage", true);
    edits.emplace_back("stream_options", to_json(options));
  }
  return edit_object(body, edits);
}

}  // namespace ez::models
