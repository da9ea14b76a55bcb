// The lines of a cassette file.
#include <algorithm>
#include <array>

#include "base/json.h"
#include "base/utf8.h"
#include "models/cassette/codec.h"
#include "models/dialect/fields.h"

namespace ez::models {

namespace {

constexpr std::int64_t kVersion = 1;
constexpr std::size_t kMaxHeaderValue = 200;

// Of an answer's headers only these are kept: none of them tells who called.
constexpr std::array<std::string_view, 3> kKeptHeaders{"content-type", "retry-after", "x-should-retry"};

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

Error damaged(std::string_view what) { return {Code::CassetteDamaged, std::string(what)}; }

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_sequence_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

// A chunk is a JSON string; one that is no UTF-8 (a character cut in two) is {"base64": …}.
Value chunk_value(const std::string& chunk) {
  if (is_utf8(chunk)) return Value(chunk);
  Value out;
  out.set("base64", base64(chunk));
  return out;
}

std::optional<std::string> chunk_of(const Value& value) {
  if (value.is_string()) return value.as_string();
  const Value* encoded = value.find("base64");
  if (encoded == nullptr || !encoded->is_string() || value.as_map().size() != 1) return std::nullopt;
  return from_base64(encoded->as_string());
}

}  // namespace

std::string base64(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t have = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8U | (k < have ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      out += k <= have ? kAlphabet[group >> (18U - 6U * static_cast<std::uint32_t>(k)) & 63U] : '=';
    }
  }
  return out;
}

std::optional<std::string> from_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::string out;
  out.reserve(text.size() / 4 * 3);
  for (std::size_t i = 0; i < text.size(); i += 4) {
    std::uint32_t group = 0;
    std::size_t padding = 0;
    for (std::size_t k = 0; k < 4; ++k) {
      const char c = text[i + k];
      if (c == '=' && i + 4 == text.size() && k >= 2) {
        ++padding;
        group <<= 6U;
        continue;
      }
      const std::size_t digit = kAlphabet.find(c);
      if (digit == std::string_view::npos || padding > 0) return std::nullopt;
      group = group << 6U | static_cast<std::uint32_t>(digit);
    }
    for (std::size_t k = 0; k + padding < 3; ++k) {
      out += static_cast<char>(group >> (16U - 8U * static_cast<std::uint32_t>(k)) & 0xFFU);
    }
  }
  return out;
}

std::string header_line(const MatchRules& rules) {
  Value out;
  out.set("ez_cassette", kVersion);
  if (!rules.text().is_null()) out.set("match", rules.text());
  return to_json(out) + "\n";
}

Result<MatchRules> parse_header(std::string_view line) {
  const Result<Value> parsed = parse_json(line);
  if (!parsed.ok()) return damaged("line 1: " + parsed.error().message());
  const std::int64_t version = parsed->int_or("ez_cassette", 0);
  if (version != kVersion) {
    return damaged(version > kVersion ? "line 1: a newer ez wrote this cassette"
                                      : "line 1: no header of a cassette");
  }
  for (const auto& [key, value] : parsed->as_map()) {
    if (key != "ez_cassette" && key != "match" && key != "note") {
      return damaged("line 1: the member \"" + key + "\" is not known");
    }
  }
  const Value* rules = parsed->find("match");
  return MatchRules::parse(rules == nullptr ? Value() : *rules);
}

std::string entry_line(const CassetteEntry& entry) {
  Value request;
  request.set("method", entry.method);
  request.set("path", entry.path);
  request.set("hash", entry.hash);
  request.set("body", entry.body);
  Value headers;
  for (const std::string_view kept : kKeptHeaders) {
    if (const auto value = find_header(entry.answer->headers, kept)) {
      headers.set(kept, value->substr(0, kMaxHeaderValue));
    }
  }
  Value::List chunks;
  for (const std::string& chunk : entry.answer->chunks) chunks.push_back(chunk_value(chunk));
  Value answer;
  answer.set("status", std::int64_t{entry.answer->status});
  answer.set("headers", headers.is_null() ? Value(Value::Map{}) : headers);
  answer.set("stream", entry.answer->stream);
  answer.set("chunks", Value(std::move(chunks)));
  Value out;
  out.set("request", std::move(request));
  out.set("answer", std::move(answer));
  return to_json(out) + "\n";
}

Result<CassetteEntry> parse_entry(std::string_view line, std::size_t max_bytes) {
  const Result<Value> parsed = parse_json(line, {max_bytes, 80, 4'000'000});
  if (!parsed.ok()) {
    if (parsed.error().code() == Code::PayloadTooLarge) return parsed.error();
    return damaged(parsed.error().message());
  }
  ReadContext context{Code::CassetteDamaged, std::nullopt};
  const Path root;
  Fields fields(context, *parsed, root);
  const Value* request = fields.map("request");
  const Value* answer_value = fields.map("answer");
  if (request == nullptr || answer_value == nullptr) {
    context.fail(root, "a request and an answer are wanted");
    return *context.error;
  }
  const Path request_path = root.at("request"), answer_path = root.at("answer");
  Fields asked(context, *request, request_path);
  CassetteEntry entry;
  entry.method = asked.need_text("method");
  entry.path = asked.need_text("path");
  entry.hash = asked.need_text("hash");
  if (const Value* body = asked.any("body")) entry.body = *body;
  Fields answer(context, *answer_value, answer_path);
  auto recorded = std::make_shared<RecordedAnswer>();
  recorded->status = static_cast<int>(answer.integer("status", 100, 599).value_or(200));
  recorded->stream = answer.boolean("stream").value_or(false);
  if (const Value* headers = answer.map("headers")) {
    for (const auto& [name, value] : headers->as_map()) {
      if (!value.is_string()) {
        context.fail(answer_path.at("headers"), "texts are wanted");
        break;
      }
      recorded->headers.emplace_back(name, value.as_string());
    }
  }
  if (const Value* chunks = answer.need_list("chunks")) {
    for (const Value& chunk : chunks->as_list()) {
      std::optional<std::string> bytes = chunk_of(chunk);
      if (!bytes.has_value()) {
        context.fail(answer_path.at("chunks"), "texts or base64 are wanted");
        break;
      }
      recorded->chunks.push_back(std::move(*bytes));
    }
  }
  if (context.error.has_value()) return *context.error;
  if (request_hash(entry.method, entry.path, entry.body) != entry.hash) {
    return damaged("the request does not match its hash");
  }
  entry.answer = std::move(recorded);
  return entry;
}

}  // namespace ez::models
