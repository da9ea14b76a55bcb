// Redaction: what may not leave the process in logs. Two means together: fields whose name says that they
// hold a secret, and values that were registered as secrets, wherever they stand in a text.
//
// Threads. Everything is thread-safe; redacting takes a shared lock.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace ez::telemetry {

inline constexpr std::string_view kRedacted = "[redacted]";
inline constexpr std::size_t kMinSecretBytes = 6;  // shorter ones would tear up ordinary text
inline constexpr std::size_t kMaxSecretBytes = 16 * 1024;
inline constexpr std::size_t kMaxSecrets = 4096;

// Whether a field of that name holds a secret: its name contains token, password, passwd, secret, api_key,
// apikey, authorization, credential, private_key or cookie, in any case, with - or _. Counts (`input_tokens`
// with a number) are not secrets: `number` says that the value is one.
[[nodiscard]] bool is_secret_name(std::string_view name, bool number);

class Redactor {
 public:
  Redactor();
  ~Redactor();
  Redactor(const Redactor&) = delete;
  Redactor& operator=(const Redactor&) = delete;

  // From now on the value is removed from texts, also where it stands escaped inside JSON or percent-encoded
  // in a URL. Registered twice, it has to be removed twice. False: too short, too long or too many.
  bool add_secret(std::string_view value);
  void remove_secret(std::string_view value);

  // The text with every registered value, every word after "Bearer " or "Basic ", and every password of a URL
  // (scheme://user:password@) replaced by kRedacted. Looks at `limit` bytes of the text and as far beyond as
  // a secret reaches that starts within them; the rest is cut, so no part of a secret is left at the cut.
  [[nodiscard]] std::string redact(std::string_view text, std::size_t limit = std::string_view::npos) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ez::telemetry
