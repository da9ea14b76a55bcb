// import: what `ez export` wrote, into a server. The whole file is checked before anything is sent.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <set>

#include "base/base64.h"
#include "base/json.h"
#include "base/sha256.h"
#include "cli/commands/commands.h"
#include "cli/export_file.h"
#include "cli/text.h"

namespace ez::cli {
namespace {

constexpr std::size_t kMaxVersions = 10'000;  // of one workflow

Error damaged(const std::string& what) { return Error(Code::ExportDamaged, what); }

struct Contents {
  std::size_t runs = 0;
  std::size_t live = 0;
  std::size_t workflows = 0;
  std::size_t blobs = 0;
  std::set<std::string> namespaces;
};

// Reads every line once: that the file is whole, and that each blob has its hash.
Result<Contents> check_file(const std::string& path) {
  Contents out;
  std::string blob;
  std::int64_t part = 0;
  std::optional<Sha256> hash(std::in_place);
  const Status read = read_export(path, [&](const Value& line) -> Status {
    const std::string_view kind = line.string_or("kind", "");
    if (!blob.empty() && (kind != "blob" || line.string_or("sha256", "") != blob))
      return damaged(path + ": the blob " + blob + " is cut");
    if (kind == "run") {
      ++out.runs;
      if (line.bool_or("live", false)) ++out.live;
    } else if (kind == "workflow") {
      ++out.workflows;
    } else if (kind == "blob") {
      const auto data = from_base64(line.string_or("data", ""));
      if (!data || line.int_or("part", -1) != part)
        return damaged(path + ": a blob is in pieces that do not fit");
      blob = line.string_or("sha256", "");
      if (!is_sha256_hex(blob)) return damaged(path + ": a blob has no hash");
      hash->update(*data);
      ++part;
      if (!line.bool_or("last", false)) return {};
      if (hash->finish_hex() != blob)
        return damaged(path + ": the bytes of the blob " + blob + " are others");
      ++out.blobs;
      blob.clear();
      part = 0;
      hash.emplace();
    } else if (kind != "log") {
      return damaged(path + ": there is no line of the kind " + std::string(kind.substr(0, 32)));
    }
    if (kind == "run" || kind == "workflow")
      out.namespaces.insert(std::string(line.string_or("namespace", "default")));
    return {};
  });
  if (!read.ok()) return read.error();
  if (!blob.empty()) return damaged(path + ": the blob " + blob + " is cut");
  return out;
}

class TemporaryFile {
 public:
  TemporaryFile()
      : path_(
            (std::filesystem::temp_directory_path() / ("ez-import-" + std::to_string(::getpid()))).string()) {
  }
  ~TemporaryFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

class Importer {
 public:
  Importer(Api& api, std::string into) : api_(api), into_(std::move(into)) {}

  // The blobs first: workflows and runs refer to them.
  Status take_blob(const Value& line) {
    if (line.string_or("kind", "") != "blob") return {};
    const std::string data = from_base64(line.string_or("data", "")).value_or("");
    std::ofstream out(file_.path(),
                      std::ios::binary | (line.int_or("part", 0) == 0 ? std::ios::trunc : std::ios::app));
    out.write(data.data(), static_cast<std::streamsize>(data.size()));
    out.close();
    if (!out) return Error(Code::IoFailed, "write " + file_.path() + " failed");
    if (!line.bool_or("last", false)) return {};
    return api_.put_file("/v1/artifacts/" + std::string(line.string_or("sha256", "")), file_.path());
  }

  // The lines of one workflow come in the order of its versions.
  Status take_workflow(const Value& line) {
    if (line.string_or("kind", "") != "workflow") return {};
    const Name name = name_of(line, "name");
    EZ_TRY(look_up(name));
    Known& known = known_.at(name);
    const Value* files = line.find("files");
    const std::string text = content_of(line);
    auto at = known.versions.find(text);
    if (at == known.versions.end()) {
      Value body(Value::Map{{"source", Value(line.string_or("source", ""))}});
      if (files != nullptr && files->is_list() && !files->as_list().empty()) body.set("files", *files);
      EZ_ASSIGN(const Value answer,
                api_.post("/v1/workflows?namespace=" + encode(name.first), with_name(body, name)));
      at = known.versions.emplace(text, answer.int_or("version", 0)).first;
      known.added = true;
      ++workflows_added;
    }
    versions_[{name, line.int_or("version", 0)}] = at->second;
    return {};
  }

  // What was the newest version before the import is the newest after it, too: nobody starts something old.
  Status restore_newest() {
    for (const auto& [name, known] : known_) {
      if (!known.added || known.newest.is_null()) continue;
      Value body(Value::Map{{"source", Value(known.newest.string_or("source", ""))}});
      if (const Value* files = known.newest.find("files");
          files != nullptr && files->is_list() && !files->as_list().empty()) {
        body.set("files", *files);
      }
      const auto again = api_.post("/v1/workflows?namespace=" + encode(name.first), with_name(body, name));
      if (!again.ok()) return again.error();
    }
    return {};
  }

  Status take_run(const Value& line) {
    if (line.string_or("kind", "") != "run") return {};
    const std::string label(line.string_or("run", "?"));
    const Name name = name_of(line, "workflow");
    const auto version = versions_.find({name, line.int_or("version", 0)});
    if (version == versions_.end()) return damaged("the file has no workflow for " + label);
    const auto answer = api_.post("/v1/imports?namespace=" + encode(name.first),
                                  Value(Value::Map{{"record", Value(line.string_or("record", ""))},
                                                   {"version", Value(version->second)}}));
    if (!answer.ok()) {
      // One run that is in the way does not keep the others out.
      if (answer.error().code() != Code::ImportConflict && answer.error().code() != Code::InputInvalid)
        return answer.error().in(label);
      refused.push_back(Value(Value::Map{{"run", Value(label)},
                                         {"code", Value(answer.error().name())},
                                         {"message", Value(answer.error().message())}}));
      return {};
    }
    const bool created = answer->bool_or("created", false);
    ++(created ? imported : there);
    if (!line.bool_or("live", false))
      ids_[std::string(line.string_or("origin", ""))] = answer->string_or("run", "");
    mapping.push_back(Value(Value::Map{{"from", Value(label)},
                                       {"run", Value(answer->string_or("run", ""))},
                                       {"created", Value(created)},
                                       {"live", Value(line.bool_or("live", false))}}));
    return {};
  }

  Status take_log(const Value& line) {
    if (line.string_or("kind", "") != "log") return {};
    const auto run = ids_.find(std::string(line.string_or("origin", "")));
    if (run == ids_.end()) return {};
    const auto answer =
        api_.post("/v1/imports/logs", Value(Value::Map{{"run", Value(run->second)},
                                                       {"task", Value(line.string_or("task", ""))},
                                                       {"attempt", Value(line.int_or("attempt", 0))},
                                                       {"offset", Value(line.int_or("offset", 0))},
                                                       {"data", Value(line.string_or("data", ""))}}));
    return answer.ok() ? Status() : Status(answer.error());
  }

  std::size_t imported = 0;
  std::size_t there = 0;
  std::size_t workflows_added = 0;
  Value::List mapping;
  Value::List refused;

 private:
  using Name = std::pair<std::string, std::string>;  // namespace here, workflow
  struct Known {
    std::map<std::string, std::int64_t> versions;  // by content
    Value newest;                                  // before the import; null: there was none
    bool added = false;
  };

  [[nodiscard]] Name name_of(const Value& line, std::string_view key) const {
    return {into_.empty() ? std::string(line.string_or("namespace", "default")) : into_,
            std::string(line.string_or(key, ""))};
  }
  static Value with_name(Value body, const Name& name) {
    body.set("namespace", Value(name.first));
    return body;
  }
  static std::string content_of(const Value& workflow) {
    const Value* files = workflow.find("files");
    return std::string(workflow.string_or("source", "")) + "\n" + (files == nullptr ? "[]" : to_json(*files));
  }

  // What the server has of that workflow; each name is asked for once.
  Status look_up(const Name& name) {
    if (known_.contains(name)) return {};
    Known known;
    const std::string target = "/v1/workflows/" + encode(name.second) + "?namespace=" + encode(name.first);
    auto newest = api_.get(target);
    if (!newest.ok() && newest.error().code() != Code::WorkflowNotFound) return newest.error();
    if (newest.ok()) {
      known.newest = *newest;
      const auto last = static_cast<std::size_t>(newest->int_or("version", 0));
      for (std::size_t version = last > kMaxVersions ? last - kMaxVersions : 1; version <= last; ++version) {
        EZ_ASSIGN(const Value one, api_.get(target + "&version=" + std::to_string(version)));
        known.versions.emplace(content_of(one), static_cast<std::int64_t>(version));
      }
    }
    known_.emplace(name, std::move(known));
    return {};
  }

  Api& api_;
  const std::string into_;  // empty: the namespaces of the file
  TemporaryFile file_;
  std::map<Name, Known> known_;
  std::map<std::pair<Name, std::int64_t>, std::int64_t> versions_;  // in the file → here
  std::map<std::string, std::string> ids_;  // origin of a finished run → its id here
};

Result<int> run_import(Session& session, const Arguments& arguments) {
  const std::string path = arguments.text("FILE");
  EZ_ASSIGN(const Contents contents, check_file(path));
  const bool json = arguments.has("json");
  const auto count = [](std::size_t number) { return Value(static_cast<std::int64_t>(number)); };
  if (arguments.has("dry-run")) {
    if (json) {
      session.out << to_json(Value(Value::Map{{"valid", Value(true)},
                                              {"runs", count(contents.runs)},
                                              {"live", count(contents.live)},
                                              {"workflows", count(contents.workflows)},
                                              {"blobs", count(contents.blobs)},
                                              {"namespaces", Value(Value::List(contents.namespaces.begin(),
                                                                               contents.namespaces.end()))}}))
                  << "\n";
    } else {
      session.out << path << ": whole; " << contents.runs << " runs (" << contents.live << " live), "
                  << contents.workflows << " workflow versions, " << contents.blobs << " blobs\n";
    }
    return kExitOk;
  }
  EZ_ASSIGN(Endpoint endpoint, Session::endpoint(arguments));
  endpoint.name_space.clear();  // each request names its own
  EZ_ASSIGN(const auto api, session.connect(endpoint));
  Importer importer(*api, arguments.text("namespace"));
  EZ_TRY(read_export(path, [&](const Value& line) { return importer.take_blob(line); }));
  EZ_TRY(read_export(path, [&](const Value& line) { return importer.take_workflow(line); }));
  EZ_TRY(importer.restore_newest());
  EZ_TRY(read_export(path, [&](const Value& line) { return importer.take_run(line); }));
  EZ_TRY(read_export(path, [&](const Value& line) { return importer.take_log(line); }));
  if (json) {
    session.out << to_json(Value(Value::Map{{"imported", count(importer.imported)},
                                            {"there", count(importer.there)},
                                            {"workflow_versions", count(importer.workflows_added)},
                                            {"runs", Value(importer.mapping)},
                                            {"refused", Value(importer.refused)}}))
                << "\n";
  } else {
    session.out << path << ": " << importer.imported << " runs imported, " << importer.there
                << " were there already, " << importer.workflows_added << " workflow versions added\n";
    std::vector<std::vector<std::string>> rows{{"THERE", "HERE", ""}};
    for (const Value& run : importer.mapping) {
      if (rows.size() > 20) break;
      rows.push_back({printable(run.string_or("from", "")), printable(run.string_or("run", "")),
                      !run.bool_or("created", false) ? "was there"
                      : run.bool_or("live", false)   ? "goes on"
                                                     : ""});
    }
    if (rows.size() > 1) session.out << table_text(rows);
    if (importer.mapping.size() > 20) session.out << "and " << importer.mapping.size() - 20 << " more\n";
    for (const Value& one : importer.refused) {
      session.err << "ez: " << one.string_or("run", "") << ": " << one.string_or("code", "") << ": "
                  << printable(one.string_or("message", "")) << "\n";
    }
  }
  return importer.refused.empty() ? kExitOk : kExitNegative;
}

}  // namespace

Command import_command() {
  return {"import",
          "Take over what `ez export` wrote; the file is checked as a whole first",
          "  ez import everything.ezx\n  ez import r12.ezx --namespace team-b\n"
          "  ez import old.ezx --dry-run\n",
          {{"--dry-run", "", "only check the file; no server is needed"},
           {"--json", "", "as JSON: what became of each run"}},
          {{"FILE", "what `ez export` wrote"}},
          true,
          run_import};
}

}  // namespace ez::cli
