#include "http/gate.h"

#include <arpa/inet.h>

#include "base/check.h"
#include "http/router.h"

namespace ez::http {
namespace {

std::string shown(std::string_view text) { return "'" + std::string(text.substr(0, 128)) + "'"; }

bool is_digits(std::string_view text) {
  return text.find_first_not_of("0123456789") == std::string_view::npos;
}

// Clients of models send their key as x-api-key (Anthropic's way) or as a bearer token.
Result<std::string_view> credential(const Request& request, const Route& route) {
  if (route.permission == security::Permission::kModelCall) {
    if (request.headers.count("x-api-key") > 1) {
      return Error(Code::Unauthenticated, "the request carries several x-api-key headers");
    }
    if (const auto key = request.headers.find("x-api-key")) return trimmed(*key);
    if (request.headers.count("x-goog-api-key") > 1)
      return Error(Code::Unauthenticated, "the request carries several x-goog-api-key headers");
    if (const auto key = request.headers.find("x-goog-api-key")) return trimmed(*key);
  }
  const auto header = request.headers.find("authorization");
  if (!header) return Error(Code::Unauthenticated, "the request carries no Authorization header");
  if (request.headers.count("authorization") != 1) {
    return Error(Code::Unauthenticated, "the request carries several Authorization headers");
  }
  const std::size_t space = header->find(' ');
  if (space == std::string_view::npos || !same_name(header->substr(0, space), "bearer")) {
    return Error(Code::Unauthenticated, "the Authorization header is not a bearer token");
  }
  return trimmed(header->substr(space));
}

Status verdict(const security::Decision& decision) {
  if (decision.allowed) return {};
  return Error(Code::PermissionDenied, decision.reason);
}

}  // namespace

std::string_view host_of(std::string_view authority) {
  if (authority.starts_with('[')) {
    const std::size_t close = authority.find(']');
    if (close == std::string_view::npos) return {};
    const std::string_view rest = authority.substr(close + 1);
    if (!rest.empty() && (rest.front() != ':' || !is_digits(rest.substr(1)))) return {};
    return authority.substr(1, close - 1);
  }
  const std::size_t colon = authority.find(':');
  if (colon != std::string_view::npos && !is_digits(authority.substr(colon + 1))) return {};
  return authority.substr(0, colon);
}

bool is_loopback_name(std::string_view host) {
  constexpr std::string_view kSuffix = ".localhost";  // RFC 6761 section 6.3: always loopback
  if (same_name(host, "localhost") || host == "::1") return true;
  if (host.size() > kSuffix.size() && same_name(host.substr(host.size() - kSuffix.size()), kSuffix))
    return true;
  in_addr address{};
  if (::inet_pton(AF_INET, std::string(host).c_str(), &address) != 1) return false;
  return (ntohl(address.s_addr) >> 24) == 127;
}

Gate::Gate(std::shared_ptr<const security::Authenticator> authenticator, GateOptions options)
    : authenticator_(std::move(authenticator)), options_(std::move(options)) {
  EZ_CHECK(authenticator_ != nullptr, "a gate without an authenticator");
}

Status Gate::check_host(std::string_view authority) const {
  const std::string_view host = host_of(authority);
  if (is_loopback_name(host)) return {};
  for (const std::string& name : options_.hosts) {
    if (same_name(name, host)) return {};
  }
  return Error(Code::HostRefused,
               "the request is addressed to " + shown(authority) + ", which is no name of this server");
}

Status Gate::check_origin(const Request& request, std::string_view authority) const {
  const auto origin = request.headers.find("origin");
  if (!origin) return {};
  if (request.headers.count("origin") == 1) {
    // Same origin: the page came from the address that it now calls, and that address was just found to be
    // ours.
    const std::size_t scheme = origin->find("://");
    if (scheme != std::string_view::npos && same_name(origin->substr(scheme + 3), authority)) return {};
    for (const std::string& allowed : options_.origins) {
      if (same_name(allowed, *origin)) return {};
    }
  }
  return Error(Code::OriginRefused, "pages of " + shown(*origin) + " may not call this server");
}

Status Gate::admit(Request& request, const Route& route, std::string_view authority) const {
  const std::size_t hosts = request.headers.count("host");
  if (hosts > 1) return Error(Code::RequestInvalid, "the request has several Host headers");
  if (!route.permission) return {};
  if (authority.empty()) {
    if (hosts == 0) return Error(Code::RequestInvalid, "the request has no Host header");
    authority = *request.headers.find("host");
  }
  EZ_TRY(check_host(authority));
  EZ_TRY(check_origin(request, authority));
  EZ_ASSIGN(const std::string_view token, credential(request, route));
  EZ_ASSIGN(request.principal, authenticator_->authenticate(token));
  return permit(request, *route.permission, request.name_space());
}

Status Gate::permit(const Request& request, security::Permission permission, std::string_view name_space) {
  EZ_CHECK(request.principal != nullptr, "a permission is asked for on a route that is open to everybody");
  return verdict(security::decide(*request.principal, permission, name_space));
}

Status Gate::permit_role(const Request& request, security::Role role, std::string_view name_space) {
  EZ_CHECK(request.principal != nullptr, "a role is asked for on a route that is open to everybody");
  return verdict(security::decide_role(*request.principal, role, name_space));
}

}  // namespace ez::http
