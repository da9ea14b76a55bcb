#include "cli/arguments.h"

#include <charconv>

namespace ez::cli {

std::string Arguments::text(std::string_view name, std::string_view fallback) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::string(fallback) : found->second.back();
}

std::vector<std::string> Arguments::all(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::vector<std::string>() : found->second;
}

std::vector<std::string> Arguments::list(std::string_view name) const {
  std::vector<std::string> out;
  for (const std::string& value : all(name)) {
    for (std::size_t at = 0; at <= value.size();) {
      const std::size_t end = std::min(value.find(',', at), value.size());
      if (end > at) out.push_back(value.substr(at, end - at));
      at = end + 1;
    }
  }
  return out;
}

Arguments Arguments::only(std::initializer_list<std::string_view> names) const {
  Arguments out;
  for (const std::string_view name : names) {
    for (std::string& value : all(name)) out.add(name, std::move(value));
  }
  return out;
}

Result<std::int64_t> Arguments::number(std::string_view name, std::int64_t fallback, std::int64_t least,
                                       std::int64_t most) const {
  if (!has(name)) return fallback;
  const std::string value = text(name);
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size() || number < least || number > most) {
    return Error(Code::InvalidArgument, std::string(name) + ": '" + value + "' is not a whole number from " +
                                            std::to_string(least) + " to " + std::to_string(most));
  }
  return number;
}

}  // namespace ez::cli
