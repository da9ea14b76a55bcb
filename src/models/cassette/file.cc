// The only part of cassettes that touches a disk.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>

#include "models/cassette/cassette.h"

namespace ez::models {

namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

Error io_error(std::string_view what, const std::string& path) {
  return system_error(Code::IoFailed, Code::DiskFull, std::string(what) + " " + path, errno);
}

Result<std::string> read_all(int fd, const std::string& path, std::size_t limit) {
  std::string out;
  std::string piece(std::size_t{256} * 1024, '\0');
  while (true) {
    const ssize_t got = ::read(fd, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return io_error("read", path);
    if (got == 0) return out;
    out.append(piece, 0, static_cast<std::size_t>(got));
    if (out.size() > limit) {
      return Error(Code::PayloadTooLarge,
                   "the cassette " + path + " has over " + std::to_string(limit) + " bytes");
    }
  }
}

// All of it, or nothing: a line that could not be written whole is taken back.
Status append(int fd, const std::string& path, std::string_view bytes) {
  const off_t before = ::lseek(fd, 0, SEEK_END);
  if (before < 0) return io_error("seek", path);
  std::string_view rest = bytes;
  while (!rest.empty()) {
    const ssize_t wrote = ::write(fd, rest.data(), rest.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) {
      const Error error = io_error("write", path);
      static_cast<void>(::ftruncate(fd, before));
      return error;
    }
    rest.remove_prefix(static_cast<std::size_t>(wrote));
  }
  if (::fdatasync(fd) != 0) return io_error("sync", path);
  return {};
}

class DiskCassette final : public CassetteFile {
 public:
  DiskCassette(std::string path, int fd, CassetteMode mode, std::unique_ptr<Cassette> cassette)
      : path_(std::move(path)), fd_(fd), mode_(mode), cassette_(std::move(cassette)) {}

  [[nodiscard]] CassetteMode mode() const override { return mode_; }
  [[nodiscard]] Cassette& cassette() override { return *cassette_; }

  [[nodiscard]] Status record(const RecordedRequest& request, const RecordedAnswer& answer,
                              const Substitutions& substitutions,
                              const telemetry::Redactor* redactor) override {
    if (mode_ == CassetteMode::kStrict) return Error(Code::WrongState, "a strict cassette is never written");
    const std::lock_guard<std::mutex> lock(mutex_);
    EZ_ASSIGN(const std::string line, cassette_->record(request, answer, substitutions, redactor));
    return append(fd_.get(), path_, line);
  }

 private:
  const std::string path_;
  const Descriptor fd_;
  const CassetteMode mode_;
  const std::unique_ptr<Cassette> cassette_;
  std::mutex mutex_;  // the order in the file is the order in memory
};

}  // namespace

Result<std::unique_ptr<CassetteFile>> CassetteFile::open(const std::string& path, CassetteMode mode,
                                                         const CassetteLimits& limits) {
  if (mode == CassetteMode::kOff) {
    return Error(Code::InvalidArgument, "a cassette is opened to record, replay or for strict replay");
  }
  const bool strict = mode == CassetteMode::kStrict;
  const int fd =
      ::open(path.c_str(), strict ? O_RDONLY | O_CLOEXEC : O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return io_error("open", path);
  auto guard = std::make_unique<Descriptor>(fd);
  EZ_ASSIGN(const std::string text, read_all(fd, path, limits.max_bytes));
  std::unique_ptr<Cassette> cassette;
  if (text.empty() && !strict) {
    EZ_ASSIGN(cassette, Cassette::create({}, limits));
    EZ_TRY(append(fd, path, cassette->header_line()));
  } else {
    Result<std::unique_ptr<Cassette>> parsed = Cassette::parse(text, limits);
    if (!parsed.ok()) return parsed.error().in(path);
    cassette = std::move(parsed).value();
  }
  const int own = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0) return io_error("duplicate", path);
  return std::unique_ptr<CassetteFile>(std::make_unique<DiskCassette>(path, own, mode, std::move(cassette)));
}

}  // namespace ez::models
