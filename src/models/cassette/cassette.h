// Cassettes: recorded traffic with model providers, and its replay without them. One file of JSON lines;
// format, matching and what is never written: docs/formats/cassette.md.
//
// A Cassette is the whole in memory, bounded by CassetteLimits; its functions are thread-safe. CassetteFile
// is the only part that touches a disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/value.h"
#include "models/dialect/wire.h"

namespace ez::telemetry {
class Redactor;
}

namespace ez::models {

enum class CassetteMode : std::uint8_t {
  kOff,
  kRecord,  // every call goes to the provider and is added
  kReplay,  // what is known is replayed; what is not goes to the provider and is added
  kStrict,  // what is not known is an error: no provider is ever called
};
[[nodiscard]] std::optional<CassetteMode> find_cassette_mode(std::string_view name);  // off, record …
[[nodiscard]] std::string_view cassette_mode_name(CassetteMode mode);

struct CassetteLimits {
  std::size_t max_entries = 100'000;
  std::size_t max_entry_bytes = 64 * 1024 * 1024;
  std::size_t max_bytes = 1024 * 1024 * 1024;
  std::size_t max_scopes = 10'000;
};

// A call as the gateway saw it from its client: the path ("/v1/messages", a query is ignored) and the body.
// Headers are not part of it: they hold keys.
struct RecordedRequest {
  std::string method = "POST";
  std::string path;
  std::string body;
};

struct RecordedAnswer {
  int status = 200;
  Headers headers;                  // only content-type and the few of docs/formats/cassette.md are kept
  std::vector<std::string> chunks;  // the body as it came: one chunk, or a stream's pieces in order
  bool stream = false;
};

// A replayed answer. Whoever hands it on marks it: header "ez-replayed: true", `replayed: true` in records.
struct Replay {
  std::shared_ptr<const RecordedAnswer> answer;
  std::size_t entry = 0;  // number of the line, from 1 (the header line is not counted)
  std::string request_hash;
  bool replayed = true;
};

// Words that differ from run to run although the request is the same: each value is exchanged for its
// placeholder before a request is compared, and back in replayed answers: {"/srv/x1/repo", "{{workspace}}"}.
// Values shorter than 4 bytes are ignored; longer ones are exchanged first.
using Substitutions = std::vector<std::pair<std::string, std::string>>;

class Cassette {
 public:
  // A new one. `rules` is null or the header's "match" object (docs/formats/cassette.md: ignore, patterns).
  // Errors: CASSETTE_DAMAGED (rules that cannot be read).
  [[nodiscard]] static Result<std::unique_ptr<Cassette>> create(const Value& rules = {},
                                                                const CassetteLimits& limits = {});
  // Errors: CASSETTE_DAMAGED with the line's number, PAYLOAD_TOO_LARGE (limits).
  [[nodiscard]] static Result<std::unique_ptr<Cassette>> parse(std::string_view text,
                                                               const CassetteLimits& limits = {});
  virtual ~Cassette() = default;

  // The next answer to this request within `scope` (a run's id: equal requests are answered in the order in
  // which they were recorded, separately for each scope; the last one does not repeat). Errors:
  // CASSETTE_MISS: the message says what the nearest recorded request has otherwise, or that its answers are
  // used up.
  [[nodiscard]] virtual Result<Replay> play(std::string_view scope, const RecordedRequest& request,
                                            const Substitutions& substitutions) = 0;
  // The scope begins at its first answers again, and is forgotten.
  virtual void forget(std::string_view scope) = 0;

  // Adds a call and returns its line (with '\n') for the file. Registered secrets of `redactor` are taken out
  // of both bodies. Errors: PAYLOAD_TOO_LARGE, JSON_INVALID (a request body that is not JSON).
  [[nodiscard]] virtual Result<std::string> record(const RecordedRequest& request,
                                                   const RecordedAnswer& answer,
                                                   const Substitutions& substitutions,
                                                   const telemetry::Redactor* redactor) = 0;

  [[nodiscard]] virtual std::string header_line() const = 0;
  [[nodiscard]] virtual std::size_t size() const = 0;
  // The canonical hash: sha256 over method, path and the body as the rules see it. Errors: JSON_INVALID.
  [[nodiscard]] virtual Result<std::string> hash(const RecordedRequest& request,
                                                 const Substitutions& substitutions) const = 0;
};

// A cassette on disk. Every record() is appended and synced before it returns; thread-safe.
class CassetteFile {
 public:
  // kStrict: the file has to exist and is never written. Otherwise it is made when absent (mode 0600).
  // Errors: CASSETTE_DAMAGED, IO_FAILED, DISK_FULL, PAYLOAD_TOO_LARGE, INVALID_ARGUMENT (kOff).
  [[nodiscard]] static Result<std::unique_ptr<CassetteFile>> open(const std::string& path, CassetteMode mode,
                                                                  const CassetteLimits& limits = {});
  virtual ~CassetteFile() = default;
  [[nodiscard]] virtual CassetteMode mode() const = 0;
  [[nodiscard]] virtual Cassette& cassette() = 0;
  // Errors: as Cassette::record(), IO_FAILED, DISK_FULL, WRONG_STATE (strict).
  [[nodiscard]] virtual Status record(const RecordedRequest& request, const RecordedAnswer& answer,
                                      const Substitutions& substitutions,
                                      const telemetry::Redactor* redactor) = 0;
};

}  // namespace ez::models
