// export: runs, their workflows and their blobs into one file.
#include <algorithm>
#include <filesystem>
#include <set>
#include <tuple>

#include "base/base64.h"
#include "base/clock.h"
#include "base/json.h"
#include "cli/commands/commands.h"
#include "cli/export_file.h"
#include "cli/run_filter.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

constexpr std::size_t kMaxExported = 1'000'000;  // runs
constexpr std::size_t kMaxWorkflows = 10'000;

class Exporter {
 public:
  Exporter(Api& api, ExportWriter& writer, bool logs) : api_(api), writer_(writer), logs_(logs) {}

  Status add_run(const std::string& id) {
    auto run = api_.get(run_target(id, "/export"));
    if (!run.ok()) return run.error();
    Value line = *run;
    line.set("kind", Value("run"));
    EZ_TRY(writer_.add(line));
    ++runs;
    if (run->bool_or("live", false)) ++live;
    versions_.insert({std::string(run->string_or("namespace", "default")),
                      std::string(run->string_or("workflow", "")), run->int_or("version", 0)});
    if (const Value* blobs = run->find("blobs"); blobs != nullptr && blobs->is_list()) {
      for (const Value& blob : blobs->as_list()) note_blob(blob);
    }
    const Value* attempts = run->find("attempts");
    if (!logs_ || run->bool_or("live", false) || attempts == nullptr || !attempts->is_list()) return {};
    for (const Value& attempt : attempts->as_list())
      EZ_TRY(add_log(*run, attempt.string_or("task", ""), attempt.int_or("attempt", 0)));
    return {};
  }

  // Every version up to the newest.
  void note_workflow(const Value& workflow) {
    for (std::int64_t version = 1; version <= workflow.int_or("version", 0); ++version) {
      versions_.insert({std::string(workflow.string_or("namespace", "default")),
                        std::string(workflow.string_or("name", "")), version});
    }
  }

  Status add_workflows() {
    for (const auto& [name_space, name, version] : versions_) {
      auto workflow = api_.get("/v1/workflows/" + encode(name) + "?version=" + std::to_string(version) +
                               "&namespace=" + encode(name_space));
      if (!workflow.ok()) return workflow.error();
      Value line(Value::Map{{"kind", Value("workflow")},
                            {"namespace", Value(name_space)},
                            {"name", Value(name)},
                            {"version", Value(version)},
                            {"source", Value(workflow->string_or("source", ""))},
                            {"files", Value(Value::List())}});
      if (const Value* files = workflow->find("files"); files != nullptr && files->is_list()) {
        line.set("files", *files);
        for (const Value& file : files->as_list()) {
          if (const Value* sha256 = file.find("sha256")) note_blob(*sha256);
        }
      }
      EZ_TRY(writer_.add(line));
    }
    return {};
  }

  Status add_blobs() {
    for (const std::string& sha256 : blobs_) {
      std::string waiting;
      std::int64_t part = 0;
      Status written;
      const auto flush = [&](bool last) {
        written = writer_.add(Value(Value::Map{{"kind", Value("blob")},
                                               {"sha256", Value(sha256)},
                                               {"part", Value(part++)},
                                               {"last", Value(last)},
                                               {"data", Value(to_base64(waiting))}}));
        waiting.clear();
        return written.ok();
      };
      const Status read = api_.download("/v1/artifacts/" + sha256, [&](std::string_view piece) {
        while (!piece.empty()) {
          const std::size_t take = std::min(piece.size(), kExportPiece - waiting.size());
          waiting.append(piece.substr(0, take));
          piece.remove_prefix(take);
          if (waiting.size() == kExportPiece && !flush(false)) return false;
        }
        return true;
      });
      EZ_TRY(written);
      if (!read.ok() && read.error().code() == Code::BlobNotFound && part == 0) {
        missing.push_back(sha256);
        continue;
      }
      EZ_TRY(read);
      (void)flush(true);
      EZ_TRY(written);
    }
    return {};
  }

  [[nodiscard]] std::size_t workflows() const { return versions_.size(); }
  [[nodiscard]] std::size_t blobs() const { return blobs_.size() - missing.size(); }

  std::size_t runs = 0;
  std::size_t live = 0;
  std::vector<std::string> missing;  // blobs that the server no longer has

 private:
  void note_blob(const Value& sha256) {
    if (sha256.is_string()) blobs_.insert(sha256.as_string());
  }

  Status add_log(const Value& run, std::string_view task, std::int64_t attempt) {
    const std::string target =
        task_target(run.string_or("run", ""), task, "/attempts/" + std::to_string(attempt) + "/logs") +
        "?limit=" + std::to_string(kExportPiece) + "&offset=";
    for (std::uint64_t offset = 0;;) {
      std::string text;
      const Status read = api_.download(target + std::to_string(offset), [&](std::string_view piece) {
        text.append(piece);
        return true;
      });
      if (!read.ok() && read.error().code() == Code::AttemptNotFound) return {};
      EZ_TRY(read);
      if (text.empty()) return {};
      EZ_TRY(writer_.add(Value(Value::Map{{"kind", Value("log")},
                                          {"origin", Value(run.string_or("origin", ""))},
                                          {"task", Value(task)},
                                          {"attempt", Value(attempt)},
                                          {"offset", Value(static_cast<std::int64_t>(offset))},
                                          {"data", Value(to_base64(text))}})));
      offset += text.size();
      if (text.size() < kExportPiece) return {};
    }
  }

  Api& api_;
  ExportWriter& writer_;
  const bool logs_;
  std::set<std::tuple<std::string, std::string, std::int64_t>> versions_;
  std::set<std::string> blobs_;
};

Result<std::vector<std::string>> choose(Api& api, const Arguments& arguments, const Value& filter) {
  if (arguments.has("RUN")) return std::vector<std::string>{arguments.text("RUN")};
  EZ_ASSIGN(const Value::List runs, list_all(api, "/v1/runs" + run_filter_query(filter), kMaxExported));
  std::vector<std::string> ids;
  for (const Value& run : runs) ids.emplace_back(run.string_or("id", ""));
  // Oldest first: they get their numbers on the other server in the order in which they began.
  std::reverse(ids.begin(), ids.end());
  return ids;
}

Result<int> run_export(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const Value filter, read_run_filter(arguments));
  const bool one = arguments.has("RUN");
  const bool all = arguments.has("all");
  if (!arguments.has("output")) return Error(Code::InvalidArgument, "--output FILE is required");
  if (one == (all || !filter.as_map().empty()))
    return Error(Code::InvalidArgument, "give a RUN, or --all, or options that choose runs");
  const std::string path = arguments.text("output");
  if (std::filesystem::exists(path) && !arguments.has("force"))
    return Error(Code::InvalidArgument, path + " is there already", "Choose another name, or give --force.");
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const std::vector<std::string> runs, choose(*api, arguments, filter));
  EZ_ASSIGN(const auto writer, ExportWriter::create(path));
  EZ_TRY(writer->add(Value(Value::Map{{"ez_export", Value(kExportVersion)},
                                      {"created_at", Value(format_time(system_clock().now_ms()))},
                                      {"by", Value("ez " + session.ports.version)}})));
  Exporter exporter(*api, *writer, arguments.has("logs"));
  if (all && filter.as_map().empty()) {
    EZ_ASSIGN(const Value::List workflows, list_all(*api, "/v1/workflows", kMaxWorkflows));
    for (const Value& workflow : workflows) exporter.note_workflow(workflow);
  }
  for (const std::string& id : runs) {
    const Status added = exporter.add_run(id);
    // Retention may remove a run between the list and here.
    if (!added.ok() && (one || added.error().code() != Code::RunNotFound)) return added.error().in(id);
  }
  EZ_TRY(exporter.add_workflows());
  EZ_TRY(exporter.add_blobs());
  EZ_TRY(writer->finish());
  const auto count = [](std::size_t number) { return Value(static_cast<std::int64_t>(number)); };
  if (arguments.has("json")) {
    session.out << to_json(Value(Value::Map{
                       {"file", Value(path)},
                       {"runs", count(exporter.runs)},
                       {"live", count(exporter.live)},
                       {"workflows", count(exporter.workflows())},
                       {"blobs", count(exporter.blobs())},
                       {"missing", Value(Value::List(exporter.missing.begin(), exporter.missing.end()))}}))
                << "\n";
    return kExitOk;
  }
  session.out << path << ": " << exporter.runs << " runs (" << exporter.live << " live), "
              << exporter.workflows() << " workflow versions, " << exporter.blobs() << " blobs, "
              << size_text(std::filesystem::file_size(path)) << "\n";
  for (const std::string& sha256 : exporter.missing)
    session.err << "ez: the blob " << sha256 << " is no longer on the server; it is not in the file\n";
  return kExitOk;
}

}  // namespace

Command export_command() {
  return {"export",
          "Write runs with their workflows and artifacts into a file",
          "  ez export r12 -o r12.ezx\n  ez export --all -o everything.ezx --logs\n"
          "  ez export --workflow deploy --label env=prod --finished-before 2026-11-01 -o old.ezx\n",
          run_filter_options({{"-o,--output", "FILE", "the file to write"},
                              {"--all", "", "every run and every workflow of the namespace"},
                              {"--logs", "", "what the attempts printed, too"},
                              {"--force", "", "replace FILE when it is there"},
                              {"--json", "", "as JSON"}}),
          {{"RUN", "one run", false}},
          true,
          run_export};
}

}  // namespace ez::cli
