// The few file operations that the stores share. Errors name the path and the reason: IO_FAILED, or DISK_FULL
// when the disk or the quota is full. Thread-safe: no state.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace ez::storage {

// Owns a file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd();
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  void reset();

 private:
  int fd_ = -1;
};

[[nodiscard]] Error file_error(std::string_view call, const std::string& path, int error_number);

// Every folder of the path, mode 0700, each new one made durable in its parent.
[[nodiscard]] Status make_folders(const std::string& path);
// Makes creations, renames and removals in that folder durable.
[[nodiscard]] Status sync_folder(const std::string& path);
[[nodiscard]] Status write_all(int fd, std::string_view bytes, const std::string& path);
// Up to `limit` bytes at `offset`; fewer only at the end of the file.
[[nodiscard]] Result<std::string> read_at(int fd, std::uint64_t offset, std::size_t limit,
                                          const std::string& path);
// Bytes that an ordinary user may still write on the file system of `path`.
[[nodiscard]] Result<std::uint64_t> free_bytes(const std::string& path);

}  // namespace ez::storage
