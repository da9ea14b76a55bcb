#include "http/request.h"

#include <unistd.h>

#include "base/check.h"
#include "base/json.h"

namespace ez::http {
namespace {
constexpr std::size_t kKeptBodyBytes = 64 * 1024;
}

UploadedFile::~UploadedFile() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

UploadedFile::UploadedFile(UploadedFile&& other) noexcept
    : path_(std::exchange(other.path_, {})), size_(std::exchange(other.size_, 0)) {}

UploadedFile& UploadedFile::operator=(UploadedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(size_, other.size_);
  return *this;
}

std::filesystem::path UploadedFile::keep() { return std::exchange(path_, {}); }

const std::string& Request::parameter(std::string_view name) const {
  for (const auto& parameter : parameters) {
    if (parameter.first == name) return parameter.second;
  }
  EZ_CHECK(false, "a path parameter that the route's pattern does not have");
}

std::string_view Request::name_space() const {
  const std::string* given = query.find("namespace");
  return given == nullptr ? std::string_view("default") : std::string_view(*given);
}

bool Request::accepts(std::string_view media_type) const {
  const auto accept = headers.find("accept");
  return accept && list_contains(*accept, media_type);
}

Result<Value> Request::json_object() const {
  if (const auto type = headers.find("content-type"); type && !body.empty()) {
    // A form type is what command-line clients put there unasked; refusing it saves a wrong guess about the
    // body.
    if (!list_contains(*type, "application/json")) {
      return Error(Code::RequestInvalid, "the Content-Type is '" + std::string(type->substr(0, 64)) + "'",
                   "Send JSON with Content-Type: application/json.");
    }
  }
  if (body.empty()) return Value(Value::Map{});
  EZ_ASSIGN(Value value, parse_json(body));
  if (!value.is_map()) return Error(Code::RequestInvalid, "the body must be a JSON object");
  return value;
}

void Request::clear() {
  method = Method::kOther;
  path.clear();
  query = Query();
  headers.clear();
  if (body.capacity() > kKeptBodyBytes) {
    std::string().swap(body);
  } else {
    body.clear();
  }
  file = UploadedFile();
  id.clear();
  principal.reset();
  route = nullptr;
  parameters.clear();
}

}  // namespace ez::http
