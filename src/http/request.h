// Request: what a handler gets. Complete: the body is in memory or in a file when the handler runs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/value.h"
#include "http/message.h"
#include "http/url.h"
#include "security/principal.h"

namespace ez::http {

struct Route;

// A request body that was written to a file of its own. Owns the file: it is removed when this goes, unless
// keep() or a rename took it away. Move-only.
class UploadedFile {
 public:
  UploadedFile() = default;
  UploadedFile(std::filesystem::path path, std::uint64_t size) : path_(std::move(path)), size_(size) {}
  ~UploadedFile();
  UploadedFile(UploadedFile&& other) noexcept;
  UploadedFile& operator=(UploadedFile&& other) noexcept;

  [[nodiscard]] explicit operator bool() const { return !path_.empty(); }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::uint64_t size() const { return size_; }
  // From now on the caller owns the file.
  std::filesystem::path keep();

 private:
  std::filesystem::path path_;
  std::uint64_t size_ = 0;
};

// Valid during the handler's call only; a handler that answers later moves out what it needs.
struct Request {
  Method method = Method::kOther;
  std::string path;  // as sent, still encoded
  Query query;
  Headers headers;
  std::string body;   // routes with BodyMode::kMemory
  UploadedFile file;  // routes with BodyMode::kFile, when the request has a body
  std::string id;     // X-Request-Id: the client's when it sent a proper one, otherwise made here
  std::shared_ptr<const security::Principal> principal;  // null for routes that need no permission
  const Route* route = nullptr;
  std::vector<std::pair<std::string_view, std::string>>
      parameters;  // of the pattern; names live in the route

  // The decoded path parameter; the pattern has it, or this is a bug of ours and aborts.
  [[nodiscard]] const std::string& parameter(std::string_view name) const;

  // The namespace that the request is about: the query parameter "namespace", or "default".
  [[nodiscard]] std::string_view name_space() const;

  // Whether the client asks for that media type by name (Accept).
  [[nodiscard]] bool accepts(std::string_view media_type) const;

  // The body as a JSON object; an empty body is an empty object. Errors: JSON_INVALID, REQUEST_INVALID
  // (another Content-Type than JSON, or not an object).
  [[nodiscard]] Result<Value> json_object() const;

  void clear();  // ready for the next request; keeps small buffers
};

}  // namespace ez::http
