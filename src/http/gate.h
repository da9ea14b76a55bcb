// Gate: the one place where it is decided whether a request may pass. Nobody else reads the Authorization
// header.
//
// In this order: is it addressed to us (Host, against DNS rebinding), does it come from a page of ours
// (Origin), who is it (bearer token; for calls of models also x-api-key), may they (permission in the
// namespace of the request). A handler that learns only from the object that another namespace is concerned
// asks again with permit().
//
// Immutable and thread-safe. The Authenticator is shared with whoever changes its tokens.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "http/request.h"
#include "security/authenticator.h"
#include "security/permission.h"

namespace ez::http {

struct Route;

struct GateOptions {
  // Names, without port, that clients may use for this server besides the loopback ones (localhost,
  // *.localhost, 127.0.0.0/8, ::1). Compared without case.
  std::vector<std::string> hosts;
  // Sites whose pages may call us: "https://console.example". The server's own origin always may.
  std::vector<std::string> origins;
};

class Gate {
 public:
  Gate(std::shared_ptr<const security::Authenticator> authenticator, GateOptions options);

  // Sets request.principal. Errors: REQUEST_INVALID (no Host or several), HOST_REFUSED, ORIGIN_REFUSED,
  // UNAUTHENTICATED, PERMISSION_DENIED. `authority`: of a target in absolute form, else empty.
  [[nodiscard]] Status admit(Request& request, const Route& route, std::string_view authority) const;

  // PERMISSION_DENIED unless the request's principal has the permission (the role) in that namespace.
  [[nodiscard]] static Status permit(const Request& request, security::Permission permission,
                                     std::string_view name_space);
  [[nodiscard]] static Status permit_role(const Request& request, security::Role role,
                                          std::string_view name_space);

 private:
  [[nodiscard]] Status check_host(std::string_view authority) const;
  [[nodiscard]] Status check_origin(const Request& request, std::string_view authority) const;

  std::shared_ptr<const security::Authenticator> authenticator_;
  GateOptions options_;
};

// "host:port" or "[v6]:port" without the port and the brackets; empty when it is malformed.
[[nodiscard]] std::string_view host_of(std::string_view authority);
[[nodiscard]] bool is_loopback_name(std::string_view host);

}  // namespace ez::http
