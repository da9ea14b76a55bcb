#include "http/url.h"

#include <charconv>

namespace ez::http {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

// Well-formed UTF-8 (Unicode 15, table 3-7) without control characters.
bool is_clean_text(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    if (lead < 0x20 || lead == 0x7f) return false;
    if (lead < 0x80) {
      ++i;
      continue;
    }
    const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || i + length > text.size()) return false;
    for (std::size_t k = 1; k < length; ++k) {
      if ((static_cast<unsigned char>(text[i + k]) & 0xc0) != 0x80) return false;
    }
    const auto second = static_cast<unsigned char>(text[i + 1]);
    // Overlong forms, surrogates and what lies beyond U+10FFFF.
    if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) ||
        (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f)) {
      return false;
    }
    i += length;
  }
  return true;
}

Error bad_parameter(std::string_view name, const std::string& what) {
  return Error(Code::RequestInvalid, "query parameter " + std::string(name) + " " + what);
}

}  // namespace

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = hex_digit(text[i + 1]);
      const int low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    } else if (c == '+' && plus_is_space) {
      c = ' ';
    }
    out.push_back(c);
  }
  if (!is_clean_text(out)) return std::nullopt;
  return out;
}

std::string percent_encode(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if (is_unreserved(c)) {
      out.push_back(c);
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out.push_back('%');
    out.push_back(kHex[byte >> 4]);
    out.push_back(kHex[byte & 15]);
  }
  return out;
}

Result<Query> Query::parse(std::string_view text) {
  Query query;
  while (!text.empty()) {
    const std::size_t end = text.find('&');
    const std::string_view pair = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (pair.empty()) continue;
    const std::size_t equals = pair.find('=');
    auto name = percent_decode(pair.substr(0, equals), true);
    auto value = percent_decode(equals == std::string_view::npos ? "" : pair.substr(equals + 1), true);
    if (!name || !value || name->empty()) {
      return Error(Code::RequestInvalid, "the query holds a parameter that is not percent-encoded UTF-8");
    }
    if (query.find(*name) != nullptr) return bad_parameter(*name, "is given twice");
    if (query.parameters_.size() == kMaxQueryParameters) {
      return Error(Code::RequestInvalid,
                   "the query has more than " + std::to_string(kMaxQueryParameters) + " parameters");
    }
    query.parameters_.emplace_back(std::move(*name), std::move(*value));
  }
  return query;
}

const std::string* Query::find(std::string_view name) const {
  for (const auto& parameter : parameters_) {
    if (parameter.first == name) return &parameter.second;
  }
  return nullptr;
}

Result<std::int64_t> Query::number(std::string_view name, std::int64_t fallback, std::int64_t least,
                                   std::int64_t most) const {
  const std::string* text = find(name);
  if (text == nullptr) return fallback;
  std::int64_t value = 0;
  const char* end = text->data() + text->size();
  const auto [stop, failure] = std::from_chars(text->data(), end, value);
  if (failure != std::errc() || stop != end || value < least || value > most) {
    return bad_parameter(name,
                         "must be an integer from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return value;
}

Status Query::only(std::initializer_list<std::string_view> names) const {
  for (const auto& parameter : parameters_) {
    bool known = false;
    for (const std::string_view name : names) known = known || parameter.first == name;
    if (!known) return bad_parameter(parameter.first, "is not known here");
  }
  return {};
}

Result<Target> split_target(std::string_view target) {
  Target out;
  if (target.size() > kMaxTargetBytes) {
    return Error(Code::RequestInvalid,
                 "the request target is longer than " + std::to_string(kMaxTargetBytes) + " bytes");
  }
  if (target.starts_with("http://") || target.starts_with("https://")) {
    target.remove_prefix(target.find("//") + 2);
    const std::size_t slash = target.find('/');
    out.authority = target.substr(0, slash);
    target = slash == std::string_view::npos ? std::string_view("/") : target.substr(slash);
    if (out.authority.empty()) return Error(Code::RequestInvalid, "the request target names no host");
  }
  if (target.empty() || target.front() != '/' || target.find('#') != std::string_view::npos) {
    return Error(Code::RequestInvalid, "the request target must be a path that begins with '/'");
  }
  const std::size_t question = target.find('?');
  out.path = target.substr(0, question);
  if (question != std::string_view::npos) out.query = target.substr(question + 1);
  return out;
}

std::string ServerAddress::authority() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<ServerAddress> parse_server_address(std::string_view url) {
  const auto bad = [&](const std::string& why) {
    return Error(Code::InvalidArgument, "server address '" + std::string(url) + "' " + why,
                 "Give it as http://HOST:PORT.");
  };
  std::string_view rest = url;
  if (!rest.starts_with("http://")) return bad("does not begin with http://");
  rest.remove_prefix(7);
  if (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.find_first_of("/?#@ ") != std::string_view::npos) return bad("holds more than a host and a port");
  ServerAddress address;
  std::string_view port;
  if (rest.starts_with('[')) {
    const std::size_t close = rest.find(']');
    if (close == std::string_view::npos) return bad("has an open bracket");
    address.host = rest.substr(1, close - 1);
    rest.remove_prefix(close + 1);
    if (!rest.empty() && rest.front() != ':') return bad("has text after the bracket");
    if (!rest.empty()) port = rest.substr(1);
  } else {
    const std::size_t colon = rest.find(':');
    address.host = rest.substr(0, colon);
    if (colon != std::string_view::npos) port = rest.substr(colon + 1);
  }
  if (address.host.empty()) return bad("names no host");
  if (!port.empty()) {
    const auto [stop, failure] = std::from_chars(port.data(), port.data() + port.size(), address.port);
    if (failure != std::errc() || stop != port.data() + port.size() || address.port == 0)
      return bad("has a bad port");
  }
  return address;
}

}  // namespace ez::http
