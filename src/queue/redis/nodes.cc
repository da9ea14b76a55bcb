#include "queue/redis/nodes.h"

namespace ez::queue::redis {
namespace {

constexpr int kRedirections = 5;
constexpr std::uint16_t kSlots = 16'384;

bool moved(const Reply& refusal) { return refusal.is_error() && refusal.text.rfind("MOVED ", 0) == 0; }

}  // namespace

std::uint16_t slot_of(std::string_view tag) {
  std::uint16_t crc = 0;
  for (const char c : tag) {
    crc = static_cast<std::uint16_t>(crc ^ (static_cast<unsigned char>(c) << 8));
    for (int bit = 0; bit < 8; ++bit) {
      crc = static_cast<std::uint16_t>((crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1);
    }
  }
  return crc % kSlots;
}

Result<Connection*> Nodes::connect(const std::string& address) {
  auto& place = connections_[address];
  if (!place) {
    EZ_ASSIGN(const broker::Address parsed, broker::parse_address(address));
    EZ_ASSIGN(place, Connection::open(options_.broker, parsed));
  }
  return place.get();
}

Result<std::string> Nodes::primary_by_sentinel() const {
  Error last(Code::QueueUnreachable, "no Sentinel");
  for (const std::string& address : options_.broker.addresses) {
    broker::BrokerOptions as = options_.broker;
    as.user.clear();
    as.password = options_.sentinel_password;
    EZ_ASSIGN(const broker::Address parsed, broker::parse_address(address));
    auto sentinel = Connection::open(as, parsed);
    if (!sentinel.ok()) {
      last = sentinel.error();
      continue;
    }
    auto answer = (*sentinel)->ask({"SENTINEL", "GET-MASTER-ADDR-BY-NAME", options_.master_name});
    if (!answer.ok()) {
      last = answer.error();
    } else if (answer->list.size() == 2) {
      return answer->at(0).text + ":" + answer->at(1).text;
    } else {
      return Error(Code::QueueRefused,
                   address + ": the Sentinel knows no primary `" + options_.master_name + "`");
    }
  }
  return last;
}

Status Nodes::read_slots() {
  Error last(Code::QueueUnreachable, "no node of the cluster answers");
  for (const std::string& address : options_.broker.addresses) {
    auto connection = connect(address);
    if (!connection.ok()) {
      connections_.erase(address);
      last = connection.error();
      continue;
    }
    EZ_ASSIGN(const Reply answer, (*connection)->ask({"CLUSTER", "SLOTS"}));
    slots_.clear();
    for (const Reply& range : answer.list) {
      std::string host = range.at(2).at(0).text;
      if (host.empty()) host = address.substr(0, address.rfind(':'));
      slots_[static_cast<std::uint16_t>(range.at(1).number)] =
          host + ":" + std::to_string(range.at(2).at(1).number);
    }
    if (!slots_.empty()) return {};
    last = Error(Code::QueueUnreachable, address + ": the cluster serves no slots");
  }
  return last;
}

Result<Connection*> Nodes::of(std::string_view tag) {
  if (options_.mode == Mode::kCluster) {
    if (slots_.empty()) EZ_TRY(read_slots());
    const auto range = slots_.lower_bound(slot_of(tag));
    if (range == slots_.end())
      return Error(Code::QueueUnreachable, "no node of the cluster serves this topic");
    return connect(range->second);
  }
  if (!only_.empty()) return connect(only_);
  if (options_.mode == Mode::kSentinel) {
    EZ_ASSIGN(const std::string address, primary_by_sentinel());
    EZ_ASSIGN(Connection* const connection, connect(address));
    EZ_ASSIGN(const Reply role, connection->ask({"ROLE"}));
    if (role.at(0).text != "master") {
      return Error(Code::QueueUnreachable, address + " is not the primary (yet)");
    }
    only_ = address;
    return connection;
  }
  Error last(Code::QueueUnreachable, "no address");
  for (const std::string& address : options_.broker.addresses) {
    auto connection = connect(address);
    if (connection.ok()) {
      only_ = address;
      return *connection;
    }
    connections_.erase(address);
    last = connection.error();
  }
  return last;
}

Result<Connection*> Nodes::beside(const Nodes& other, const Connection* connection) {
  for (const auto& [address, one] : other.connections_) {
    if (one.get() == connection) return connect(address);
  }
  return Error(Code::QueueUnreachable, "the connection is gone");
}

Result<Reply> Nodes::redirect(std::string_view tag, Reply refusal, const Words& words) {
  for (int i = 0; i < kRedirections && moved(refusal); ++i) {
    // Other slots have probably moved too.
    EZ_TRY(read_slots());
    EZ_ASSIGN(Connection* const connection, of(tag));
    EZ_ASSIGN(refusal, connection->call(words));
  }
  return refusal;
}

Result<Reply> Nodes::ask(std::string_view tag, const Words& words) {
  EZ_ASSIGN(Connection* const connection, of(tag));
  EZ_ASSIGN(Reply reply, connection->call(words));
  if (reply.is_error()) {
    EZ_ASSIGN(reply, redirect(tag, std::move(reply), words));
  }
  if (reply.is_error()) return answer_error(connection->where(), reply.text);
  return reply;
}

}  // namespace ez::queue::redis
