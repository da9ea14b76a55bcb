#include "http/router.h"

#include "base/check.h"
#include "http/url.h"

namespace ez::http {
namespace {

constexpr std::size_t kMaxSegments = 32;

bool is_name(std::string_view text) {
  return !text.empty() &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string_view::npos;
}

// The next segment of a path that begins with '/'; removes it.
std::string_view take_segment(std::string_view& path) {
  path.remove_prefix(1);
  const std::size_t slash = path.find('/');
  const std::string_view segment = path.substr(0, slash);
  path = slash == std::string_view::npos ? std::string_view() : path.substr(slash);
  return segment;
}

}  // namespace

struct Router::Node {
  std::vector<std::pair<std::string, std::unique_ptr<Node>>> literals;
  std::unique_ptr<Node> named;
  std::string name;  // of the segment that leads to `named`
  std::vector<const Route*> routes;

  [[nodiscard]] Node* literal(std::string_view segment) const {
    for (const auto& child : literals) {
      if (child.first == segment) return child.second.get();
    }
    return nullptr;
  }

  // Depth-first with literals before names. Nodes with names are few, so the search is short; kMaxSegments
  // bounds it.
  const Node* find(std::string_view path,
                   std::vector<std::pair<std::string_view, std::string_view>>& raw) const {
    if (path.empty()) return routes.empty() ? nullptr : this;
    const std::string_view segment = take_segment(path);
    if (segment.empty()) return nullptr;
    if (const Node* child = literal(segment); child != nullptr) {
      if (const Node* found = child->find(path, raw); found != nullptr) return found;
    }
    if (named == nullptr) return nullptr;
    raw.emplace_back(name, segment);
    if (const Node* found = named->find(path, raw); found != nullptr) return found;
    raw.pop_back();
    return nullptr;
  }
};

Router::Router() : root_(std::make_unique<Node>()) {}
Router::~Router() = default;
Router::Router(Router&&) noexcept = default;
Router& Router::operator=(Router&&) noexcept = default;

void Router::add(Route route) {
  routes_.push_back(std::make_unique<Route>(std::move(route)));
  const Route& added = *routes_.back();
  EZ_CHECK(added.handler != nullptr, "a route without a handler");
  EZ_CHECK(added.pattern.starts_with('/'), "a route's pattern begins with '/'");
  Node* node = root_.get();
  std::string_view path = added.pattern;
  while (!path.empty()) {
    const std::string_view segment = take_segment(path);
    EZ_CHECK(!segment.empty(), "a route's pattern has an empty segment");
    if (segment.front() == '{') {
      const std::string_view name = segment.substr(1, segment.size() - 2);
      EZ_CHECK(segment.back() == '}' && is_name(name), "a malformed name in a route's pattern");
      if (node->named == nullptr) {
        node->named = std::make_unique<Node>();
        node->name = name;
      }
      EZ_CHECK(node->name == name, "two routes name the same path segment differently");
      node = node->named.get();
    } else {
      Node* child = node->literal(segment);
      if (child == nullptr) {
        node->literals.emplace_back(segment, std::make_unique<Node>());
        child = node->literals.back().second.get();
      }
      node = child;
    }
  }
  for (const Route* other : node->routes)
    EZ_CHECK(other->method != added.method, "two routes for one endpoint");
  node->routes.push_back(&added);
}

std::variant<Router::Found, Router::Missing> Router::match(Method method, std::string_view path,
                                                           Parameters& parameters) const {
  parameters.clear();
  std::size_t segments = 0;
  for (const char c : path) segments += c == '/' ? 1 : 0;
  std::vector<std::pair<std::string_view, std::string_view>> raw;
  const Node* node = segments <= kMaxSegments && path.starts_with('/') ? root_->find(path, raw) : nullptr;
  if (node == nullptr) {
    return Missing{Error(Code::EndpointNotFound, "there is no endpoint " + std::string(path.substr(0, 256))),
                   ""};
  }
  const Route* found = nullptr;
  const Route* get = nullptr;
  std::string allow;
  for (const Route* route : node->routes) {
    if (route->method == method) found = route;
    if (route->method == Method::kGet) get = route;
    if (!allow.empty()) allow += ", ";
    allow += method_name(route->method);
    if (route->method == Method::kGet) allow += ", HEAD";
  }
  const bool head_of_get = found == nullptr && method == Method::kHead && get != nullptr;
  if (head_of_get) found = get;
  if (found == nullptr) {
    return Missing{
        Error(Code::MethodNotAllowed, std::string(path.substr(0, 256)) + " knows " + allow + " only"), allow};
  }
  for (const auto& [name, segment] : raw) {
    auto value = percent_decode(segment, false);
    if (!value) {
      return Missing{
          Error(Code::RequestInvalid, "the path segment for {" + std::string(name) +
                                          "} is not percent-encoded UTF-8 without control characters"),
          ""};
    }
    parameters.emplace_back(name, std::move(*value));
  }
  return Found{found, head_of_get};
}

std::vector<const Route*> Router::routes() const {
  std::vector<const Route*> out;
  for (const auto& route : routes_) out.push_back(route.get());
  return out;
}

}  // namespace ez::http
