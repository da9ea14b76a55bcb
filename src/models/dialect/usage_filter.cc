#include "models/dialect/usage_filter.h"

#include <algorithm>

#include "base/json.h"

namespace ez::models {

namespace {

// The end of the first event, its empty line included; npos when it is not complete. A line ends with "\n" or
// "\r\n"; lone carriage returns, which the standard allows, no provider sends.
std::size_t event_end(std::string_view text, std::size_t from) {
  const std::size_t plain = text.find("\n\n", from), both = text.find("\n\r\n", from);
  if (plain == std::string_view::npos && both == std::string_view::npos) return std::string_view::npos;
  return plain < both ? plain + 2 : both + 3;
}

bool is_usage_only(std::string_view event) {
  // Without a parse of the many that have text.
  if (event.find("\"choices\":[]") == std::string_view::npos &&
      event.find("\"choices\": []") == std::string_view::npos) {
    return false;
  }
  if (!event.starts_with("data:")) return false;
  const Result<Value> data = parse_json(event.substr(5));
  if (!data.ok()) return false;
  const Value* choices = data->find("choices");
  const Value* usage = data->find("usage");
  return choices != nullptr && choices->is_list() && choices->as_list().empty() && usage != nullptr &&
         usage->is_map();
}

}  // namespace

void UsageFilter::pass(std::string_view bytes, std::string& out) {
  if (open_) {
    out += bytes;
    return;
  }
  // The last bytes held may be the beginning of an event's end.
  std::size_t look = held_.size() < 2 ? 0 : held_.size() - 2;
  held_ += bytes;
  std::string_view rest = held_;
  while (true) {
    const std::size_t end = event_end(rest, look);
    if (end == std::string_view::npos) break;
    if (!is_usage_only(rest.substr(0, end))) out += rest.substr(0, end);
    rest.remove_prefix(end);
    look = 0;
  }
  if (rest.size() > kMaxHeldBytes) {
    open_ = true;
    out += rest;
    held_.clear();
    return;
  }
  held_.erase(0, held_.size() - rest.size());
}

void UsageFilter::end(std::string& out) {
  out += held_;
  held_.clear();
}

}  // namespace ez::models
