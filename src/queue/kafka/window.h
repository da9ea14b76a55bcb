// Window: what of one partition a group is done with. Kafka keeps one offset for each partition and group;
// what was settled beyond it goes into the text that is committed along with the offset, as one bit for each
// message.
//
// Pure. Bounded by its caller, which stops fetching at kWindow.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

namespace ez::queue::kafka {

// Offsets between the first that is not settled and the last that was fetched. Their bits fit into the 4,096
// bytes that Kafka takes by default.
inline constexpr std::int64_t kWindow = 16'000;

class Window {
 public:
  Window() = default;
  // As committed: the offset, and the text beside it (one that is not ours counts as empty).
  Window(std::int64_t base, std::string_view committed);

  // The message at this offset was fetched. False: it was settled before. Offsets only grow; one that is left
  // out does not exist any more.
  bool fetched(std::int64_t offset);
  // False: it was not fetched, or is settled already.
  bool settled(std::int64_t offset);

  [[nodiscard]] std::int64_t base() const;  // to be committed
  [[nodiscard]] std::string text() const;   // beside it
  [[nodiscard]] std::int64_t next() const { return next_; }
  [[nodiscard]] std::int64_t span() const { return next_ - base(); }
  [[nodiscard]] std::int64_t settled_ahead() const;  // how many beyond base()

 private:
  [[nodiscard]] bool done(std::int64_t offset) const;

  std::int64_t next_ = 0;
  std::set<std::int64_t> open_;  // fetched and not settled
  std::set<std::int64_t> skip_;  // settled before, at or beyond next_
};

}  // namespace ez::queue::kafka
