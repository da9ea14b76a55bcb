#include "cli/export_file.h"

#include <cerrno>
#include <filesystem>

#include "base/json.h"

namespace ez::cli {
namespace {

constexpr std::size_t kPiece = 256 * 1024;

Error damaged(const std::string& path, const std::string& what) {
  return Error(Code::ExportDamaged, path + ": " + what);
}

// Lines out of the frame, one by one.
class LineReader {
 public:
  explicit LineReader(const std::string& path) : path_(path), in_(path, std::ios::binary) {}
  [[nodiscard]] bool is_open() const { return in_.is_open(); }

  // False: the frame has ended, and the last line with it.
  Result<bool> next(std::string& line) {
    for (;;) {
      if (const std::size_t end = plain_.find('\n', looked_at_); end != std::string::npos) {
        line.assign(plain_, begin_, end - begin_);
        begin_ = looked_at_ = end + 1;
        return true;
      }
      plain_.erase(0, begin_);
      looked_at_ = plain_.size();
      begin_ = 0;
      if (plain_.size() > kMaxExportLine) return damaged(path_, "a line is too long");
      if (unpacker_.ended()) break;
      EZ_TRY(fill());
    }
    if (!plain_.empty()) return damaged(path_, "its last line is cut");
    char byte = 0;
    if (!frame_.empty() || in_.read(&byte, 1)) return damaged(path_, "something follows behind its end");
    return false;
  }

 private:
  Status fill() {
    if (frame_.empty()) {
      packed_.resize(kPiece);
      in_.read(packed_.data(), static_cast<std::streamsize>(packed_.size()));
      packed_.resize(static_cast<std::size_t>(in_.gcount()));
      if (packed_.empty())
        return in_.bad() ? Error(Code::IoFailed, "read " + path_) : damaged(path_, "it is cut");
      frame_ = packed_;
    }
    const std::size_t before = frame_.size();
    const std::size_t had = plain_.size();
    if (!unpacker_.unpack(frame_, kPiece, plain_)) return damaged(path_, "it does not unpack");
    if (frame_.size() == before && plain_.size() == had && !unpacker_.ended())
      return damaged(path_, "it does not unpack");
    return {};
  }

  const std::string path_;
  std::ifstream in_;
  storage::ZstdUnpacker unpacker_;
  std::string packed_;
  std::string_view frame_;  // what of packed_ is not unpacked yet
  std::string plain_;
  std::size_t begin_ = 0;      // of the next line
  std::size_t looked_at_ = 0;  // no line ends before
};

Status check_head(const std::string& path, const Value& line) {
  const std::int64_t version = line.int_or("ez_export", 0);
  if (version < 1) return damaged(path, "it is no export of ez");
  if (version > kExportVersion) {
    return Error(Code::ExportNewer, path + " has format " + std::to_string(version) + ", this ez knows " +
                                        std::to_string(kExportVersion));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<ExportWriter>> ExportWriter::create(const std::string& path) {
  std::unique_ptr<ExportWriter> writer(new ExportWriter(path));
  writer->out_.open(path + ".part", std::ios::binary | std::ios::trunc);
  if (!writer->out_) return system_error(Code::IoFailed, Code::DiskFull, "open " + path + ".part", errno);
  return writer;
}

ExportWriter::~ExportWriter() {
  if (finished_) return;
  out_.close();
  std::error_code ignored;
  std::filesystem::remove(path_ + ".part", ignored);
}

Status ExportWriter::write(std::string_view text, bool end) {
  std::string packed;
  packer_.pack(text, end, packed);
  out_.write(packed.data(), static_cast<std::streamsize>(packed.size()));
  if (!out_) return system_error(Code::IoFailed, Code::DiskFull, "write " + path_ + ".part", errno);
  return {};
}

Status ExportWriter::add(const Value& line) {
  const std::string text = to_json(line) + "\n";
  hash_.update(text);
  ++lines_;
  return write(text, false);
}

Status ExportWriter::finish() {
  const Value end(Value::Map{{"kind", Value("end")},
                             {"lines", Value(static_cast<std::int64_t>(lines_))},
                             {"sha256", Value(hash_.finish_hex())}});
  EZ_TRY(write(to_json(end) + "\n", true));
  out_.close();
  if (!out_) return system_error(Code::IoFailed, Code::DiskFull, "close " + path_ + ".part", errno);
  std::error_code failed;
  std::filesystem::rename(path_ + ".part", path_, failed);
  if (failed) return Error(Code::IoFailed, "rename " + path_ + ".part: " + failed.message());
  finished_ = true;
  return {};
}

Status read_export(const std::string& path, const std::function<Status(const Value&)>& use) {
  LineReader reader(path);
  if (!reader.is_open()) return system_error(Code::IoFailed, Code::IoFailed, "open " + path, errno);
  JsonLimits limits;
  limits.max_bytes = kMaxExportLine;
  Sha256 hash;
  std::uint64_t lines = 0;
  std::string text;
  for (;;) {
    EZ_ASSIGN(const bool there, reader.next(text));
    if (!there) return damaged(path, "its last line is missing");
    const auto line = parse_json(text, limits);
    if (!line.ok() || !line->is_map())
      return damaged(path, "line " + std::to_string(lines + 1) + " is not a JSON object");
    if (lines == 0) EZ_TRY(check_head(path, *line));
    if (line->string_or("kind", "") == "end") {
      if (line->int_or("lines", -1) != static_cast<std::int64_t>(lines) ||
          line->string_or("sha256", "") != hash.finish_hex()) {
        return damaged(path, "its lines are not those that were written");
      }
      EZ_ASSIGN(const bool more, reader.next(text));
      return more ? Status(damaged(path, "something follows behind its end")) : Status();
    }
    hash.update(text + "\n");
    if (lines > 0) EZ_TRY(use(*line));
    ++lines;
  }
}

}  // namespace ez::cli
