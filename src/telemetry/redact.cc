#include "telemetry/redact.h"

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <tuple>
#include <vector>

#include "base/json.h"

namespace ez::telemetry {
namespace {

constexpr std::string_view kSecretNames[] = {"password",    "passwd", "secret",        "api_key",
                                             "apikey",      "token",  "authorization", "credential",
                                             "private_key", "cookie"};

std::string percent_encoded(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += '%';
      out += kHex[static_cast<unsigned char>(c) >> 4];
      out += kHex[static_cast<unsigned char>(c) & 15];
    }
  }
  return out;
}

// The forms in which a value may stand in a text.
std::set<std::string> forms_of(std::string_view value) {
  std::string json;
  append_json_string(json, value);
  return {std::string(value), json.substr(1, json.size() - 2), percent_encoded(value)};
}

bool equal_no_case(std::string_view text, std::string_view lower) {
  return text.size() == lower.size() &&
         std::equal(text.begin(), text.end(), lower.begin(), [](char a, char b) {
           return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
         });
}

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// The length of the credential that starts at text[0] after "Bearer " or "Basic "; the scheme word stays
// readable. Returns {length of the scheme with its blank, length of the credential}, or zeros.
std::pair<std::size_t, std::size_t> scheme_credential(std::string_view text) {
  for (const std::string_view scheme : {std::string_view("bearer "), std::string_view("basic ")}) {
    if (!equal_no_case(text.substr(0, scheme.size()), scheme)) continue;
    std::size_t end = scheme.size();
    while (end < text.size() && !is_blank(text[end]) && text[end] != '"' && text[end] != '\'' &&
           text[end] != ',')
      ++end;
    if (end - scheme.size() >= 8) return {scheme.size(), end - scheme.size()};  // shorter: an ordinary word
  }
  return {0, 0};
}

// At "://": the length up to and with the colon of user:password@, and that of the password; or zeros.
std::pair<std::size_t, std::size_t> url_password(std::string_view text) {
  if (!text.starts_with("://")) return {0, 0};
  std::size_t colon = 0;
  constexpr std::size_t kFar = 2048;
  for (std::size_t i = 3; i < text.size() && i < kFar; ++i) {
    const char c = text[i];
    if (is_blank(c) || c == '/' || c == '"' || c == '\'' || c == '?' || c == '#') return {0, 0};
    if (c == ':' && colon == 0) colon = i;
    if (c == '@')
      return colon != 0 && i > colon + 1 ? std::pair(colon + 1, i - colon - 1)
                                         : std::pair<std::size_t, std::size_t>();
  }
  return {0, 0};
}

}  // namespace

bool is_secret_name(std::string_view name, bool number) {
  std::string plain;
  for (const char c : name) {
    plain += c == '-' ? '_' : c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  for (const std::string_view secret : kSecretNames) {
    const auto at = plain.find(secret);
    if (at == std::string::npos) continue;
    if (secret == "token" && number && plain.find("tokens") != std::string::npos) continue;
    return true;
  }
  return false;
}

struct Redactor::State {
  mutable std::shared_mutex mutex;
  std::map<std::string, int, std::less<>> secrets;                // value → how often it was registered
  std::array<std::vector<std::string>, 256> forms_by_first_byte;  // the longest first

  // Called with the lock held, after a change of secrets.
  void index() {
    std::set<std::string> forms;
    for (const auto& [value, count] : secrets) forms.merge(forms_of(value));
    for (auto& list : forms_by_first_byte) list.clear();
    for (const std::string& form : forms)
      forms_by_first_byte[static_cast<unsigned char>(form[0])].push_back(form);
    for (auto& list : forms_by_first_byte) {
      std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.size() > b.size(); });
    }
  }
};

Redactor::Redactor() : state_(std::make_unique<State>()) {}
Redactor::~Redactor() = default;

bool Redactor::add_secret(std::string_view value) {
  if (value.size() < kMinSecretBytes || value.size() > kMaxSecretBytes) return false;
  std::unique_lock lock(state_->mutex);
  const auto found = state_->secrets.find(value);
  if (found != state_->secrets.end()) {
    ++found->second;
    return true;
  }
  if (state_->secrets.size() >= kMaxSecrets) return false;
  state_->secrets.emplace(value, 1);
  // Added alone: building the whole index again for each of many secrets would be quadratic.
  for (const std::string& form : forms_of(value)) {
    auto& list = state_->forms_by_first_byte[static_cast<unsigned char>(form[0])];
    const auto at = std::find_if(list.begin(), list.end(),
                                 [&](const auto& other) { return other.size() <= form.size(); });
    list.insert(at, form);
  }
  return true;
}

void Redactor::remove_secret(std::string_view value) {
  std::unique_lock lock(state_->mutex);
  const auto found = state_->secrets.find(value);
  if (found == state_->secrets.end() || --found->second > 0) return;
  state_->secrets.erase(found);
  state_->index();
}

std::string Redactor::redact(std::string_view text, std::size_t limit) const {
  std::shared_lock lock(state_->mutex);
  std::string out;
  const std::size_t end = std::min(limit, text.size());
  out.reserve(end);
  for (std::size_t at = 0; at < end;) {
    const std::string_view rest = text.substr(at);
    std::size_t secret = 0;
    for (const std::string& form : state_->forms_by_first_byte[static_cast<unsigned char>(rest[0])]) {
      if (rest.starts_with(form)) {
        secret = form.size();
        break;
      }
    }
    std::size_t keep = 0;  // bytes before the secret that stay
    if (secret == 0 && (rest[0] == 'b' || rest[0] == 'B')) std::tie(keep, secret) = scheme_credential(rest);
    if (secret == 0 && rest[0] == ':') std::tie(keep, secret) = url_password(rest);
    if (secret == 0) {
      out += rest[0];
      ++at;
    } else {
      out += rest.substr(0, keep);
      out += kRedacted;
      at += keep + secret;
    }
  }
  return out;
}

}  // namespace ez::telemetry
