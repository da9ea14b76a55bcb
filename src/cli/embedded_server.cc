#include "cli/embedded_server.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <thread>
#include <vector>

#include "base/json.h"
#include "cli/server_file.h"

namespace ez::cli {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kStartWait{60'000};  // a long log is replayed first
constexpr milliseconds kLookAgain{50};
constexpr milliseconds kStopWait{60'000};
constexpr std::size_t kMaxReport = 64 * 1024;

// The line that the server writes to its report descriptor; empty when it died before.
std::string read_report(int fd) {
  std::string text;
  const auto until = std::chrono::steady_clock::now() + kStartWait;
  while (text.size() < kMaxReport && text.find('\n') == std::string::npos) {
    const auto left = std::chrono::duration_cast<milliseconds>(until - std::chrono::steady_clock::now());
    pollfd ready{fd, POLLIN, 0};
    if (left.count() <= 0 || ::poll(&ready, 1, static_cast<int>(left.count())) < 0) break;
    char piece[4096];
    const ssize_t got = ::read(fd, piece, sizeof piece);
    if (got <= 0) break;
    text.append(piece, static_cast<std::size_t>(got));
  }
  return text.substr(0, text.find('\n'));
}

Error error_of(const std::string& report) {
  const auto problem = parse_json(report);
  if (!problem.ok()) return Error(Code::Internal, "the server says: " + report);
  const CodeInfo* code = find_code(problem->string_or("code", ""));
  return Error(code == nullptr ? Code::Internal : code->code,
               std::string(problem->string_or("detail", report)),
               std::string(problem->string_or("hint", "")));
}

Result<StartedServer> wait_for_other(const std::string& data, const Error& refused) {
  const auto until = std::chrono::steady_clock::now() + kStartWait;
  do {
    EZ_ASSIGN(const auto found, find_server(data));
    if (found) return StartedServer{found->url, found->pid, false};
    std::this_thread::sleep_for(kLookAgain);
  } while (std::chrono::steady_clock::now() < until);
  return refused;
}

}  // namespace

Result<std::string> own_program() {
  std::error_code failed;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", failed);
  if (failed) return Error(Code::IoFailed, "/proc/self/exe: " + failed.message());
  return path.string();
}

Result<StartedServer> start_server(const std::string& data, const std::vector<std::string>& agent_types) {
  EZ_ASSIGN(const std::string program, own_program());
  std::error_code failed;
  std::filesystem::create_directories(data, failed);
  if (failed) return Error(Code::DataDirUnusable, "create " + data + ": " + failed.message());
  int report[2];
  if (::pipe2(report, O_CLOEXEC) != 0) return system_error(Code::IoFailed, Code::IoFailed, "pipe", errno);
  const std::string report_fd = std::to_string(report[1]);
  const std::string log = data + "/ez.log";
  std::vector<std::string> words{program,       "up",         "--data", data,          "--listen",
                                 "127.0.0.1:0", "--log-file", log,      "--report-fd", report_fd};
  std::string types;
  for (const std::string& type : agent_types) types += (types.empty() ? "" : ",") + type;
  if (!types.empty()) words.insert(words.end(), {"--agent-types", types});
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const pid_t child = ::fork();
  if (child < 0) {
    const Error error = system_error(Code::IoFailed, Code::IoFailed, "fork", errno);
    ::close(report[0]);
    ::close(report[1]);
    return error;
  }
  if (child == 0) {
    ::setsid();
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    const int null = ::open("/dev/null", O_RDWR);
    for (int fd = 0; fd <= 2 && null >= 0; ++fd) ::dup2(null, fd);
    ::fcntl(report[1], F_SETFD, 0);
    ::execv("/proc/self/exe", argv.data());  // this very program, even when its file was replaced
    ::_exit(127);
  }
  ::close(report[1]);
  const std::string line = read_report(report[0]);
  ::close(report[0]);
  if (line.rfind("ready ", 0) == 0) return StartedServer{line.substr(6), child, true};
  ::kill(child, SIGTERM);
  ::waitpid(child, nullptr, 0);
  if (line.rfind("failed ", 0) != 0) {
    return Error(Code::ServerUnreachable,
                 "the server that was started on " + data + " ended before it was ready",
                 "Look into " + log + ".");
  }
  Error error = error_of(line.substr(7));
  if (error.code() == Code::DataDirLocked) return wait_for_other(data, error);
  return error;
}

Status stop_server(std::int64_t pid) {
  const auto id = static_cast<pid_t>(pid);
  const int fd = static_cast<int>(::syscall(SYS_pidfd_open, id, 0));
  if (fd < 0) return {};  // gone already
  ::kill(id, SIGTERM);
  pollfd ended{fd, POLLIN, 0};
  int ready = 0;
  do {
    ready = ::poll(&ended, 1, static_cast<int>(kStopWait.count()));
  } while (ready < 0 && errno == EINTR);
  ::close(fd);
  (void)::waitpid(id, nullptr, WNOHANG);  // when it is our child
  if (ready == 1) return {};
  return Error(Code::ServerBusy,
               "the server (process " + std::to_string(pid) + ") has not stopped after " +
                   std::to_string(kStopWait.count() / 1000) + " seconds",
               "It still ends its work; look again, or end the process.");
}

}  // namespace ez::cli
