#include "http/api/content_type.h"

#include <utility>

#include "http/message.h"
#include "http/url.h"

namespace ez::http::api {
namespace {

constexpr std::pair<std::string_view, std::string_view> kTypes[] = {
    {".md", "text/markdown; charset=utf-8"},
    {".txt", "text/plain; charset=utf-8"},
    {".log", "text/plain; charset=utf-8"},
    {".diff", "text/plain; charset=utf-8"},
    {".patch", "text/plain; charset=utf-8"},
    {".json", "application/json"},
    {".jsonl", "application/x-ndjson"},
    {".yaml", "application/yaml"},
    {".yml", "application/yaml"},
    {".csv", "text/csv; charset=utf-8"},
    {".html", "text/html; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".xml", "application/xml"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".jpg", "image/jpeg"},
    {".jpeg", "image/jpeg"},
    {".gif", "image/gif"},
    {".webp", "image/webp"},
    {".pdf", "application/pdf"},
    {".gz", "application/gzip"},
    {".zst", "application/zstd"},
    {".zip", "application/zip"},
    {".tar", "application/x-tar"},
};

}  // namespace

std::string_view content_type_of(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  if (dot != std::string_view::npos) {
    for (const auto& [ending, type] : kTypes) {
      if (same_name(name.substr(dot), ending)) return type;
    }
  }
  return "application/octet-stream";
}

std::string content_disposition(std::string_view name, bool download) {
  const std::size_t slash = name.find_last_of("/\\");
  if (slash != std::string_view::npos) name = name.substr(slash + 1);
  std::string plain;
  bool ascii = true;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    ascii = ascii && byte < 0x80;
    plain.push_back(byte < 0x20 || byte >= 0x7f || c == '"' || c == '%' ? '_' : c);
  }
  std::string out = download ? "attachment" : "inline";
  out += "; filename=\"" + (plain.empty() ? std::string("artifact") : plain) + "\"";
  if (!ascii) out += "; filename*=UTF-8''" + percent_encode(name);
  return out;
}

}  // namespace ez::http::api
