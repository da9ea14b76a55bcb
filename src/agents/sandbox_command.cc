#include "agents/sandbox_command.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

namespace ez::agents {
namespace {

// Of /etc: what compilers, interpreters and TLS need. Nothing that names users, hosts or secrets of this
// machine.
constexpr const char* kEtc[] = {
    "ld.so.cache",     "ld.so.conf",    "ld.so.conf.d", "alternatives", "ssl/certs",      "ssl/openssl.cnf",
    "ca-certificates", "pki/tls/certs", "pki/ca-trust", "localtime",    "mime.types",     "protocols",
    "services",        "fonts",         "magic",        "bash.bashrc",  "debian_version", "os-release"};
constexpr std::string_view kEtcPrefixes[] = {"java-", "python3", "perl"};
constexpr const char* kEtcNetwork[] = {"resolv.conf", "hosts", "host.conf", "gai.conf"};

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

void show_etc(const std::string& name, std::vector<std::string>& out) {
  const std::string path = "/etc/" + name;
  if (exists(path)) out.insert(out.end(), {"--ro-bind", path, path});
}

void system_folders(std::vector<std::string>& out) {
  out.insert(out.end(), {"--ro-bind", "/usr", "/usr"});
  for (const char* name : {"/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32"}) {
    struct stat info {};
    if (::lstat(name, &info) != 0) continue;
    if (S_ISLNK(info.st_mode)) {
      char target[PATH_MAX];
      const ssize_t length = ::readlink(name, target, sizeof target);
      if (length > 0)
        out.insert(out.end(), {"--symlink", std::string(target, static_cast<std::size_t>(length)), name});
    } else {
      out.insert(out.end(), {"--ro-bind", name, name});
    }
  }
}

}  // namespace

std::string SandboxCommand::packed() const {
  std::string bytes;
  for (const std::string& option : options) {
    bytes += option;
    bytes.push_back('\0');
  }
  return bytes;
}

Result<SandboxCommand> sandbox_command(const SandboxSpec& spec, const Sandbox::Options& options) {
  SandboxCommand command;
  std::vector<std::string>& out = command.options;
  const auto add = [&out](std::initializer_list<std::string> words) { out.insert(out.end(), words); };
  add({"--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"});
  if (!spec.limits.network) add({"--unshare-net"});
  add({"--uid", "1000", "--gid", "1000", "--hostname", "ez", "--die-with-parent", "--new-session",
       "--cap-drop", "ALL"});
  add({"--seccomp", std::to_string(kSeccompFd), "--json-status-fd", std::to_string(kStatusFd), "--block-fd",
       std::to_string(kBlockFd)});

  system_folders(out);
  for (const char* name : kEtc) show_etc(name, out);
  if (DIR* etc = ::opendir("/etc")) {
    while (const dirent* entry = ::readdir(etc)) {
      for (const std::string_view prefix : kEtcPrefixes) {
        if (std::string_view(entry->d_name).starts_with(prefix)) show_etc(entry->d_name, out);
      }
    }
    ::closedir(etc);
  }
  if (spec.limits.network) {
    for (const char* name : kEtcNetwork) show_etc(name, out);
  }
  // What lies in a mounted folder (in /tmp, for example) comes after it, everything else before, so that
  // nothing shown can cover a mount.
  const auto show_shown = [&](bool inside_mounts) {
    for (const std::string& folder : options.read_only) {
      const bool inside = std::any_of(spec.mounts.begin(), spec.mounts.end(), [&](const SandboxMount& mount) {
        return folder.starts_with(mount.target + "/");
      });
      if (inside == inside_mounts) add({"--ro-bind-try", folder, folder});
    }
  };
  show_shown(false);

  add({"--proc", "/proc", "--dev", "/dev"});
  // Shared memory files are memory: a small part of the limit.
  const std::int64_t shm_mb =
      std::max<std::int64_t>(1, std::min<std::int64_t>(64, spec.limits.memory_mb / 4));
  add({"--perms", "1777", "--size", std::to_string(shm_mb * 1024 * 1024), "--tmpfs", "/dev/shm"});
  add({"--symlink", "/tmp", "/var/tmp", "--dir", "/run"});

  for (const SandboxMount& mount : spec.mounts) {
    if (mount.source.empty() || mount.source[0] != '/' || mount.target.empty() || mount.target[0] != '/') {
      return Error(Code::InvalidArgument,
                   "a mount needs absolute paths, got " + mount.source + " at " + mount.target);
    }
    add({mount.writable ? "--bind" : "--ro-bind", mount.source, mount.target});
  }
  show_shown(true);

  std::vector<std::pair<std::string, std::string>> files = spec.files;
  files.emplace_back("/etc/passwd",
                     "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\nez:x:1000:1000:ez:/home/ez:/bin/sh\n"
                     "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n");
  files.emplace_back("/etc/group", "root:x:0:\nez:x:1000:\nnogroup:x:65534:\n");
  files.emplace_back("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n");
  if (!spec.limits.network) files.emplace_back("/etc/hosts", "127.0.0.1 localhost ez\n::1 localhost ez\n");
  if (files.size() > kMaxFiles) return Error(Code::InvalidArgument, "too many files for one sandbox");
  int number = kFirstFileFd;
  for (const auto& [target, bytes] : files) {
    EZ_ASSIGN(UniqueFd file, memory_file("sandbox-file", bytes));
    command.descriptors.emplace_back(file.get(), number);
    command.held.push_back(std::move(file));
    add({"--perms", "0444", "--ro-bind-data", std::to_string(number), target});
    ++number;
  }

  add({"--clearenv"});
  for (const auto& [name, value] : spec.environment) add({"--setenv", name, value});
  // A worker that runs as root maps the sandbox's user to root: without capabilities, but root owns the
  // switches of the kernel in /proc/sys (core_pattern!). A read-only /proc closes that door for good.
  add({"--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", spec.directory});
  for (const std::string& word : out) {
    if (word.find('\0') != std::string::npos)
      return Error(Code::InvalidArgument, "a zero byte in the sandbox's options");
  }
  return command;
}

}  // namespace ez::agents
