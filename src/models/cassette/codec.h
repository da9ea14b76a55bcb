// The lines of a cassette file, and the canonical form of requests. Internal to models/cassette.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/value.h"
#include "models/cassette/cassette.h"

namespace ez::models {

// The header's "match" object, ready to use: which members count for nothing, and which words do.
class MatchRules {
 public:
  // Errors: CASSETTE_DAMAGED.
  [[nodiscard]] static Result<MatchRules> parse(const Value& rules);
  MatchRules();
  ~MatchRules();
  MatchRules(MatchRules&& other) noexcept;
  MatchRules& operator=(MatchRules&& other) noexcept;

  // The body without what is ignored, its texts with placeholders: equal for requests that are the same.
  [[nodiscard]] Value canonical(const Value& body, const Substitutions& substitutions) const;
  [[nodiscard]] const Value& text() const { return text_; }

 private:
  struct Patterns;
  [[nodiscard]] Value walk(const Value& value, const Substitutions& substitutions, int depth) const;
  Value text_;                                    // as the header has it
  std::vector<std::vector<std::string>> ignore_;  // paths of members; "*" is any
  std::unique_ptr<Patterns> patterns_;
};

// Longest values first, those under 4 bytes left out.
[[nodiscard]] Substitutions ordered(const Substitutions& substitutions);
// Each value becomes its placeholder, or (back) each placeholder its value.
[[nodiscard]] std::string substituted(std::string_view text, const Substitutions& ordered, bool back);

struct CassetteEntry {
  std::string method, path, hash;
  Value body;  // canonical
  std::shared_ptr<const RecordedAnswer> answer;
};

[[nodiscard]] std::string header_line(const MatchRules& rules);
// Errors: CASSETTE_DAMAGED.
[[nodiscard]] Result<MatchRules> parse_header(std::string_view line);
[[nodiscard]] std::string entry_line(const CassetteEntry& entry);
[[nodiscard]] Result<CassetteEntry> parse_entry(std::string_view line, std::size_t max_bytes);

// sha256 over "METHOD path\n" and the compact JSON of the body.
[[nodiscard]] std::string request_hash(std::string_view method, std::string_view path, const Value& body);
// The path without its query.
[[nodiscard]] std::string_view plain_path(std::string_view path);

// Up to `limit` places where the two differ: "messages[2].content: "a…" instead of "b…"".
[[nodiscard]] std::vector<std::string> differences(const Value& recorded, const Value& asked,
                                                   std::size_t limit);

[[nodiscard]] std::string base64(std::string_view bytes);
[[nodiscard]] std::optional<std::string> from_base64(std::string_view text);

}  // namespace ez::models
