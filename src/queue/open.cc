#include "queue/open.h"

#include <charconv>
#include <fstream>
#include <iterator>
#include <map>

#include "queue/kafka/kafka_bus.h"
#include "queue/rabbitmq/rabbitmq_bus.h"
#include "queue/redis/redis_bus.h"

namespace ez::queue {
namespace {

constexpr std::size_t kMaxUrlBytes = 4096;

Error wrong(const std::string& what) {
  return Error(Code::InvalidArgument, "the address of the broker: " + what);
}

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

Result<std::string> decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    const int high = i + 2 < text.size() ? hex(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex(text[i + 2]) : -1;
    if (high < 0 || low < 0) return wrong("a % is not followed by two hexadecimal digits");
    out.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return out;
}

struct Parts {
  std::string scheme;
  std::string path;  // without the slash
  broker::BrokerOptions broker;
  std::map<std::string, std::string> settings;
};

Status read_user(std::string_view text, broker::BrokerOptions& broker) {
  const std::size_t colon = text.find(':');
  EZ_ASSIGN(broker.user, decode(text.substr(0, colon)));
  if (colon == std::string_view::npos) return {};
  EZ_ASSIGN(broker.password, decode(text.substr(colon + 1)));
  return {};
}

Result<Parts> take_apart(std::string_view url) {
  if (url.size() > kMaxUrlBytes) return wrong("it is longer than 4,096 bytes");
  Parts out;
  const std::size_t colon = url.find("://");
  if (colon == std::string_view::npos) return wrong("it does not begin like redis://, amqp:// or kafka://");
  out.scheme = url.substr(0, colon);
  url.remove_prefix(colon + 3);
  std::string_view query;
  if (const std::size_t mark = url.find('?'); mark != std::string_view::npos) {
    query = url.substr(mark + 1);
    url = url.substr(0, mark);
  }
  if (const std::size_t slash = url.find('/'); slash != std::string_view::npos) {
    EZ_ASSIGN(out.path, decode(url.substr(slash + 1)));
    url = url.substr(0, slash);
  }
  if (const std::size_t at = url.rfind('@'); at != std::string_view::npos) {
    EZ_TRY(read_user(url.substr(0, at), out.broker));
    url.remove_prefix(at + 1);
  }
  while (!url.empty()) {
    const std::size_t comma = url.find(',');
    out.broker.addresses.emplace_back(url.substr(0, comma));
    url = comma == std::string_view::npos ? std::string_view() : url.substr(comma + 1);
  }
  while (!query.empty()) {
    const std::string_view one = query.substr(0, query.find('&'));
    query = one.size() == query.size() ? std::string_view() : query.substr(one.size() + 1);
    const std::size_t equals = one.find('=');
    if (equals == std::string_view::npos) return wrong("`" + std::string(one) + "` is not NAME=VALUE");
    EZ_ASSIGN(std::string value, decode(one.substr(equals + 1)));
    if (!out.settings.emplace(one.substr(0, equals), std::move(value)).second) {
      return wrong(std::string(one.substr(0, equals)) + " is there twice");
    }
  }
  return out;
}

// Takes settings out of the map, so that what is left over is not known.
class Settings {
 public:
  explicit Settings(std::map<std::string, std::string> all) : all_(std::move(all)) {}

  void text(const char* name, std::string& out) {
    if (auto found = all_.extract(name)) out = std::move(found.mapped());
  }
  template <typename Number>
  Status number(const char* name, Number& out) {
    const auto found = all_.extract(name);
    if (!found) return {};
    const std::string& value = found.mapped();
    const auto read = std::from_chars(value.data(), value.data() + value.size(), out);
    if (read.ec == std::errc() && read.ptr == value.data() + value.size()) return {};
    return wrong(std::string(name) + "=" + value + " is not a number that is possible there");
  }
  // The first line of the file that the setting names.
  Status secret(const char* name, std::string& out) {
    std::string path;
    text(name, path);
    if (path.empty()) return {};
    std::ifstream file(path);
    if (!std::getline(file, out))
      return Error(Code::IoFailed, "the password file " + path + " cannot be read");
    return {};
  }
  Status common(broker::BrokerOptions& out) {
    text("prefix", out.prefix);
    text("ca", out.ca_file);
    text("cert", out.cert_file);
    text("key", out.key_file);
    text("server_name", out.server_name);
    EZ_TRY(secret("password_file", out.password));
    EZ_TRY(number("connect_timeout_ms", out.connect_timeout_ms));
    EZ_TRY(number("request_timeout_ms", out.request_timeout_ms));
    return number("publish_timeout_ms", out.publish_timeout_ms);
  }
  [[nodiscard]] Status nothing_left() const {
    if (all_.empty()) return {};
    return wrong("there is no setting " + all_.begin()->first);
  }

 private:
  std::map<std::string, std::string> all_;
};

Result<std::unique_ptr<Bus>> open_redis_url(Parts parts, std::string_view kind) {
  redis::RedisOptions options;
  options.broker = std::move(parts.broker);
  if (kind == "+cluster") options.mode = redis::Mode::kCluster;
  if (kind == "+sentinel") options.mode = redis::Mode::kSentinel;
  options.master_name = parts.path;
  if (!parts.path.empty() && options.mode != redis::Mode::kSentinel) {
    return wrong("a path has a meaning with Sentinels only; streams are in database 0");
  }
  Settings settings(std::move(parts.settings));
  EZ_TRY(settings.common(options.broker));
  EZ_TRY(settings.number("duplicate_ids", options.duplicate_ids));
  EZ_TRY(settings.number("max_messages", options.max_messages));
  EZ_TRY(settings.number("wait_replicas", options.wait_replicas));
  EZ_TRY(settings.number("alive_ms", options.alive_ms));
  EZ_TRY(settings.secret("sentinel_password_file", options.sentinel_password));
  EZ_TRY(settings.nothing_left());
  return redis::open_redis(std::move(options));
}

Result<std::unique_ptr<Bus>> open_rabbitmq_url(Parts parts) {
  rabbitmq::RabbitOptions options;
  options.broker = std::move(parts.broker);
  if (!parts.path.empty()) options.vhost = parts.path;
  Settings settings(std::move(parts.settings));
  EZ_TRY(settings.common(options.broker));
  std::string queues = "quorum";
  settings.text("queues", queues);
  if (queues != "quorum" && queues != "classic") return wrong("queues is quorum or classic");
  options.quorum = queues == "quorum";
  EZ_TRY(settings.number("prefetch", options.prefetch));
  EZ_TRY(settings.nothing_left());
  return rabbitmq::open_rabbitmq(std::move(options));
}

Result<std::unique_ptr<Bus>> open_kafka_url(Parts parts) {
  if (!parts.path.empty()) return wrong("a path has no meaning with Kafka");
  kafka::KafkaOptions options;
  options.broker = std::move(parts.broker);
  Settings settings(std::move(parts.settings));
  EZ_TRY(settings.common(options.broker));
  settings.text("sasl", options.sasl);
  EZ_TRY(settings.number("partitions", options.partitions));
  EZ_TRY(settings.number("replicas", options.replicas));
  EZ_TRY(settings.number("retention_ms", options.retention_ms));
  EZ_TRY(settings.number("alive_ms", options.alive_ms));
  EZ_TRY(settings.number("max_message_bytes", options.max_message_bytes));
  EZ_TRY(settings.nothing_left());
  return kafka::open_kafka(std::move(options));
}

}  // namespace

Result<std::unique_ptr<Bus>> open_bus(std::string_view url) {
  EZ_ASSIGN(Parts parts, take_apart(url));
  std::string_view scheme = parts.scheme;
  const std::size_t plus = std::min(scheme.find('+'), scheme.size());
  const std::string kind(scheme.substr(plus));
  scheme = scheme.substr(0, plus);
  const bool redis = scheme == "redis" || scheme == "rediss";
  parts.broker.tls = scheme == "rediss" || scheme == "amqps" || scheme == "kafkas";
  if (redis && (kind.empty() || kind == "+cluster" || kind == "+sentinel")) {
    return open_redis_url(std::move(parts), kind);
  }
  if ((scheme == "amqp" || scheme == "amqps") && kind.empty()) return open_rabbitmq_url(std::move(parts));
  if ((scheme == "kafka" || scheme == "kafkas") && kind.empty()) return open_kafka_url(std::move(parts));
  return wrong("there is no kind of broker `" + parts.scheme + "`");
}

std::string without_password(std::string_view url) {
  const std::size_t begin = url.find("://");
  if (begin == std::string_view::npos) return std::string(url);
  const std::size_t end = std::min(url.find_first_of("/?", begin + 3), url.size());
  const std::size_t at = url.substr(0, end).rfind('@');
  const std::size_t colon = url.find(':', begin + 3);
  if (at == std::string_view::npos || colon == std::string_view::npos || colon > at) return std::string(url);
  return std::string(url.substr(0, colon)) + std::string(url.substr(at));
}

}  // namespace ez::queue
