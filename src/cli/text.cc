#include "cli/text.h"

#include <algorithm>
#include <cstdio>
#include <ctime>

#include "base/utf8.h"

namespace ez::cli {
namespace {

template <typename... Parts>
std::string formatted(const char* format, Parts... parts) {
  char buffer[64];
  const int size = std::snprintf(buffer, sizeof buffer, format, parts...);
  return {buffer, static_cast<std::size_t>(std::clamp(size, 0, static_cast<int>(sizeof buffer) - 1))};
}

}  // namespace

std::string duration_text(std::int64_t ms) {
  ms = std::max<std::int64_t>(ms, 0);
  const long long seconds = ms / 1000;
  if (ms < 1000) return formatted("%lldms", static_cast<long long>(ms));
  if (seconds < 10) return formatted("%lld.%llds", seconds, static_cast<long long>(ms % 1000 / 100));
  if (seconds < 60) return formatted("%llds", seconds);
  if (seconds < 3600) return formatted("%lldm%02llds", seconds / 60, seconds % 60);
  if (seconds < 86400) return formatted("%lldh%02lldm", seconds / 3600, seconds / 60 % 60);
  return formatted("%lldd%02lldh", seconds / 86400, seconds / 3600 % 24);
}

std::string money_text(std::int64_t microusd) {
  if (microusd != 0 && microusd > -10'000 && microusd < 10'000) {
    return formatted("$%.4f", static_cast<double>(microusd) / 1e6);
  }
  return formatted("$%.2f", static_cast<double>(microusd) / 1e6);
}

std::string size_text(std::uint64_t bytes) {
  if (bytes < 1024) return formatted("%llu B", static_cast<unsigned long long>(bytes));
  constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
  auto amount = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (amount >= 1024 && unit + 1 < std::size(kUnits)) {
    amount /= 1024;
    ++unit;
  }
  return formatted("%.1f %s", amount, kUnits[unit]);
}

std::int64_t parse_time(std::string_view text) {
  std::tm parts{};
  int ms = 0;
  const std::string copy(text);
  if (std::sscanf(copy.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ", &parts.tm_year, &parts.tm_mon, &parts.tm_mday,
                  &parts.tm_hour, &parts.tm_min, &parts.tm_sec, &ms) < 6) {
    return 0;
  }
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  return static_cast<std::int64_t>(::timegm(&parts)) * 1000 + ms;
}

std::string clock_text(std::int64_t unix_ms) {
  const long long seconds = unix_ms / 1000 % 86400;
  return formatted("%02lld:%02lld:%02lld", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

std::string printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::uint32_t point = take_code_point(text);
    const bool control = point < 0x20 || (point >= 0x7f && point < 0xa0);
    // Marks that turn the direction of writing could show another text than the one that is there.
    const bool turns = (point >= 0x202a && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069);
    append_utf8(out, point == '\n' || point == '\t' ? ' ' : control || turns ? '?' : point);
  }
  return out;
}

std::string clipped(std::string_view text, std::size_t width) {
  if (count_code_points(text) <= width) return std::string(text);
  std::string out;
  for (std::size_t i = 0; i + 1 < width; ++i) append_utf8(out, take_code_point(text));
  if (width > 0) out += "…";
  return out;
}

std::string padded(std::string_view text, std::size_t width) {
  std::string out(text);
  const std::size_t have = count_code_points(text);
  if (have < width) out.append(width - have, ' ');
  return out;
}

std::string table_text(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], count_code_points(row[i]));
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) line += padded(row[i], widths[i]) + "  ";
    while (!line.empty() && line.back() == ' ') line.pop_back();
    out += line + "\n";
  }
  return out;
}

}  // namespace ez::cli
