// Incoming: a request while it is being received. Internal to http/. Lent to a connection for that time only,
// so that idle and waiting connections need none.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "http/parser.h"
#include "http/request.h"
#include "http/server.h"

namespace ez::http {

class Incoming final : public BodySink {
 public:
  Incoming() : parser(Parser::Kind::kRequest) {}
  ~Incoming() override;

  Parser parser;
  Request request;
  bool head_of_get = false;
  // Set when the request is refused by its head; the body is then read and dropped as far as it is worth it.
  std::optional<Error> refusal;
  std::string refusal_headers;

  // The head is complete: finds the route, asks the gate, prepares for the body.
  void admit(const Router& router, const Gate& gate, const ServerOptions& options, std::string fresh_id);
  // The client waits for "100 Continue" before it sends the body.
  [[nodiscard]] bool expects_continue() const { return expects_continue_; }
  // The rest of the request is too long to be read only to be dropped.
  [[nodiscard]] bool not_worth_reading() const;
  [[nodiscard]] RefusalForm refusal_form() const {
    return request.route == nullptr ? nullptr : request.route->refusal_form;
  }
  [[nodiscard]] std::uint64_t received() const { return received_; }
  // The body is complete. False when it could not be kept (then refusal is set).
  void complete();
  void reset();

  [[nodiscard]] Status body(std::string_view piece) override;

 private:
  [[nodiscard]] Status check(const Router& router, const Gate& gate, const ServerOptions& options);
  [[nodiscard]] Status open_file(const ServerOptions& options);
  void close_file();
  void refuse(const Error& error);

  std::uint64_t received_ = 0;
  std::uint64_t limit_ = 0;
  bool expects_continue_ = false;
  int file_ = -1;
  std::filesystem::path file_path_;
};

}  // namespace ez::http
