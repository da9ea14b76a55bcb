// The file of `ez export`: JSON lines in one zstd frame, with a hash over all of them at the end.
// docs/formats/export.md describes every line.
//
// Errors: EXPORT_DAMAGED (not such a file, cut, or changed; the message says where), EXPORT_NEWER, IO_FAILED.
// Memory: one line at a time. Not thread-safe.
#pragma once

#include <cstdint>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/sha256.h"
#include "base/value.h"
#include "storage/zstd_stream.h"

namespace ez::cli {

inline constexpr int kExportVersion = 1;
inline constexpr std::size_t kMaxExportLine = 48 * 1024 * 1024;
inline constexpr std::size_t kExportPiece = 512 * 1024;  // bytes of a blob or a log in one line

class ExportWriter {
 public:
  // Writes <path>.part; finish() gives it its name.
  [[nodiscard]] static Result<std::unique_ptr<ExportWriter>> create(const std::string& path);
  ~ExportWriter();  // removes what was not finished
  [[nodiscard]] Status add(const Value& line);
  [[nodiscard]] Status finish();
  [[nodiscard]] std::uint64_t lines() const { return lines_; }

 private:
  explicit ExportWriter(std::string path) : path_(std::move(path)) {}
  [[nodiscard]] Status write(std::string_view text, bool end);

  const std::string path_;
  std::ofstream out_;
  storage::ZstdPacker packer_;
  Sha256 hash_;
  std::uint64_t lines_ = 0;
  bool finished_ = false;
};

// Calls `use` with each line between the first and the last. The lines are only good once this has returned
// well: read the file once to check it before anything is done.
[[nodiscard]] Status read_export(const std::string& path, const std::function<Status(const Value&)>& use);

}  // namespace ez::cli
