// Parser: one HTTP/1.1 message out of a stream of bytes, request or response, as the bytes come.
//
// The grammar of heads is Boost.Beast's basic_parser, chunked bodies are ours (chunked.h). On top of that,
// everything that lets two readers of one connection disagree about where a message ends (request smuggling,
// RFC 9112 section 11.2) is refused: a Transfer-Encoding that is not exactly "chunked", one beside a
// Content-Length or in HTTP/1.0, unequal Content-Lengths.
//
// Limits: 16 KiB of start line and headers, 100 headers, 8 KiB of a chunk's size line or of trailers. Bodies
// are handed to a sink and never kept here. Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/message.h"

namespace ez::http {

inline constexpr std::size_t kMaxHeadBytes = 16 * 1024;
inline constexpr std::size_t kMaxHeaders = 100;

class BodySink {
 public:
  virtual ~BodySink() = default;
  // A failure ends the parsing with that error.
  [[nodiscard]] virtual Status body(std::string_view piece) = 0;
};

// What is known when the head is complete.
struct Head {
  Method method = Method::kOther;  // requests
  std::string target;              // requests, as sent
  int status = 0;                  // responses
  Headers headers;
  bool http11 = true;
  bool keep_alive = true;
  bool has_body = false;                        // a body follows (its length may be unknown)
  std::optional<std::uint64_t> content_length;  // of the body, when it was said
};

class Parser {
 public:
  enum class Kind { kRequest, kResponse };
  explicit Parser(Kind kind);
  ~Parser();
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;

  // Ready for the next message. `no_body`: the response answers a HEAD request.
  void reset(bool no_body = false);

  // Reads from the front of `bytes` and returns how many were used; what was not used is given again with
  // more behind it. Stops after the head and after the end of the message. The sink is needed from the end of
  // the head on. Errors (final): REQUEST_INVALID, HEADER_TOO_LARGE, or the sink's.
  [[nodiscard]] Result<std::size_t> feed(std::string_view bytes, BodySink* sink);

  // The peer has closed: ends a response body that lasts until then. REQUEST_INVALID when the message is cut
  // off.
  [[nodiscard]] Status finish();

  [[nodiscard]] bool started() const;  // some byte of this message was used
  [[nodiscard]] bool head_done() const;
  [[nodiscard]] bool done() const;
  [[nodiscard]] Head& head();
  [[nodiscard]] const Head& head() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ez::http
