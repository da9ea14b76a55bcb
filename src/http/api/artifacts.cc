// Artifacts: bytes by their SHA-256.
#include <algorithm>
#include <fstream>

#include "base/sha256.h"
#include "http/api/content_type.h"
#include "http/api/context.h"

namespace ez::http::api {
namespace {

using security::Permission;

constexpr std::size_t kPiece = 1024 * 1024;

Result<std::string> sha256_of(const Request& request) {
  std::string sha256 = request.parameter("sha256");
  if (is_sha256_hex(sha256)) return sha256;
  return Error(Code::BlobNotFound,
               "'" + sha256.substr(0, 80) + "' is not a SHA-256 in 64 lower-case hexadecimal digits");
}

Result<storage::BlobInfo> store(storage::BlobStore& blobs, const std::string& sha256,
                                const UploadedFile& upload) {
  EZ_ASSIGN(storage::BlobWriter writer, blobs.begin_put(sha256));
  if (upload) {
    std::ifstream file(upload.path(), std::ios::binary);
    std::string piece(kPiece, '\0');
    std::uint64_t left = upload.size();
    while (left > 0) {
      const auto want = static_cast<std::streamsize>(std::min<std::uint64_t>(left, kPiece));
      if (!file.read(piece.data(), want))
        return Error(Code::IoFailed, "the uploaded file cannot be read back");
      EZ_TRY(writer.write(std::string_view(piece).substr(0, static_cast<std::size_t>(want))));
      left -= static_cast<std::uint64_t>(want);
    }
  }
  return writer.commit();
}

Status put_artifact(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(const std::string sha256, sha256_of(request));
  const auto upload = std::make_shared<UploadedFile>(std::move(request.file));
  transfer(context, answer, [&context, answer, sha256, upload] {
    storage::BlobStore& blobs = context.services.blobs;
    const bool known = blobs.stat(sha256).ok();
    const Result<storage::BlobInfo> stored = store(blobs, sha256, *upload);
    if (!stored.ok()) {
      answer->problem(stored.error());
      return;
    }
    answer->responder().header("Location", "/v1/artifacts/" + sha256);
    answer->json(known ? 200 : 201,
                 Value(Value::Map{{"sha256", Value(sha256)},
                                  {"size", Value(static_cast<std::int64_t>(stored->bytes))}}));
  });
  return {};
}

Status get_artifact(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({"namespace", "name", "download"}));
  EZ_ASSIGN(const std::string sha256, sha256_of(request));
  const std::string* download = request.query.find("download");
  if (download != nullptr && *download != "true" && *download != "false") {
    return Error(Code::RequestInvalid, "download: must be true or false");
  }
  const std::string etag = "\"" + sha256 + "\"";
  Responder& responder = answer->responder();
  if (const auto known = request.headers.find("if-none-match"); known && list_contains(*known, etag)) {
    EZ_ASSIGN(const storage::BlobInfo found, context.services.blobs.stat(sha256));
    responder.header("ETag", etag);
    responder.empty(304);
    return {};
  }
  EZ_ASSIGN(storage::BlobReader reader, context.services.blobs.open_blob(sha256));
  const std::string* name = request.query.find("name");
  responder.header("ETag", etag)
      .header("Cache-Control", "private, max-age=31536000, immutable")
      // Agents make these bytes: a browser must neither guess their type nor run them as a page of ours.
      .header("X-Content-Type-Options", "nosniff")
      .header("Content-Security-Policy",
              "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:");
  if (name != nullptr || download != nullptr) {
    responder.header("Content-Disposition", content_disposition(name == nullptr ? sha256 : *name,
                                                                download != nullptr && *download == "true"));
  }
  const std::uint64_t size = reader.bytes();
  const auto shared = std::make_shared<storage::BlobReader>(std::move(reader));  // a Source is copyable
  responder.source(200, content_type_of(name == nullptr ? "" : *name), size,
                   [shared](std::size_t limit) { return shared->read(limit); });
  return {};
}

}  // namespace

void add_artifact_routes(Router& router, Context& context) {
  constexpr std::string_view kPattern = "/v1/artifacts/{sha256}";
  add_route(router, context, Method::kPut, kPattern, Permission::kArtifactWrite, "Store an artifact",
            put_artifact, kMaxArtifactBytes, BodyMode::kFile);
  add_route(router, context, Method::kGet, kPattern, Permission::kArtifactRead, "Fetch an artifact",
            get_artifact);
}

}  // namespace ez::http::api
