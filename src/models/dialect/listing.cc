#include "models/dialect/listing.h"

#include "base/clock.h"
#include "base/json.h"
#include "models/dialect/dialect.h"
#include "models/dialect/fields.h"

namespace ez::models {

namespace {

constexpr std::size_t kMaxModels = 10'000;

Error wrong(std::string_view what) {
  return {Code::ProviderAnswerInvalid, "the provider's answer: " + std::string(what)};
}

Value model_value(const ListedModel& model) {
  Value out;
  out.set("id", model.id);
  out.set("object", "model");  // OpenAI
  out.set("created", model.created_s);
  out.set("owned_by", model.owner);
  out.set("type", "model");  // Anthropic
  out.set("display_name", model.display_name.empty() ? model.id : model.display_name);
  out.set("created_at", format_time(model.created_s * 1'000));
  return out;
}

}  // namespace

std::string render_token_count(std::int64_t input_tokens) {
  return "{\"input_tokens\":" + std::to_string(input_tokens) + "}";
}

Result<std::int64_t> parse_token_count(std::string_view body) {
  const Result<Value> parsed = parse_json(body, kBodyLimits);
  if (!parsed.ok()) return wrong(parsed.error().message());
  const std::optional<std::int64_t> count = count_of(parsed->find("input_tokens"));
  if (!count.has_value()) return wrong("input_tokens: a count is wanted");
  return *count;
}

std::string render_model(const ListedModel& model) { return to_json(model_value(model)); }

std::string render_models(const std::vector<ListedModel>& models) {
  Value::List data;
  data.reserve(models.size());
  for (const ListedModel& model : models) data.push_back(model_value(model));
  Value out;
  out.set("object", "list");
  out.set("data", Value(std::move(data)));
  out.set("has_more", false);
  out.set("first_id", models.empty() ? Value() : Value(models.front().id));
  out.set("last_id", models.empty() ? Value() : Value(models.back().id));
  return to_json(out);
}

Result<std::vector<ListedModel>> parse_models(std::string_view body) {
  const Result<Value> parsed = parse_json(body, kBodyLimits);
  if (!parsed.ok()) return wrong(parsed.error().message());
  const Value* data = parsed->find("data");
  if (data == nullptr || !data->is_list()) return wrong("data: a list is wanted");
  if (data->as_list().size() > kMaxModels) return wrong("it lists too many models");
  std::vector<ListedModel> out;
  for (const Value& entry : data->as_list()) {
    ListedModel model;
    model.id = entry.string_or("id", "");
    if (model.id.empty()) return wrong("a model without an id");
    model.owner = entry.string_or("owned_by", "");
    model.display_name = entry.string_or("display_name", "");
    model.created_s = count_of(entry.find("created")).value_or(0);
    out.push_back(std::move(model));
  }
  return out;
}

Result<EmbeddingsRequest> parse_embeddings_request(std::string_view body) {
  EZ_ASSIGN(const Value value, parse_json(body, kBodyLimits));
  ReadContext context{Code::RequestInvalid, std::nullopt};
  const Path root;
  Fields fields(context, value, root);
  EmbeddingsRequest out;
  out.model = fields.need_text("model");
  const Value* input = fields.any("input");
  const Path path = root.at("input");
  const auto add = [&](const Value& text, const Path& at) {
    if (text.is_string()) {
      out.input_upper += static_cast<std::int64_t>(text.as_string().size()) + 1;
      return;
    }
    if (!text.is_list()) return context.fail(at, "a string or a list of tokens is wanted");
    for (const Value& token : text.as_list()) {
      if (!token.is_int()) return context.fail(at, "a list of whole numbers is wanted");
    }
    out.input_upper += static_cast<std::int64_t>(text.as_list().size()) + 1;
  };
  if (input == nullptr) {
    context.fail(path, "a string or a list is wanted");
  } else if (input->is_list() && !input->as_list().empty() && !input->as_list().front().is_int()) {
    out.inputs = static_cast<std::int64_t>(input->as_list().size());
    for (std::size_t i = 0; i < input->as_list().size(); ++i) add(input->as_list()[i], path.at(i));
  } else {
    out.inputs = 1;
    add(*input, path);
  }
  if (context.error.has_value()) return *context.error;
  return out;
}

Result<Usage> parse_embeddings_usage(std::string_view body) {
  const Result<Value> parsed = parse_json(body, kBodyLimits);
  if (!parsed.ok()) return wrong(parsed.error().message());
  const Value* usage = parsed->find("usage");
  std::optional<std::int64_t> tokens =
      usage == nullptr ? std::nullopt : count_of(usage->find("prompt_tokens"));
  if (!tokens && usage != nullptr) tokens = count_of(usage->find("total_tokens"));
  if (!tokens) return wrong("usage.prompt_tokens: a count is wanted");
  Usage out;
  out.input_tokens = *tokens;
  return out;
}

}  // namespace ez::models
