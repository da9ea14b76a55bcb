#include "cli/api_artifacts.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/sha256.h"

namespace ez::cli {

Status ApiArtifacts::fetch(const std::string& sha256, const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return system_error(Code::IoFailed, Code::DiskFull, "create " + path, errno);
  Sha256 hash;
  Status written;
  Status status = api_.download("/v1/artifacts/" + sha256, [&](std::string_view piece) {
    hash.update(piece);
    while (!piece.empty()) {
      const ssize_t got = ::write(fd, piece.data(), piece.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) {
        written = system_error(Code::IoFailed, Code::DiskFull, "write " + path, errno);
        return false;
      }
      piece.remove_prefix(static_cast<std::size_t>(got));
    }
    return true;
  });
  ::close(fd);
  if (status.ok()) status = written;
  if (status.ok() && hash.finish_hex() != sha256)
    status =
        Error(Code::BlobDamaged, "the bytes of artifact " + sha256 + " that arrived do not have that hash");
  if (!status.ok()) ::unlink(path.c_str());
  return status;
}

Result<agents::ArtifactRef> ApiArtifacts::store(const std::string& path) {
  return Error(Code::Internal, "a check stores nothing, not even " + path);
}

}  // namespace ez::cli
