#include "security/token_file.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "base/random.h"

namespace ez::security {
namespace {

constexpr std::size_t kTokenBytes = 32;
constexpr std::size_t kTokenCharacters = 43;

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

// Removes the file aside on every way out: after the link it is only a second name.
class Removal {
 public:
  explicit Removal(std::string path) : path_(std::move(path)) {}
  ~Removal() { ::unlink(path_.c_str()); }
  Removal(const Removal&) = delete;
  Removal& operator=(const Removal&) = delete;

 private:
  std::string path_;
};

Error failed(const std::string& what) { return system_error(Code::IoFailed, Code::DiskFull, what, errno); }

Error unsafe(const std::string& message, std::string hint) {
  return Error(Code::TokenFileUnsafe, message, std::move(hint));
}

std::string make_token() {
  std::string bytes;
  for (std::size_t i = 0; i < kTokenBytes / 8; ++i) {
    std::uint64_t word = system_random().next();
    for (int shift = 0; shift < 64; shift += 8) bytes.push_back(static_cast<char>(word >> shift));
  }
  return base64url(bytes);
}

Status write_all(int fd, std::string_view bytes, const std::string& name) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("write " + name);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

// Written aside and linked into place: link(2) refuses an existing name, so the first of several writers
// wins.
Status create(const std::filesystem::path& file) {
  const std::string aside = file.string() + "." + std::to_string(::getpid()) + "-" +
                            std::to_string(system_random().next()) + ".tmp";
  const Descriptor out(::open(aside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (out.get() < 0) return failed("create " + aside);
  const Removal removal(aside);
  // The mode given to open() is narrowed by the umask, never widened; this makes it exact.
  if (::fchmod(out.get(), 0600) != 0) return failed("chmod " + aside);
  EZ_TRY(write_all(out.get(), make_token() + "\n", aside));
  if (::fsync(out.get()) != 0) return failed("sync " + aside);
  if (::link(aside.c_str(), file.c_str()) != 0 && errno != EEXIST) return failed("link " + file.string());
  std::filesystem::path parent = file.parent_path();
  if (parent.empty()) parent = ".";
  const Descriptor folder(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0 || ::fsync(folder.get()) != 0) return failed("sync " + parent.string());
  return {};
}

bool is_base64url(std::string_view text) {
  return text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") ==
         std::string_view::npos;
}

Result<std::string> read_open(int fd, const std::string& name) {
  struct stat facts {};
  if (::fstat(fd, &facts) != 0) return failed("stat " + name);
  if (!S_ISREG(facts.st_mode))
    return unsafe(name + " is not a regular file", "Remove it; ez makes a new token file.");
  if (facts.st_uid != ::geteuid() && facts.st_uid != 0) {
    return unsafe(name + " belongs to another user (uid " + std::to_string(facts.st_uid) + ")",
                  "Remove it; ez makes a new token file.");
  }
  if ((facts.st_mode & 077) != 0) {
    return unsafe(name + " can be read or written by other users",
                  "Run `chmod 600 " + name + "`, or remove it for a new token.");
  }
  char buffer[kTokenCharacters + 2];
  std::size_t size = 0;
  while (size < sizeof buffer) {
    const ssize_t n = ::read(fd, buffer + size, sizeof buffer - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("read " + name);
    if (n == 0) break;
    size += static_cast<std::size_t>(n);
  }
  std::string token(buffer, size);
  if (!token.empty() && token.back() == '\n') token.pop_back();
  if (token.size() != kTokenCharacters || !is_base64url(token)) {
    return unsafe(name + " does not hold a token of ez", "Remove it; ez makes a new token file.");
  }
  return token;
}

}  // namespace

Result<std::string> read_token(const std::filesystem::path& file) {
  // O_NONBLOCK: a pipe in its place must not block us; O_NOFOLLOW: nor may a link lead to another file.
  const Descriptor in(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (in.get() < 0) {
    if (errno == ELOOP)
      return unsafe(file.string() + " is a symbolic link", "Remove it; ez makes a new token file.");
    return failed("open " + file.string());
  }
  return read_open(in.get(), file.string());
}

Result<std::string> load_or_create_token(const std::filesystem::path& file) {
  struct stat facts {};
  if (::lstat(file.c_str(), &facts) != 0) {
    if (errno != ENOENT) return failed("stat " + file.string());
    EZ_TRY(create(file));
  }
  return read_token(file);
}

bool same_secret(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string base64url(std::string_view bytes) {
  static constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string out((bytes.size() * 4 + 2) / 3, '\0');
  std::size_t at = 0;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t three = 0;
    for (std::size_t k = 0; k < 3; ++k)
      three = three << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    for (int shift = 18; shift >= 0 && at < out.size(); shift -= 6)
      out[at++] = kAlphabet[three >> shift & 63];
  }
  return out;
}

}  // namespace ez::security
