#include "queue/broker/options.h"

#include <algorithm>
#include <charconv>

namespace ez::queue::broker {

Result<Address> parse_address(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  Address out;
  if (colon != std::string::npos && colon > 0) {
    out.host = text.substr(0, colon);
    out.port = text.substr(colon + 1);
    if (out.host.size() > 2 && out.host.front() == '[' && out.host.back() == ']') {
      out.host = out.host.substr(1, out.host.size() - 2);
    } else if (out.host.find(':') != std::string::npos) {
      out.host.clear();
    }
  }
  unsigned port = 0;
  const auto read = std::from_chars(out.port.data(), out.port.data() + out.port.size(), port);
  if (out.host.empty() || read.ec != std::errc() || read.ptr != out.port.data() + out.port.size() ||
      port == 0 || port > 65'535) {
    return Error(Code::InvalidArgument, "`" + text + "` is not an address of the form host:port");
  }
  return out;
}

Status check_options(const BrokerOptions& options) {
  if (options.addresses.empty()) return Error(Code::InvalidArgument, "the broker has no address");
  for (const std::string& address : options.addresses) {
    auto parsed = parse_address(address);
    if (!parsed.ok()) return parsed.error();
  }
  const bool good_prefix = !options.prefix.empty() && options.prefix.size() <= 16 &&
                           std::ranges::all_of(options.prefix, [](char c) {
                             return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
                           });
  if (!good_prefix) {
    return Error(Code::InvalidArgument, "the prefix `" + options.prefix + "` is not 1 to 16 of a-z and 0-9");
  }
  if (options.cert_file.empty() != options.key_file.empty()) {
    return Error(Code::InvalidArgument, "a client certificate and its key go together");
  }
  if (!options.tls && !options.ca_file.empty()) {
    return Error(Code::InvalidArgument, "a CA file is given, but TLS is off");
  }
  if (options.connect_timeout_ms < 1 || options.request_timeout_ms < 1 || options.publish_timeout_ms < 1) {
    return Error(Code::InvalidArgument, "a timeout of the broker is not positive");
  }
  return {};
}

}  // namespace ez::queue::broker
