// Result<T>: a value or an Error, shaped like std::expected (C++23), which this compiler lacks in C++20.
// Status is Result<void>. Ignoring one is a compile error; reading the wrong side is a broken invariant.
#pragma once

#include <optional>
#include <utility>
#include <variant>

#include "base/check.h"
#include "base/error.h"

namespace ez {

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit on purpose
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit on purpose

  [[nodiscard]] bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  [[nodiscard]] const T& value() const& {
    EZ_CHECK(ok(), "value() of a failed Result");
    return std::get<0>(state_);
  }
  [[nodiscard]] T& value() & {
    EZ_CHECK(ok(), "value() of a failed Result");
    return std::get<0>(state_);
  }
  [[nodiscard]] T&& value() && {
    EZ_CHECK(ok(), "value() of a failed Result");
    return std::get<0>(std::move(state_));
  }
  [[nodiscard]] const T& operator*() const& { return value(); }
  [[nodiscard]] T& operator*() & { return value(); }
  [[nodiscard]] T&& operator*() && { return std::move(*this).value(); }
  [[nodiscard]] const T* operator->() const { return &value(); }
  [[nodiscard]] T* operator->() { return &value(); }

  [[nodiscard]] const Error& error() const {
    EZ_CHECK(!ok(), "error() of a successful Result");
    return std::get<1>(state_);
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit on purpose

  [[nodiscard]] bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  [[nodiscard]] const Error& error() const {
    EZ_CHECK(!ok(), "error() of a successful Status");
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

}  // namespace ez

// EZ_TRY(expression): leaves the function with the error of a failed Status or Result.
#define EZ_TRY(expression)                                                        \
  do {                                                                            \
    if (auto ez_status = (expression); !ez_status.ok()) return ez_status.error(); \
  } while (false)

#define EZ_CONCAT_INNER(a, b) a##b
#define EZ_CONCAT(a, b) EZ_CONCAT_INNER(a, b)
// EZ_ASSIGN(auto x, expression): x is the value, or leaves the function with the error.
#define EZ_ASSIGN(target, expression) EZ_ASSIGN_INNER(EZ_CONCAT(ez_result_, __LINE__), target, expression)
#define EZ_ASSIGN_INNER(name, target, expression) \
  auto name = (expression);                       \
  if (!name.ok()) return name.error();            \
  target = std::move(name).value()
