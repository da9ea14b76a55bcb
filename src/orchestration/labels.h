// Labels: short texts with names that a run is found by. A workflow may give them to all of its runs, whoever
// starts a run may add more.
//
// Limits: kMaxLabels of a run; names as is_label_name() says; values of 1 to kMaxLabelValueBytes bytes
// without control characters. Pure.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace ez::orchestration {

inline constexpr std::size_t kMaxLabels = 16;
inline constexpr std::size_t kMaxLabelNameBytes = 63;
inline constexpr std::size_t kMaxLabelValueBytes = 128;
// Names that begin so are not for users.
inline constexpr std::string_view kReservedLabels = "ez/";
// Says where a run that was imported came from; import finds by it what is there already. Comes on top of
// kMaxLabels.
inline constexpr std::string_view kOriginLabel = "ez/origin";

// Sorted by name, names unique.
using Labels = std::vector<std::pair<std::string, std::string>>;

// [a-z0-9][a-z0-9._/-]{0,62}: "team", "example.com/team".
[[nodiscard]] bool is_label_name(std::string_view text);
[[nodiscard]] bool is_label_value(std::string_view text);

// Adds the label, or replaces the one with its name. INPUT_INVALID: not such a name or value, or too many.
[[nodiscard]] Status set_label(Labels& labels, std::string_view name, std::string_view value);
// Null when there is none.
[[nodiscard]] const std::string* find_label(const Labels& labels, std::string_view name);

}  // namespace ez::orchestration
