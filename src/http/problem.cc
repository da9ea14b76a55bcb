#include "http/problem.h"

#include "base/json.h"

namespace ez::http {
namespace {

constexpr std::size_t kShownBytes = 512;

// "RUN_NOT_FOUND" → "Run not found".
std::string title_of(std::string_view name) {
  std::string title;
  for (const char c : name) {
    if (c == '_') {
      title.push_back(' ');
    } else {
      title.push_back(title.empty() || c < 'A' || c > 'Z' ? c : static_cast<char>(c + ('a' - 'A')));
    }
  }
  return title;
}

std::string shown(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, kShownBytes)) {
    const auto byte = static_cast<unsigned char>(c);
    out.push_back(byte < 0x20 || byte >= 0x7f ? ' ' : c);
  }
  return out;
}

}  // namespace

std::string problem_json(const Error& error, std::string_view request_id) {
  const CodeInfo& facts = info(error.code());
  std::string out = "{\"type\":";
  append_json_string(out, "/errors/" + std::string(facts.name));
  out += ",\"title\":";
  append_json_string(out, title_of(facts.name));
  out += ",\"status\":" + std::to_string(facts.http_status) + ",\"code\":";
  append_json_string(out, facts.name);
  out += ",\"detail\":";
  append_json_string(out, error.message());
  out += ",\"hint\":";
  append_json_string(out, error.hint());
  out += facts.retry ? ",\"retry\":true" : ",\"retry\":false";
  out += ",\"instance\":";
  append_json_string(out, request_id);
  out += "}";
  return out;
}

void append_problem_headers(std::string& out, const Error& error) {
  if (error.retry()) append_header(out, "Retry-After", "1");
  if (error.code() == Code::Unauthenticated) append_header(out, "WWW-Authenticate", "Bearer realm=\"ez\"");
}

Error error_of_answer(int status, std::string_view content_type, std::string_view body) {
  const std::string prefix = "the server answered " + std::to_string(status) + ": ";
  if (!list_contains(content_type, kProblemType)) return Error(Code::Internal, prefix + shown(body));
  const Result<Value> parsed = parse_json(body);
  if (!parsed.ok()) return Error(Code::Internal, prefix + shown(body));
  const std::string_view name = parsed->string_or("code", "");
  const std::string detail(parsed->string_or("detail", ""));
  const CodeInfo* known = find_code(name);
  if (known == nullptr) return Error(Code::Internal, prefix + shown(name) + ": " + detail);
  return Error(known->code, detail, std::string(parsed->string_or("hint", "")));
}

}  // namespace ez::http
