#include "models/cassette/cassette.h"

#include <algorithm>
#include <array>
#include <map>
#include <mutex>

#include "base/json.h"
#include "models/cassette/codec.h"
#include "models/dialect/dialect.h"
#include "telemetry/redact.h"

namespace ez::models {

namespace {

constexpr std::array<std::string_view, 4> kModes{"off", "record", "replay", "strict"};
constexpr std::size_t kShownDifferences = 5;
constexpr std::size_t kComparedEntries = 2'000;  // for the message of a miss: it has to stay cheap

class MemoryCassette final : public Cassette {
 public:
  MemoryCassette(MatchRules rules, const CassetteLimits& limits)
      : rules_(std::move(rules)), limits_(limits) {}

  // Only while nobody else has it.
  Status load(CassetteEntry entry, std::size_t bytes) { return add(std::move(entry), bytes); }

  Result<Replay> play(std::string_view scope, const RecordedRequest& request,
                      const Substitutions& substitutions) override {
    EZ_ASSIGN(const Value body, canonical(request, substitutions));
    const std::string_view path = plain_path(request.path);
    const std::string hash = request_hash(request.method, path, body);
    std::shared_ptr<const RecordedAnswer> answer;
    std::size_t number = 0;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      const auto found = by_hash_.find(hash);
      if (found == by_hash_.end()) return miss(request.method, path, body);
      if (!scopes_.contains(std::string(scope)) && scopes_.size() >= limits_.max_scopes) {
        return Error(Code::PayloadTooLarge, "the cassette is played in too many runs at once");
      }
      std::size_t& next = scopes_[std::string(scope)][hash];
      if (next >= found->second.size()) {
        return Error(Code::CassetteMiss,
                     "the cassette answers this request " + std::to_string(found->second.size()) +
                         " times, and it was asked once more in this run (" + std::string(path) + ", entry " +
                         std::to_string(found->second.back() + 1) + ")");
      }
      number = found->second[next++];
      answer = entries_[number].answer;
    }
    Replay out;
    out.entry = number + 1;
    out.request_hash = hash;
    const Substitutions back = ordered(substitutions);
    if (back.empty()) {
      out.answer = std::move(answer);
    } else {
      auto changed = std::make_shared<RecordedAnswer>(*answer);
      for (std::string& chunk : changed->chunks) chunk = substituted(chunk, back, true);
      out.answer = std::move(changed);
    }
    return out;
  }

  void forget(std::string_view scope) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    scopes_.erase(std::string(scope));
  }

  Result<std::string> record(const RecordedRequest& request, const RecordedAnswer& answer,
                             const Substitutions& substitutions,
                             const telemetry::Redactor* redactor) override {
    const auto clean = [&](std::string_view text) {
      return redactor == nullptr ? std::string(text) : redactor->redact(text);
    };
    RecordedRequest asked = request;
    asked.body = clean(request.body);
    EZ_ASSIGN(Value body, canonical(asked, substitutions));
    CassetteEntry entry;
    entry.method = request.method;
    entry.path = plain_path(request.path);
    entry.hash = request_hash(entry.method, entry.path, body);
    entry.body = std::move(body);
    auto kept = std::make_shared<RecordedAnswer>();
    kept->status = answer.status;
    kept->headers = answer.headers;
    kept->stream = answer.stream;
    const Substitutions forward = ordered(substitutions);
    std::string whole, cleaned;
    for (const std::string& chunk : answer.chunks) {
      whole += chunk;
      kept->chunks.push_back(clean(chunk));
      cleaned += kept->chunks.back();
    }
    // A secret that lies across chunks is seen only in the whole: then the boundaries are given up for it.
    if (const std::string all = clean(whole); all != cleaned) kept->chunks = {all};
    for (std::string& chunk : kept->chunks) chunk = substituted(chunk, forward, false);
    entry.answer = std::move(kept);
    std::string line = entry_line(entry);
    if (line.size() > limits_.max_entry_bytes) {
      return Error(Code::PayloadTooLarge, "the call is too large for a cassette");
    }
    // As it will be read again, so that both are the same to the last header.
    EZ_ASSIGN(CassetteEntry read_back,
              parse_entry(std::string_view(line).substr(0, line.size() - 1), limits_.max_entry_bytes));
    const std::lock_guard<std::mutex> lock(mutex_);
    EZ_TRY(add(std::move(read_back), line.size()));
    return line;
  }

  [[nodiscard]] std::string header_line() const override { return models::header_line(rules_); }

  [[nodiscard]] std::size_t size() const override {
    const std::lock_guard<std::mutex> lock(mutex_);
    return entries_.size();
  }

  [[nodiscard]] Result<std::string> hash(const RecordedRequest& request,
                                         const Substitutions& substitutions) const override {
    EZ_ASSIGN(const Value body, canonical(request, substitutions));
    return request_hash(request.method, plain_path(request.path), body);
  }

 private:
  [[nodiscard]] Result<Value> canonical(const RecordedRequest& request,
                                        const Substitutions& substitutions) const {
    if (request.body.empty()) return Value();
    EZ_ASSIGN(const Value body, parse_json(request.body, kBodyLimits));
    return rules_.canonical(body, substitutions);
  }

  Status add(CassetteEntry entry, std::size_t bytes) {
    if (entries_.size() >= limits_.max_entries) {
      return Error(Code::PayloadTooLarge,
                   "a cassette has at most " + std::to_string(limits_.max_entries) + " calls");
    }
    if (bytes_ + bytes > limits_.max_bytes) {
      return Error(Code::PayloadTooLarge,
                   "a cassette has at most " + std::to_string(limits_.max_bytes) + " bytes");
    }
    bytes_ += bytes;
    by_hash_[entry.hash].push_back(entries_.size());
    entries_.push_back(std::move(entry));
    return {};
  }

  // What is nearest to the request, and how it differs.
  [[nodiscard]] Error miss(std::string_view method, std::string_view path, const Value& body) const {
    const CassetteEntry* nearest = nullptr;
    std::size_t number = 0, fewest = 0, compared = 0;
    for (std::size_t i = 0; i < entries_.size() && compared < kComparedEntries; ++i) {
      if (entries_[i].path != path || entries_[i].method != method) continue;
      ++compared;
      // Requests of one conversation grow: that with as many messages is the likely one.
      const std::size_t count = differences(entries_[i].body, body, 50).size();
      if (nearest == nullptr || count < fewest) {
        nearest = &entries_[i];
        fewest = count;
        number = i + 1;
      }
    }
    std::string what = "the cassette has no answer to this request: ";
    if (nearest == nullptr) {
      what += entries_.empty() ? "it is empty" : "none of its requests went to " + std::string(path);
      return {Code::CassetteMiss, what};
    }
    what += "nearest is entry " + std::to_string(number) + ", where ";
    const std::vector<std::string> places = differences(nearest->body, body, kShownDifferences);
    for (std::size_t i = 0; i < places.size(); ++i) what += (i == 0 ? "" : "; ") + places[i];
    return {Code::CassetteMiss, what};
  }

  const MatchRules rules_;
  const CassetteLimits limits_;
  mutable std::mutex mutex_;
  std::vector<CassetteEntry> entries_;
  std::map<std::string, std::vector<std::size_t>> by_hash_;
  std::map<std::string, std::map<std::string, std::size_t>> scopes_;
  std::size_t bytes_ = 0;
};

}  // namespace

std::optional<CassetteMode> find_cassette_mode(std::string_view name) {
  for (std::size_t i = 0; i < kModes.size(); ++i) {
    if (kModes[i] == name) return static_cast<CassetteMode>(i);
  }
  return std::nullopt;
}

std::string_view cassette_mode_name(CassetteMode mode) { return kModes.at(static_cast<std::size_t>(mode)); }

Result<std::unique_ptr<Cassette>> Cassette::create(const Value& rules, const CassetteLimits& limits) {
  EZ_ASSIGN(MatchRules parsed, MatchRules::parse(rules));
  return std::unique_ptr<Cassette>(std::make_unique<MemoryCassette>(std::move(parsed), limits));
}

Result<std::unique_ptr<Cassette>> Cassette::parse(std::string_view text, const CassetteLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return Error(Code::PayloadTooLarge,
                 "the cassette has over " + std::to_string(limits.max_bytes) + " bytes");
  }
  const auto cut = [](std::string_view& rest) {
    const std::size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    return line;
  };
  std::string_view rest = text;
  EZ_ASSIGN(MatchRules rules, parse_header(cut(rest)));
  auto out = std::make_unique<MemoryCassette>(std::move(rules), limits);
  for (std::size_t number = 2; !rest.empty(); ++number) {
    if (rest.find('\n') == std::string_view::npos) {
      return Error(Code::CassetteDamaged, "line " + std::to_string(number) + " is cut");
    }
    const std::string_view line = cut(rest);
    Result<CassetteEntry> entry = parse_entry(line, limits.max_entry_bytes);
    if (!entry.ok()) return entry.error().in("line " + std::to_string(number));
    EZ_TRY(out->load(std::move(entry).value(), line.size()));
  }
  return std::unique_ptr<Cassette>(std::move(out));
}

}  // namespace ez::models
