// Cow<T>: a copy-on-write box. Copying the box is one atomic increment; the first write through a shared box
// copies the T. It lets a snapshot or a reader keep a consistent old version while the one writing thread
// goes on.
//
// Threads: any thread may hold, copy, read and drop boxes; only one thread (the engine's loop) calls write().
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "base/check.h"

namespace ez {

template <typename T>
class Cow {
 public:
  Cow() = default;
  explicit Cow(T value) : node_(new Node{{1}, std::move(value)}) {}
  Cow(const Cow& other) : node_(other.node_) { retain(); }
  Cow(Cow&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
  Cow& operator=(Cow other) noexcept {
    std::swap(node_, other.node_);
    return *this;
  }
  ~Cow() { release(); }

  explicit operator bool() const { return node_ != nullptr; }
  [[nodiscard]] const T& read() const {
    EZ_CHECK(node_ != nullptr, "read of an empty Cow");
    return node_->value;
  }
  const T* operator->() const { return &read(); }
  const T& operator*() const { return read(); }

  // Exclusive access; copies T first when another box shares it.
  [[nodiscard]] T& write() {
    EZ_CHECK(node_ != nullptr, "write of an empty Cow");
    if (node_->references.load(std::memory_order_acquire) != 1) {
      Node* copy = new Node{{1}, node_->value};
      release();
      node_ = copy;
    }
    return node_->value;
  }

 private:
  struct Node {
    std::atomic<std::uint32_t> references;
    T value;
  };
  void retain() {
    if (node_ != nullptr) node_->references.fetch_add(1, std::memory_order_relaxed);
  }
  void release() {
    if (node_ != nullptr && node_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete node_;
    node_ = nullptr;
  }
  Node* node_ = nullptr;
};

}  // namespace ez
