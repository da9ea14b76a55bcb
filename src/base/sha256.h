// SHA-256 (FIPS 180-4) over OpenSSL. Content addresses of blobs are its lower-case hexadecimal form.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace ez {

// 64 lower-case hexadecimal digits.
[[nodiscard]] std::string sha256_hex(std::string_view bytes);

// Whether text has the form of a digest as sha256_hex gives it.
[[nodiscard]] bool is_sha256_hex(std::string_view text);

// The same over a stream. Not thread-safe; finish() at most once.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void update(std::string_view bytes);
  [[nodiscard]] std::string finish_hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ez
