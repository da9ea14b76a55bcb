// ez doctor: can this machine run tasks, and is this data directory whole. Changes nothing.
#include <sys/statvfs.h>
#include <unistd.h>

#include <filesystem>

#include "agents/process.h"
#include "agents/sandbox.h"
#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/server_file.h"
#include "cli/text.h"
#include "log/disk_posix.h"
#include "log/inspect.h"
#include "storage/history.h"

namespace ez::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kLittleSpace = 1ULL << 30;
constexpr std::size_t kMaxWalked = 1'000'000;

enum class Verdict { kGood, kNotice, kBad };

struct Finding {
  Verdict verdict = Verdict::kGood;
  std::string subject;
  std::string text;
  std::string advice;
};

class Doctor {
 public:
  explicit Doctor(std::string data) : data_(std::move(data)) {}

  std::vector<Finding> examine() {
    look_at_sandbox();
    look_at_git();
    if (!fs::is_directory(data_)) {
      say(Verdict::kBad, "data directory", data_ + " is not there",
          "Give --data DIR, or start `ez up`, which makes it.");
      return std::move(findings_);
    }
    look_at_disk();
    look_at_server();
    look_at_log();
    look_at_history();
    look_at_folder("blobs", "blobs");
    look_at_folder("logs", "attempt logs");
    look_at_folder("workspaces", "workspaces");
    return std::move(findings_);
  }

 private:
  void say(Verdict verdict, std::string subject, std::string text, std::string advice = "") {
    findings_.push_back({verdict, std::move(subject), std::move(text), std::move(advice)});
  }
  void say(Verdict verdict, const std::string& subject, const Error& error) {
    say(verdict, subject, std::string(error.name()) + ": " + error.message(), std::string(error.hint()));
  }

  void look_at_sandbox() {
    const Status probe = agents::Sandbox().probe();
    if (probe.ok()) {
      say(Verdict::kGood, "sandbox", "bubblewrap works here");
    } else {
      say(Verdict::kNotice, "sandbox", probe.error());  // a server without a worker needs none
    }
  }

  void look_at_git() {
    const std::string git = agents::find_program("git", "/usr/local/bin:/usr/bin:/bin");
    agents::ProcessSpec spec;
    spec.argv = {git, "--version"};
    spec.environment = {"LC_ALL=C"};
    spec.timeout = std::chrono::seconds(10);
    const auto ended = git.empty() ? Result<agents::ProcessOutcome>(Error(Code::GitFailed, "there is no git"))
                                   : agents::run_process(spec);
    if (ended.ok() && ended->succeeded()) {
      say(Verdict::kGood, "git", printable(ended->out.substr(0, ended->out.find('\n'))));
    } else {
      say(Verdict::kNotice, "git", "git cannot be run here",
          "Install git; workspaces of repositories need it.");
    }
  }

  void look_at_disk() {
    struct statvfs disk {};
    if (::statvfs(data_.c_str(), &disk) != 0) return;
    const std::uint64_t free = static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
    const bool little = free < kLittleSpace;
    say(little ? Verdict::kNotice : Verdict::kGood, "disk", size_text(free) + " free for " + data_,
        little ? "Free some space; below 256 MiB no new work is accepted." : "");
    if (::access(data_.c_str(), W_OK | X_OK) != 0) {
      say(Verdict::kBad, "disk", data_ + " cannot be written by this user", "Run as the user that owns it.");
    }
  }

  void look_at_server() {
    const auto found = find_server(data_);
    if (!found.ok()) {
      say(Verdict::kNotice, "server", found.error());
    } else if (*found) {
      say(Verdict::kGood, "server",
          "runs at " + (*found)->url + ", process " + std::to_string((*found)->pid));
    } else {
      say(Verdict::kGood, "server",
          fs::exists(server_file_path(data_)) ? "none; server.json is of a server that is gone"
                                              : "none runs on this directory");
    }
  }

  void look_at_log() {
    const std::string folder = data_ + "/log";
    if (!fs::exists(folder)) {
      say(Verdict::kNotice, "log", "there is none yet");
      return;
    }
    const auto report = log::inspect(log::posix_disk(), folder);
    if (!report.ok()) {
      say(Verdict::kBad, "log", report.error());
      return;
    }
    std::string text = std::to_string(report->records) + " records";
    if (report->records > 0) {
      text += " (" + std::to_string(report->first_index.value) + " to " +
              std::to_string(report->last_index.value) + ")";
    }
    text += ", " + std::to_string(report->segments.size()) + " segments, " +
            std::to_string(report->snapshots.size()) + " snapshots, " + size_text(report->file_bytes);
    if (report->locked) text += "; " + printable(report->lock_holder);
    say(Verdict::kGood, "log", text);
    if (report->torn_bytes > 0 && !report->locked) {
      say(Verdict::kNotice, "log",
          "ends in an unfinished write of " + size_text(report->torn_bytes) + " in " + report->torn_file +
              ", which was never acknowledged",
          "Nothing to do: the next start cuts it.");
    }
    for (const log::Damage& damage : report->damage) {
      const std::string where =
          damage.file + " at byte " + std::to_string(damage.offset) + ": " + damage.message;
      // What a running server writes just now may look unfinished.
      say(report->locked ? Verdict::kNotice : Verdict::kBad, "log",
          std::string(info(damage.code).name) + ": " + where,
          report->locked ? "Stop the server and look again." : damage.advice);
    }
  }

  void look_at_history() {
    if (!fs::exists(data_ + "/history.db")) {
      say(Verdict::kNotice, "history", "there is none yet; it is derived from the log");
      return;
    }
    const auto history = storage::History::open(data_);
    if (!history.ok()) {
      say(Verdict::kBad, "history", history.error());
      return;
    }
    if (const Status check = (*history)->check(); !check.ok()) {
      say(Verdict::kBad, "history", check.error());
      return;
    }
    const auto runs = (*history)->count({});
    say(Verdict::kGood, "history",
        std::to_string(runs.ok() ? *runs : 0) + " finished runs, up to record " +
            std::to_string((*history)->position().value) + " of the log");
  }

  void look_at_folder(const std::string& name, const std::string& subject) {
    std::uint64_t bytes = 0;
    std::size_t files = 0;
    std::error_code failed;
    fs::recursive_directory_iterator at(data_ + "/" + name, fs::directory_options::skip_permission_denied,
                                        failed),
        end;
    for (; !failed && at != end && files < kMaxWalked; at.increment(failed)) {
      std::error_code inner;
      if (!fs::is_regular_file(at->symlink_status(inner))) continue;
      ++files;
      const std::uint64_t size = at->file_size(inner);
      if (!inner) bytes += size;
    }
    if (files == 0) return;
    say(Verdict::kGood, subject,
        std::to_string(files) + (files == kMaxWalked ? " files or more, " : " files, ") + size_text(bytes));
  }

  const std::string data_;
  std::vector<Finding> findings_;
};

Result<int> run_doctor(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const std::string data, Session::data_dir(arguments));
  const std::vector<Finding> findings = Doctor(data).examine();
  bool bad = false;
  Value::List items;
  for (const Finding& finding : findings) {
    bad = bad || finding.verdict == Verdict::kBad;
    const char* word = finding.verdict == Verdict::kGood     ? "ok"
                       : finding.verdict == Verdict::kNotice ? "notice"
                                                             : "bad";
    if (arguments.has("json")) {
      items.push_back(Value(Value::Map{{"verdict", Value(word)},
                                       {"subject", Value(finding.subject)},
                                       {"text", Value(finding.text)},
                                       {"advice", Value(finding.advice)}}));
      continue;
    }
    session.out << padded(word, 7) << padded(finding.subject, 15) << printable(finding.text) << "\n";
    if (!finding.advice.empty()) session.out << "       " << printable(finding.advice) << "\n";
  }
  if (arguments.has("json")) {
    session.out << to_json(Value(Value::Map{
                       {"data", Value(data)}, {"healthy", Value(!bad)}, {"findings", Value(items)}}))
                << "\n";
  } else {
    session.out << (bad ? "The data directory has to be looked after: see the lines that begin with bad.\n"
                        : "Nothing here keeps a server from running.\n");
  }
  return bad ? info(Code::DataDirUnusable).exit_status : kExitOk;
}

}  // namespace

Command doctor_command() {
  return {"doctor",
          "Check this machine and a data directory; changes nothing",
          "  ez doctor\n  ez doctor --data /var/lib/ez --json\n",
          {{"--data", "DIR", "data directory (EZ_DATA; else ~/.local/state/ez)"}, {"--json", "", "as JSON"}},
          {},
          false,
          run_doctor};
}

}  // namespace ez::cli
