#include "cli/server_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <sstream>

#include "base/json.h"

namespace ez::cli {
namespace {
constexpr std::size_t kMaxFileBytes = 64 * 1024;
}

std::string server_file_path(const std::string& data) { return data + "/server.json"; }

std::string process_start(std::int64_t pid) {
  if (pid <= 0) return "";
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  if (!std::getline(file, text)) return "";
  // Field 2 may hold blanks and brackets; the fields after its last bracket begin with number 3.
  const auto bracket = text.rfind(')');
  if (bracket == std::string::npos) return "";
  std::istringstream fields(text.substr(bracket + 1));
  std::string field;
  for (int number = 3; number <= 22; ++number) {
    if (!(fields >> field)) return "";
    if (number == 3 && (field == "Z" || field == "X")) return "";  // dead, only not yet waited for
  }
  return field;
}

Status write_server_file(const std::string& data, const ServerFile& file) {
  const std::string path = server_file_path(data);
  const std::string aside = path + "." + std::to_string(file.pid);
  const std::string text = to_json(Value(Value::Map{{"url", Value(file.url)},
                                                    {"pid", Value(file.pid)},
                                                    {"started", Value(file.started)},
                                                    {"version", Value(file.version)}})) +
                           "\n";
  const int fd = ::open(aside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return system_error(Code::IoFailed, Code::DiskFull, "open " + aside, errno);
  const ssize_t written = ::write(fd, text.data(), text.size());
  const int write_errno = errno;
  ::close(fd);
  if (written != static_cast<ssize_t>(text.size())) {
    ::unlink(aside.c_str());
    return system_error(Code::IoFailed, Code::DiskFull, "write " + aside, written < 0 ? write_errno : ENOSPC);
  }
  if (::rename(aside.c_str(), path.c_str()) != 0) {
    return system_error(Code::IoFailed, Code::DiskFull, "rename " + aside, errno);
  }
  return {};
}

Result<std::optional<ServerFile>> find_server(const std::string& data) {
  const std::string path = server_file_path(data);
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    if (errno == ENOENT || errno == ENOTDIR) return std::optional<ServerFile>();
    return system_error(Code::IoFailed, Code::IoFailed, "open " + path, errno);
  }
  std::string text(kMaxFileBytes, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  const auto json = parse_json(text);
  if (!json.ok())
    return Error(Code::IoFailed, path + " is not a server file: " + json.error().message(),
                 "Remove the file; the next `ez up` writes it again.");
  ServerFile file{std::string(json->string_or("url", "")), json->int_or("pid", 0),
                  std::string(json->string_or("started", "")), std::string(json->string_or("version", ""))};
  const std::string started = process_start(file.pid);
  if (file.url.empty() || started.empty() || started != file.started) return std::optional<ServerFile>();
  return std::optional<ServerFile>(std::move(file));
}

void remove_server_file(const std::string& data, std::int64_t pid) {
  const auto found = find_server(data);
  if (found.ok() && found->has_value() && (*found)->pid == pid) ::unlink(server_file_path(data).c_str());
}

}  // namespace ez::cli
