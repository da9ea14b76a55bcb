// What all broker backends need to know of their broker.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace ez::queue::broker {

struct BrokerOptions {
  std::vector<std::string> addresses;  // host:port, [v6]:port; tried in turn
  std::string user;                    // empty: no credentials are sent
  std::string password;
  bool tls = false;
  std::string ca_file;    // whom to trust; empty: the system's authorities
  std::string cert_file;  // of this client, when the broker asks for one
  std::string key_file;
  std::string server_name;    // expected in the certificate; empty: the host of the address
  std::string prefix = "ez";  // of everything that is made at the broker: [a-z0-9]{1,16}

  std::int64_t connect_timeout_ms = 2'000;
  std::int64_t request_timeout_ms = 3'000;    // of one answer of the broker
  std::int64_t publish_timeout_ms = 5'000;    // how long a message may wait for a connection
  std::size_t max_pending_bytes = 64U << 20;  // published and not answered
};

// INVALID_ARGUMENT names what is wrong; never shows the password.
[[nodiscard]] Status check_options(const BrokerOptions& options);

struct Address {
  std::string host;
  std::string port;
};
[[nodiscard]] Result<Address> parse_address(const std::string& text);

}  // namespace ez::queue::broker
