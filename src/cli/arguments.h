// What a command declares, and what it gets: options and operands as data. One table serves parsing, help,
// completion and the tests.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace ez::cli {

struct OptionSpec {
  std::string_view names;  // "--data" or "-f,--follow"
  std::string_view value;  // what it takes, for the help; empty: a flag
  std::string_view help;
  bool many = false;
};

struct OperandSpec {
  std::string_view name;  // "RUN"
  std::string_view help;
  bool required = true;
};

// Values by the long name of the option without its dashes, or by the name of the operand.
class Arguments {
 public:
  void add(std::string_view name, std::string value) {
    values_[std::string(name)].push_back(std::move(value));
  }

  [[nodiscard]] bool has(std::string_view name) const { return values_.find(name) != values_.end(); }
  // The last value, or the fallback.
  [[nodiscard]] std::string text(std::string_view name, std::string_view fallback = "") const;
  [[nodiscard]] std::vector<std::string> all(std::string_view name) const;
  // All values, each split at commas; empty parts are left out.
  [[nodiscard]] std::vector<std::string> list(std::string_view name) const;
  // Those with these names, without the others.
  [[nodiscard]] Arguments only(std::initializer_list<std::string_view> names) const;
  // INVALID_ARGUMENT when it is no decimal integer in [least, most].
  [[nodiscard]] Result<std::int64_t> number(std::string_view name, std::int64_t fallback, std::int64_t least,
                                            std::int64_t most) const;

 private:
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
};

}  // namespace ez::cli
