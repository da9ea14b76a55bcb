// ChunkedReader: a chunked body (RFC 9112 section 7.1) out of a stream of bytes, as the bytes come.
//
// Byte by byte, with all of its state in here, so that where the bytes are cut into pieces makes no
// difference. Strict: lines end with CRLF and nothing else, a chunk's size has 1 to 16 hexadecimal digits, an
// extension and a trailer have no control characters, a trailer line has a name of token characters and a
// colon directly behind it. Trailers are read over: they say nothing that we use. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace ez::http {

class BodySink;

inline constexpr std::size_t kMaxChunkLineBytes = 8 * 1024;  // of one size line; of all trailers together

class ChunkedReader {
 public:
  // Uses bytes until the end of the body or of `bytes`; returns how many. Errors (final): REQUEST_INVALID, or
  // the sink's.
  [[nodiscard]] Result<std::size_t> feed(std::string_view bytes, BodySink& sink);
  [[nodiscard]] bool done() const { return at_ == At::kEnd; }

 private:
  enum class At : std::uint8_t {
    kSize,
    kExtension,
    kSizeEnd,  // LF of a size line
    kData,
    kDataCr,  // behind a chunk's data
    kDataLf,
    kTrailer,  // the first byte of a trailer line, or CR of the last line
    kName,
    kValue,
    kTrailerLf,
    kLastLf,
    kEnd
  };
  // A byte that is not data; false: it may not stand here.
  [[nodiscard]] bool step(char byte);
  [[nodiscard]] bool size_digit(char byte);

  At at_ = At::kSize;
  std::uint64_t left_ = 0;  // of the chunk
  std::uint32_t digits_ = 0;
  std::size_t line_ = 0;  // bytes of the size line, or of all trailers
};

}  // namespace ez::http
