#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/json.h"
#include "base/sha256.h"
#include "cli/commands/commands.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

constexpr std::size_t kMost = 100'000;

// By its name, or as TASK/NAME where several tasks have one of that name.
Result<Value> pick(const Value::List& artifacts, const std::string& name) {
  const Value* found = nullptr;
  for (const Value& artifact : artifacts) {
    const std::string own(artifact.string_or("name", ""));
    const std::string full = std::string(artifact.string_or("task", "")) + "/" + own;
    if (full == name) return artifact;
    if (own != name) continue;
    if (found != nullptr) {
      return Error(Code::InvalidArgument, "several tasks have an artifact " + name, "Give it as TASK/NAME.");
    }
    found = &artifact;
  }
  if (found == nullptr)
    return Error(Code::BlobNotFound, "the run has no artifact " + name, "`ez artifacts RUN` lists them.");
  return *found;
}

// Whole and right under its name, or not there.
Status fetch(Api& api, const std::string& sha256, const std::string& path) {
  const std::string aside = path + ".part-" + std::to_string(::getpid());
  const int fd = ::open(aside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return system_error(Code::IoFailed, Code::DiskFull, "create " + aside, errno);
  Sha256 hash;
  Status written;
  Status status = api.download("/v1/artifacts/" + sha256, [&](std::string_view piece) {
    hash.update(piece);
    while (!piece.empty()) {
      const ssize_t got = ::write(fd, piece.data(), piece.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) {
        written = system_error(Code::IoFailed, Code::DiskFull, "write " + aside, errno);
        return false;
      }
      piece.remove_prefix(static_cast<std::size_t>(got));
    }
    return true;
  });
  ::close(fd);
  if (status.ok()) status = written;
  if (status.ok() && hash.finish_hex() != sha256) {
    status = Error(Code::BlobDamaged, "the bytes that arrived do not have the hash " + sha256);
  }
  if (status.ok() && ::rename(aside.c_str(), path.c_str()) != 0) {
    status = system_error(Code::IoFailed, Code::DiskFull, "rename " + aside, errno);
  }
  if (!status.ok()) ::unlink(aside.c_str());
  return status;
}

Result<int> run_artifacts(Session& session, const Arguments& arguments) {
  if (arguments.has("out") != arguments.has("get")) {
    return Error(Code::InvalidArgument, "--get NAME and --out FILE go together");
  }
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const Value::List artifacts,
            list_all(*api, run_target(arguments.text("RUN"), "/artifacts"), kMost));
  if (arguments.has("get")) {
    EZ_ASSIGN(const Value artifact, pick(artifacts, arguments.text("get")));
    const std::string sha256(artifact.string_or("sha256", ""));
    const std::string out = arguments.text("out");
    if (out == "-") {
      EZ_TRY(api->download("/v1/artifacts/" + sha256, [&](std::string_view piece) {
        session.out.write(piece.data(), static_cast<std::streamsize>(piece.size()));
        return session.out.good();
      }));
      return kExitOk;
    }
    EZ_TRY(fetch(*api, sha256, out));
    if (!arguments.has("json")) {
      session.out << out << "  " << size_text(static_cast<std::uint64_t>(artifact.int_or("size", 0))) << "\n";
    } else {
      session.out << to_json(artifact) << "\n";
    }
    return kExitOk;
  }
  if (arguments.has("json")) {
    session.out << to_json(Value(Value::Map{{"items", Value(artifacts)}})) << "\n";
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows{{"TASK", "NAME", "SIZE", "SHA256"}};
  for (const Value& artifact : artifacts) {
    rows.push_back({printable(artifact.string_or("task", "")), printable(artifact.string_or("name", "")),
                    size_text(static_cast<std::uint64_t>(artifact.int_or("size", 0))),
                    std::string(artifact.string_or("sha256", "")).substr(0, 16)});
  }
  session.out << (artifacts.empty() ? std::string("The run has no artifacts.\n") : table_text(rows));
  return kExitOk;
}

}  // namespace

Command artifacts_command() {
  return {"artifacts",
          "List the artifacts of a run, or fetch one",
          "  ez artifacts r12\n  ez artifacts r12 --get report.md --out report.md\n"
          "  ez artifacts r12 --get build.0/log.txt --out -\n",
          {{"--get", "NAME", "the artifact, or TASK/NAME"},
           {"-o,--out", "FILE", "where to write it; - is standard output"},
           {"--json", "", "as JSON"}},
          {{"RUN", "the run, for example r12"}},
          true,
          run_artifacts};
}

}  // namespace ez::cli
