// Responder: the right to answer one request, once, from any thread. Stream: an answer that goes on.
//
// A handler gets a Responder with the request, and may answer at once or keep it and answer later: a waiting
// request holds no thread. A Responder that is dropped without an answer answers 500 INTERNAL.
//
// A client may leave at any time. Answers to it go nowhere; on_disconnect() tells early, so that what the
// client waited for is given to somebody else.
//
// Threads: one Responder or Stream is used by one thread at a time, any. Callbacks run on the server's I/O
// thread, with no lock held: they must not block. They are dropped, not called, once the answer is complete.
// A callback that owns the Responder itself keeps both alive until the client leaves or the server stops.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ez::http {

class Exchange;

// Gives the next at most `limit` bytes of a body; empty at the end. Called on the I/O thread whenever the
// client can take more, with a limit of 64 KiB: a file or memory, not something that waits.
using Source = std::function<Result<std::string>(std::size_t limit)>;

// `size` bytes of an open file from `offset` on. Closes the descriptor with the last copy.
[[nodiscard]] Source file_source(int fd, std::uint64_t offset, std::uint64_t size);

struct StreamOptions {
  // send() refuses when so much waits for the client (or ServerOptions::max_stream_bytes for all together).
  // As much again may be on its way to the kernel.
  std::size_t buffer_bytes = 64 * 1024;
  // Sent when nothing else was for ServerOptions::heartbeat; empty for none. Keeps proxies from cutting the
  // connection and finds clients that vanished without a word.
  std::string heartbeat;
};

// Move-only; closing ends the answer properly, and so does dropping it.
class Stream {
 public:
  Stream() = default;
  explicit Stream(std::shared_ptr<Exchange> exchange) : exchange_(std::move(exchange)) {}
  ~Stream() { close(); }
  Stream(Stream&&) noexcept = default;
  Stream& operator=(Stream&& other) noexcept;

  // False when the client is gone or the bounded buffer has no room for the whole chunk; nothing of it is
  // sent then.
  [[nodiscard]] bool send(std::string_view chunk);
  // The same beyond the limit, for a last word (at most 1 KiB) before close().
  [[nodiscard]] bool send_last(std::string_view chunk);
  void close();
  [[nodiscard]] bool open() const;  // not closed by us and the client not known to be gone

  // Called once when the client leaves or the server stops; at once (on the I/O thread) when it is gone
  // already.
  void on_closed(std::function<void()> callback);
  // Called whenever everything that was sent has been taken by the kernel after a send() had been refused.
  void on_drained(std::function<void()> callback);

 private:
  std::shared_ptr<Exchange> exchange_;
};

class Responder {
 public:
  explicit Responder(std::shared_ptr<Exchange> exchange) : exchange_(std::move(exchange)) {}
  ~Responder();
  Responder(Responder&&) noexcept = default;
  Responder& operator=(Responder&&) = delete;

  // A header of the answer, before it is given.
  Responder& header(std::string_view name, std::string_view value);

  // Each completes the answer; completing twice aborts. False when the client is known to be gone, so that
  // the answer went nowhere; true promises nothing (the network may lose it still).
  bool json(int status, std::string body);
  // The body is made on the server's I/O thread when the connection is about to write it, which saves a busy
  // answering thread the work; not called when the client is gone by then. It must not block.
  bool json_later(int status, std::function<std::string()> render);
  bool problem(const Error& error);
  bool empty(int status);
  bool bytes(int status, std::string_view content_type, std::string body);
  // With a length the body is exactly that long, or the connection is broken off so that the client sees the
  // failure.
  bool source(int status, std::string_view content_type, std::optional<std::uint64_t> length, Source source);
  // 200 with a body that is sent piece by piece.
  [[nodiscard]] Stream begin_stream(std::string_view content_type, StreamOptions options = {});

  // For long-polls: called once when the client leaves before the answer (and when the server stops; the
  // client is then told SHUTTING_DOWN). Called at once (on the I/O thread) when it is gone already. One
  // callback; a new one replaces it.
  void on_disconnect(std::function<void()> callback);

  [[nodiscard]] const std::string& request_id() const;
  [[nodiscard]] bool completed() const { return exchange_ == nullptr; }

 private:
  std::shared_ptr<Exchange> take();
  std::shared_ptr<Exchange> exchange_;
  std::string headers_;
};

}  // namespace ez::http
