#include "queue/kafka/window.h"

#include <algorithm>

#include "base/base64.h"

namespace ez::queue::kafka {
namespace {

constexpr std::string_view kMark = "ez1:";

}  // namespace

Window::Window(std::int64_t base, std::string_view committed) : next_(std::max<std::int64_t>(0, base)) {
  if (!committed.starts_with(kMark)) return;
  const auto bits = from_base64(committed.substr(kMark.size()));
  if (!bits) return;
  const std::int64_t most = std::min<std::int64_t>(static_cast<std::int64_t>(bits->size()) * 8, 2 * kWindow);
  for (std::int64_t i = 0; i < most; ++i) {
    const auto byte = static_cast<unsigned char>((*bits)[static_cast<std::size_t>(i / 8)]);
    if ((byte >> (i % 8) & 1) != 0) skip_.insert(next_ + i);
  }
}

bool Window::fetched(std::int64_t offset) {
  if (offset < next_) return false;
  next_ = offset + 1;
  const bool fresh = !skip_.contains(offset);
  skip_.erase(skip_.begin(), skip_.upper_bound(offset));
  if (fresh) open_.insert(offset);
  return fresh;
}

bool Window::settled(std::int64_t offset) { return open_.erase(offset) > 0; }

std::int64_t Window::base() const {
  if (!open_.empty()) return *open_.begin();
  // Nothing is open: what follows and is settled is passed over.
  std::int64_t base = next_;
  for (auto one = skip_.begin(); one != skip_.end() && *one == base; ++one) ++base;
  return base;
}

bool Window::done(std::int64_t offset) const {
  return offset < next_ ? !open_.contains(offset) : skip_.contains(offset);
}

std::int64_t Window::settled_ahead() const {
  const std::int64_t from = base();
  const auto open = static_cast<std::int64_t>(open_.size());
  const std::int64_t before = std::max<std::int64_t>(0, next_ - from) - open;
  return before + std::distance(skip_.lower_bound(from), skip_.end());
}

std::string Window::text() const {
  const std::int64_t from = base();
  std::int64_t end = skip_.empty() ? next_ : std::max(next_, *skip_.rbegin() + 1);
  while (end > from && !done(end - 1)) --end;
  if (end <= from) return {};
  std::string bits(static_cast<std::size_t>((end - from + 7) / 8), '\0');
  for (std::int64_t offset = from; offset < end; ++offset) {
    if (!done(offset)) continue;
    char& byte = bits[static_cast<std::size_t>((offset - from) / 8)];
    byte = static_cast<char>(static_cast<unsigned char>(byte) | 1U << ((offset - from) % 8));
  }
  return std::string(kMark) + to_base64(bits);
}

}  // namespace ez::queue::kafka
