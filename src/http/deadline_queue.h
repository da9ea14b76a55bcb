// DeadlineQueue: things that are due after the same duration. Because the duration is one and the same, the
// order of adding is the order of the deadlines: adding, moving and removing cost a few pointers and no
// memory. Internal to http/.
#pragma once

#include <cstdint>
#include <limits>

namespace ez::http {

// Base of what is queued; in one queue at a time. Leaves its queue when it goes.
class DeadlineLink {
 public:
  DeadlineLink() = default;
  ~DeadlineLink() { unlink(); }
  DeadlineLink(const DeadlineLink&) = delete;
  DeadlineLink& operator=(const DeadlineLink&) = delete;
  void unlink() {
    if (next_ == nullptr) return;
    previous_->next_ = next_;
    next_->previous_ = previous_;
    next_ = previous_ = nullptr;
  }

 private:
  friend class DeadlineQueue;
  DeadlineLink* previous_ = nullptr;
  DeadlineLink* next_ = nullptr;
  std::int64_t due_us_ = 0;
};

class DeadlineQueue {
 public:
  explicit DeadlineQueue(std::int64_t duration_us) : duration_us_(duration_us) {
    head_.previous_ = head_.next_ = &head_;
  }

  // Leaves the queue that it was in, if any.
  void add(DeadlineLink& link, std::int64_t now_us) {
    link.unlink();
    link.due_us_ = now_us + duration_us_;
    link.previous_ = head_.previous_;
    link.next_ = &head_;
    head_.previous_->next_ = &link;
    head_.previous_ = &link;
  }
  // The first one that is due, already taken out; nullptr when none is.
  DeadlineLink* pop_due(std::int64_t now_us) {
    DeadlineLink* first = head_.next_;
    if (first == &head_ || first->due_us_ > now_us) return nullptr;
    first->unlink();
    return first;
  }
  [[nodiscard]] std::int64_t next_us() const {
    return head_.next_ == &head_ ? std::numeric_limits<std::int64_t>::max() : head_.next_->due_us_;
  }

 private:
  const std::int64_t duration_us_;
  DeadlineLink head_;
};

}  // namespace ez::http
