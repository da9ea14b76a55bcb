// Errors: a stable code, what happened, what to do, and whether a retry helps.
//
// The catalogue (base/error_catalog.def) is the only list of codes. Each code has an operator page
// docs/errors/<NAME>.md; the tidy test compares the two. A name never changes its meaning once released.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ez {

enum class Code : std::uint16_t {
#define EZ_ERROR(id, name, http, exit, retry, hint) id,
#include "base/error_catalog.def"
#undef EZ_ERROR
};

// What the catalogue says of one code. Lives as long as the process.
struct CodeInfo {
  Code code;
  std::string_view name;  // stable, upper case, for example LOG_DISK_FULL
  int http_status;        // status of a problem+json answer that carries it
  int exit_status;        // exit status of the CLI when a command ends with it
  bool retry;             // the same request may succeed later without a change
  std::string_view hint;  // what to do, in one sentence
};

[[nodiscard]] const CodeInfo& info(Code code);

// The code of that stable name; nullptr when the catalogue has none.
[[nodiscard]] const CodeInfo* find_code(std::string_view name);

// An expected failure. `message` says what happened, with the names and numbers of this case and never a
// secret. `hint` replaces the catalogue's hint when the case allows a better one.
class [[nodiscard]] Error {
 public:
  Error(Code code, std::string message) : code_(code), message_(std::move(message)) {}
  Error(Code code, std::string message, std::string hint)
      : code_(code), message_(std::move(message)), hint_(std::move(hint)) {}

  [[nodiscard]] Code code() const { return code_; }
  [[nodiscard]] std::string_view name() const { return info(code_).name; }
  [[nodiscard]] const std::string& message() const { return message_; }
  [[nodiscard]] std::string_view hint() const {
    return hint_.empty() ? info(code_).hint : std::string_view(hint_);
  }
  [[nodiscard]] bool retry() const { return info(code_).retry; }

  // "LOG_DISK_FULL: … (hint)", for logs and terminals.
  [[nodiscard]] std::string to_string() const;

  // The same failure seen from one level up: "context: message".
  [[nodiscard]] Error in(std::string_view context) const;

 private:
  Code code_;
  std::string message_;
  std::string hint_;
};

// An error of the operating system: `what` names the call and its object, `error_number` is errno. Chooses
// the code: ENOSPC and EDQUOT give full_code, everything else gives otherwise.
[[nodiscard]] Error system_error(Code otherwise, Code full_code, std::string_view what, int error_number);

}  // namespace ez
