#include "orchestration/labels.h"

#include <algorithm>

#include "base/utf8.h"

namespace ez::orchestration {
namespace {

bool is_start(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

Labels::const_iterator place_of(const Labels& labels, std::string_view name) {
  return std::lower_bound(labels.begin(), labels.end(), name,
                          [](const auto& label, std::string_view key) { return label.first < key; });
}

}  // namespace

bool is_label_name(std::string_view text) {
  if (text.empty() || text.size() > kMaxLabelNameBytes || !is_start(text[0])) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return is_start(c) || c == '.' || c == '_' || c == '/' || c == '-'; });
}

bool is_label_value(std::string_view text) {
  if (text.empty() || text.size() > kMaxLabelValueBytes) return false;
  while (!text.empty()) {
    const std::size_t length = utf8_sequence_length(text);
    const auto first = static_cast<unsigned char>(text[0]);
    if (length == 0 || first < 0x20 || first == 0x7f) return false;
    text.remove_prefix(length);
  }
  return true;
}

Status set_label(Labels& labels, std::string_view name, std::string_view value) {
  if (!is_label_name(name)) {
    return Error(
        Code::InputInvalid, "labels: `" + std::string(name.substr(0, 80)) + "` is not the name of a label",
        "A name starts with a-z or 0-9, goes on with a-z, 0-9, `.`, `_`, `/` or `-` and has at most 63 "
        "characters.");
  }
  if (!is_label_value(value)) {
    return Error(Code::InputInvalid, "labels: the value of " + std::string(name) + " must have 1 to " +
                                         std::to_string(kMaxLabelValueBytes) +
                                         " bytes and no control characters");
  }
  const auto place = place_of(labels, name);
  const auto at = labels.begin() + (place - labels.begin());
  if (at != labels.end() && at->first == name) {
    at->second = value;
    return {};
  }
  const std::size_t own = labels.size() - (find_label(labels, kOriginLabel) != nullptr ? 1 : 0);
  if (own >= kMaxLabels && name != kOriginLabel) {
    return Error(Code::InputInvalid, "labels: a run has at most " + std::to_string(kMaxLabels));
  }
  labels.emplace(at, std::string(name), std::string(value));
  return {};
}

const std::string* find_label(const Labels& labels, std::string_view name) {
  const auto place = place_of(labels, name);
  return place != labels.end() && place->first == name ? &place->second : nullptr;
}

}  // namespace ez::orchestration
