// Tasks that wait for time or for a signal.
#include <array>
#include <string>

#include "base/rfc3339.h"
#include "orchestration/decoder.h"
#include "orchestration/text.h"

namespace ez::orchestration {
namespace {

constexpr std::array<std::string_view, 4> kWaitKeys{"for", "until", "signal", "timeout"};
constexpr std::string_view kExample =
    "Write `wait: {for: 10m}`, `wait: {until: ...}` or `wait: {signal: go}`.";

}  // namespace

std::optional<Wait> read_wait(Decoder& decoder, const Fields& fields, const Scope& scope) {
  const auto node = fields.get("wait");
  if (!node) return std::nullopt;
  if (decoder.tree.kind(*node) != SourceTree::Kind::kMap) {
    decoder.error(*node, "`wait` must be a map", std::string(kExample));
    return std::nullopt;
  }
  const Fields map(decoder, *node, "`wait`", kWaitKeys);
  Wait out;
  map.read_duration("for", out.for_ms, 1, false);
  map.read_template("until", out.until, scope);
  map.read_name("signal", out.signal);
  map.read_duration("timeout", out.timeout_ms, 1, true);
  int kinds = 0;
  for (const std::string_view kind : {"for", "until", "signal"}) {
    if (map.get(kind) && ++kinds == 2)
      decoder.error(*map.key(kind), "a task waits for one thing, not for several", "Make two tasks of it.");
  }
  if (kinds == 0) decoder.error(*node, "`wait` needs `for`, `until` or `signal`", std::string(kExample));
  if (const auto timeout = map.key("timeout"); timeout && !map.get("signal")) {
    decoder.error(*timeout, "`timeout` has a meaning only together with `signal`",
                  "A wait for time ends by itself.");
  }
  if (out.until && out.until->is_constant()) {
    const std::string_view text = decoder.tree.text(*map.get("until"));
    if (!parse_rfc3339(text)) {
      decoder.error(*map.get("until"), "`until` cannot be " + quoted(text),
                    "Write a time with its offset, for example `2026-12-24T08:00:00+01:00`, or an "
                    "expression in `${{ }}` that gives one.");
    }
  }
  return out;
}

void refuse_keys(Decoder& decoder, const Fields& fields, std::span<const std::string_view> keys,
                 std::string_view kind) {
  for (const std::string_view key : keys) {
    if (const auto node = fields.key(key)) {
      decoder.error(*node, quoted(key) + " has no meaning for a task that " + std::string(kind),
                    "Remove it, or make a task of its own of it.");
    }
  }
}

}  // namespace ez::orchestration
