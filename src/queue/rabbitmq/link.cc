#include "queue/rabbitmq/link.h"

#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <poll.h>
#include <sys/socket.h>

#include <charconv>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <thread>

#include "base/clock.h"
#include "queue/broker/stream.h"

namespace ez::queue::rabbitmq {
namespace {

constexpr amqp_channel_t kChannel = 1;
constexpr int kFrameBytes = 131'072;

std::int64_t now_us() { return system_clock().monotonic_us(); }

amqp_bytes_t bytes_of(std::string_view text) {
  return {text.size(), const_cast<char*>(text.data())};  // librabbitmq only reads it
}
std::string text_of(amqp_bytes_t bytes) { return {static_cast<const char*>(bytes.bytes), bytes.len}; }

timeval time_of(std::int64_t us) {
  return {static_cast<time_t>(us / 1'000'000), static_cast<suseconds_t>(us % 1'000'000)};
}

// A table in AMQP's form; the strings stay the caller's.
class AmqpTable {
 public:
  explicit AmqpTable(const Table& from) {
    for (const auto& [name, value] : from) add(name, value);
  }
  AmqpTable() = default;
  void add(std::string_view name, const TableValue& value) {
    amqp_table_entry_t entry{};
    entry.key = bytes_of(name);
    if (const auto* number = std::get_if<std::int64_t>(&value)) {
      entry.value.kind = AMQP_FIELD_KIND_I64;
      entry.value.value.i64 = *number;
    } else if (const auto* flag = std::get_if<bool>(&value)) {
      entry.value.kind = AMQP_FIELD_KIND_BOOLEAN;
      entry.value.value.boolean = *flag ? 1 : 0;
    } else {
      entry.value.kind = AMQP_FIELD_KIND_UTF8;
      entry.value.value.bytes = bytes_of(std::get<std::string>(value));
    }
    entries_.push_back(entry);
  }
  void add_text(std::string_view name, std::string_view value) {
    amqp_table_entry_t entry{};
    entry.key = bytes_of(name);
    entry.value.kind = AMQP_FIELD_KIND_UTF8;
    entry.value.value.bytes = bytes_of(value);
    entries_.push_back(entry);
  }
  [[nodiscard]] amqp_table_t get() { return {static_cast<int>(entries_.size()), entries_.data()}; }

 private:
  std::vector<amqp_table_entry_t> entries_;
};

// What of a message's headers is a text or a number; RabbitMQ's own lists (x-death) are left out.
Table read_table(const amqp_table_t& from) {
  Table out;
  for (int i = 0; i < from.num_entries; ++i) {
    const amqp_table_entry_t& entry = from.entries[i];
    std::string name = text_of(entry.key);
    if (name.rfind("x-first-death-", 0) == 0 || name.rfind("x-last-death-", 0) == 0) continue;
    switch (entry.value.kind) {
      case AMQP_FIELD_KIND_UTF8:
      case AMQP_FIELD_KIND_BYTES:
        out.emplace_back(std::move(name), text_of(entry.value.value.bytes));
        break;
      case AMQP_FIELD_KIND_I64:
        out.emplace_back(std::move(name), entry.value.value.i64);
        break;
      case AMQP_FIELD_KIND_I32:
        out.emplace_back(std::move(name), std::int64_t{entry.value.value.i32});
        break;
      default:
        break;
    }
  }
  return out;
}

Content read_content(const amqp_message_t& message) {
  Content out;
  out.body = text_of(message.body);
  if ((message.properties._flags & AMQP_BASIC_MESSAGE_ID_FLAG) != 0)
    out.id = text_of(message.properties.message_id);
  if ((message.properties._flags & AMQP_BASIC_HEADERS_FLAG) != 0)
    out.headers = read_table(message.properties.headers);
  return out;
}

// Shuts the socket down when a call takes too long, so that the call ends with an error.
class Watchdog {
 public:
  explicit Watchdog(std::int64_t limit_us) : limit_us_(limit_us), thread_([this] { loop(); }) {}
  ~Watchdog() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  void arm(int fd) {
    std::lock_guard lock(mutex_);
    fd_ = fd;
    // The thread looks again by itself; it is not woken for each call.
    deadline_us_ = now_us() + limit_us_;
  }
  void disarm() {
    std::lock_guard lock(mutex_);
    fd_ = -1;
  }

 private:
  void loop() {
    std::unique_lock lock(mutex_);
    while (!stop_) {
      if (fd_ >= 0 && deadline_us_ <= now_us()) {
        ::shutdown(fd_, SHUT_RDWR);
        fd_ = -1;
      }
      changed_.wait_for(lock, std::chrono::microseconds(limit_us_ / 4));
    }
  }
  const std::int64_t limit_us_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int fd_ = -1;
  std::int64_t deadline_us_ = 0;
  bool stop_ = false;
  std::thread thread_;
};

Error broker_error(const std::string& where, int code, const std::string& text) {
  const std::string message = where + ": " + std::to_string(code) + " " + text;
  switch (code) {
    case 403:
    case 530:  // NOT_ALLOWED: the virtual host
      return Error(Code::QueueRefused, message);
    case 404:
      // It exists, but not yet: the broker is still starting, or its node is down.
      if (text.find("down or inaccessible") != std::string::npos)
        return Error(Code::QueueUnreachable, message);
      return Error(Code::TopicNotFound, message);
    case 406:  // PRECONDITION_FAILED: it exists with other settings
      return Error(
          Code::QueueProtocol, message,
          "What is at the broker was made with other settings; remove it there or use another prefix.");
    default:
      return Error(Code::QueueUnreachable, message);
  }
}

}  // namespace

struct Link::Impl {
  amqp_connection_state_t state = nullptr;
  std::string where;
  std::unique_ptr<Watchdog> watchdog;
  std::int64_t request_us = 0;
  int close_code = 0;  // with which the broker closed the channel last

  ~Impl() {
    watchdog.reset();
    if (state != nullptr) ::amqp_destroy_connection(state);
  }
  void arm() { watchdog->arm(::amqp_get_sockfd(state)); }

  [[nodiscard]] Error library_error(int status) const {
    const std::string why = where + ": " + ::amqp_error_string2(status);
    switch (status) {
      case AMQP_STATUS_BAD_AMQP_DATA:
      case AMQP_STATUS_INCOMPATIBLE_AMQP_VERSION:
      case AMQP_STATUS_UNKNOWN_CLASS:
      case AMQP_STATUS_UNKNOWN_METHOD:
      case AMQP_STATUS_WRONG_METHOD:
        return Error(Code::QueueProtocol, why);
      case AMQP_STATUS_SSL_HOSTNAME_VERIFY_FAILED:
      case AMQP_STATUS_SSL_PEER_VERIFY_FAILED:
        return Error(Code::QueueTlsFailed, why);
      default:
        return Error(Code::QueueUnreachable, why);
    }
  }
  [[nodiscard]] Error closed(const amqp_method_t& method) {
    if (method.id == AMQP_CHANNEL_CLOSE_METHOD) {
      const auto* close = static_cast<const amqp_channel_close_t*>(method.decoded);
      close_code = close->reply_code;
      return broker_error(where, close->reply_code, text_of(close->reply_text));
    }
    if (method.id == AMQP_CONNECTION_CLOSE_METHOD) {
      const auto* close = static_cast<const amqp_connection_close_t*>(method.decoded);
      return broker_error(where, close->reply_code, text_of(close->reply_text));
    }
    return Error(Code::QueueProtocol, where + ": method " + std::to_string(method.id) + " was not expected");
  }
  [[nodiscard]] Status check(const amqp_rpc_reply_t& reply) {
    watchdog->disarm();
    // Frees what the reply was decoded into, as far as nothing is read half.
    switch (reply.reply_type) {
      case AMQP_RESPONSE_NORMAL:
        ::amqp_maybe_release_buffers(state);
        return {};
      case AMQP_RESPONSE_LIBRARY_EXCEPTION:
        return library_error(reply.library_error);
      case AMQP_RESPONSE_SERVER_EXCEPTION:
        return closed(reply.reply);
      default:
        return Error(Code::QueueUnreachable, where + ": no answer");
    }
  }
  [[nodiscard]] Status check_last() { return check(::amqp_get_rpc_reply(state)); }
  [[nodiscard]] Status check_status(int status) {
    watchdog->disarm();
    return status == AMQP_STATUS_OK ? Status{} : Status(library_error(status));
  }
  Status connect(const RabbitOptions& options, const std::string& address, int heartbeat_s);
  Result<Event> read_event(const amqp_frame_t& frame);
  Result<Content> read_body(amqp_channel_t channel);
};

Link::Link(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Link::~Link() = default;

Status Link::Impl::connect(const RabbitOptions& options, const std::string& address, int heartbeat_s) {
  const broker::BrokerOptions& common = options.broker;
  where = address;
  request_us = common.request_timeout_ms * 1000;
  EZ_ASSIGN(const broker::Address parsed, broker::parse_address(address));
  watchdog = std::make_unique<Watchdog>(request_us);
  state = ::amqp_new_connection();
  amqp_socket_t* socket = common.tls ? ::amqp_ssl_socket_new(state) : ::amqp_tcp_socket_new(state);
  if (state == nullptr || socket == nullptr) return Error(Code::Internal, "no memory for a connection");
  if (common.tls) {
    const bool trusted = common.ca_file.empty() ||
                         ::amqp_ssl_socket_set_cacert(socket, common.ca_file.c_str()) == AMQP_STATUS_OK;
    const bool known = common.cert_file.empty() ||
                       ::amqp_ssl_socket_set_key(socket, common.cert_file.c_str(), common.key_file.c_str()) ==
                           AMQP_STATUS_OK;
    if (!trusted || !known) {
      return Error(Code::QueueTlsFailed, "the files of certificates or keys cannot be read: " +
                                             (trusted ? common.cert_file : common.ca_file));
    }
    ::amqp_ssl_socket_set_verify_peer(socket, 1);
    ::amqp_ssl_socket_set_verify_hostname(socket, 1);
  }
  const timeval connect_time = time_of(common.connect_timeout_ms * 1000);
  const timeval request_time = time_of(request_us);
  ::amqp_set_handshake_timeout(state, &connect_time);
  ::amqp_set_rpc_timeout(state, &request_time);
  int port = 0;
  std::from_chars(parsed.port.data(), parsed.port.data() + parsed.port.size(), port);
  const int opened = ::amqp_socket_open_noblock(socket, parsed.host.c_str(), port, &connect_time);
  if (opened != AMQP_STATUS_OK) {
    // librabbitmq does not say what was wrong with a handshake; one of our own does.
    if (common.tls) {
      auto tried = broker::Stream::connect(common, parsed);
      if (!tried.ok()) return tried.error();
    }
    return library_error(opened);
  }
  const std::string& user = common.user;
  // Otherwise RabbitMQ says nothing when a queue that is consumed is deleted, or its node has gone.
  amqp_table_entry_t capability{};
  capability.key = ::amqp_cstring_bytes("consumer_cancel_notify");
  capability.value.kind = AMQP_FIELD_KIND_BOOLEAN;
  capability.value.value.boolean = 1;
  amqp_table_entry_t property{};
  property.key = ::amqp_cstring_bytes("capabilities");
  property.value.kind = AMQP_FIELD_KIND_TABLE;
  property.value.value.table = {1, &capability};
  const amqp_table_t properties{1, &property};
  const auto login =
      ::amqp_login_with_properties(state, options.vhost.c_str(), 16, kFrameBytes, heartbeat_s, &properties,
                                   AMQP_SASL_METHOD_PLAIN, user.c_str(), common.password.c_str());
  if (login.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION &&
      login.library_error == AMQP_STATUS_CONNECTION_CLOSED) {
    return Error(Code::QueueUnreachable, where + ": closed the connection at the greeting; is it RabbitMQ?");
  }
  EZ_TRY(check(login));
  ::amqp_channel_open(state, kChannel);
  return check_last();
}

Result<std::unique_ptr<Link>> Link::open(const RabbitOptions& options, int heartbeat_s) {
  ::signal(SIGPIPE, SIG_IGN);  // librabbitmq's TLS writes with write()
  Error last(Code::QueueUnreachable, "no address");
  for (const std::string& address : options.broker.addresses) {
    auto impl = std::make_unique<Impl>();
    const Status status = impl->connect(options, address, heartbeat_s);
    if (status.ok()) return std::unique_ptr<Link>(new Link(std::move(impl)));
    last = status.error();
  }
  return last;
}

Status Link::declare_exchange(const std::string& name, const char* type) {
  impl_->arm();
  ::amqp_exchange_declare(impl_->state, kChannel, bytes_of(name), bytes_of(type), 0, 1, 0, 0, {0, nullptr});
  return impl_->check_last();
}

Status Link::declare_queue(const std::string& name, QueueFlags flags, const Table& arguments) {
  impl_->arm();
  AmqpTable table(arguments);
  ::amqp_queue_declare(impl_->state, kChannel, bytes_of(name), 0, flags.durable ? 1 : 0,
                       flags.exclusive ? 1 : 0, 0, table.get());
  return impl_->check_last();
}

Status Link::bind(const std::string& queue, const std::string& exchange, const std::string& key) {
  impl_->arm();
  ::amqp_queue_bind(impl_->state, kChannel, bytes_of(queue), bytes_of(exchange), bytes_of(key), {0, nullptr});
  return impl_->check_last();
}

Status Link::delete_queue(const std::string& name) {
  impl_->arm();
  ::amqp_queue_delete(impl_->state, kChannel, bytes_of(name), 0, 0);
  return impl_->check_last();
}

Status Link::delete_exchange(const std::string& name) {
  impl_->arm();
  ::amqp_exchange_delete(impl_->state, kChannel, bytes_of(name), 0);
  return impl_->check_last();
}

Result<std::uint64_t> Link::count(const std::string& queue) {
  impl_->arm();
  const auto* found = ::amqp_queue_declare(impl_->state, kChannel, bytes_of(queue), 1, 0, 0, 0, {0, nullptr});
  const std::uint64_t count = found != nullptr ? found->message_count : 0;
  EZ_TRY(impl_->check_last());
  return count;
}

Result<std::uint64_t> Link::readers(const std::string& queue) {
  impl_->arm();
  const auto* found = ::amqp_queue_declare(impl_->state, kChannel, bytes_of(queue), 1, 0, 0, 0, {0, nullptr});
  const std::uint64_t count = found != nullptr ? found->consumer_count : 0;
  EZ_TRY(impl_->check_last());
  return count;
}

Result<bool> Link::exists(const std::string& queue) {
  impl_->close_code = 0;
  auto found = count(queue);
  if (found.ok()) return true;
  const int code = impl_->close_code;
  if (code != 405 && found.error().code() != Code::TopicNotFound) return found.error();
  EZ_TRY(reopen_channel());
  return code == 405;  // RESOURCE_LOCKED: it is there
}

Result<bool> Link::lock(const std::string& queue) {
  impl_->close_code = 0;
  const Status made = declare_queue(queue, {false, true}, {});
  if (made.ok()) return true;
  if (impl_->close_code != 405) return made.error();  // RESOURCE_LOCKED
  EZ_TRY(reopen_channel());
  return false;
}

Result<std::uint64_t> Link::purge(const std::string& queue) {
  impl_->arm();
  const auto* purged = ::amqp_queue_purge(impl_->state, kChannel, bytes_of(queue));
  const std::uint64_t count = purged != nullptr ? purged->message_count : 0;
  EZ_TRY(impl_->check_last());
  return count;
}

Status Link::reopen_channel() {
  // The broker waits for this before it forgets the old channel.
  amqp_channel_close_ok_t ok{};
  EZ_TRY(impl_->check_status(::amqp_send_method(impl_->state, kChannel, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok)));
  impl_->arm();
  ::amqp_channel_open(impl_->state, kChannel);
  return impl_->check_last();
}

Status Link::confirms() {
  impl_->arm();
  ::amqp_confirm_select(impl_->state, kChannel);
  return impl_->check_last();
}

Status Link::publish(const std::string& exchange, const std::string& key, const Message& message,
                     std::int64_t published_ms, bool mandatory) {
  AmqpTable headers;
  headers.add("ez-published", published_ms);
  headers.add("ez-priority", static_cast<std::int64_t>(message.priority));
  if (!message.key.empty()) headers.add_text("ez-key", message.key);
  if (message.ttl_ms > 0) headers.add("ez-ttl", message.ttl_ms);
  if (message.delay_ms > 0) headers.add("ez-delay", message.delay_ms);
  for (const auto& [name, value] : message.headers) headers.add_text(name, value);
  amqp_basic_properties_t properties{};
  properties._flags = AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_HEADERS_FLAG;
  properties.message_id = bytes_of(message.id);
  properties.delivery_mode = AMQP_DELIVERY_PERSISTENT;
  properties.headers = headers.get();
  impl_->arm();
  return impl_->check_status(::amqp_basic_publish(impl_->state, kChannel, bytes_of(exchange), bytes_of(key),
                                                  mandatory ? 1 : 0, 0, &properties,
                                                  bytes_of(message.payload)));
}

Status Link::publish_text(const std::string& exchange, const std::string& key, const std::string& id,
                          const std::string& text) {
  amqp_basic_properties_t properties{};
  properties._flags = AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG;
  properties.message_id = bytes_of(id);
  properties.delivery_mode = AMQP_DELIVERY_PERSISTENT;
  impl_->arm();
  return impl_->check_status(::amqp_basic_publish(impl_->state, kChannel, bytes_of(exchange), bytes_of(key),
                                                  0, 0, &properties, bytes_of(text)));
}

Status Link::prefetch(std::uint16_t count) {
  impl_->arm();
  ::amqp_basic_qos(impl_->state, kChannel, 0, count, 0);
  return impl_->check_last();
}

Status Link::consume(const std::string& queue, const std::string& consumer, const Table& arguments) {
  impl_->arm();
  AmqpTable table(arguments);
  ::amqp_basic_consume(impl_->state, kChannel, bytes_of(queue), bytes_of(consumer), 0, 0, 0, table.get());
  return impl_->check_last();
}

Status Link::cancel(const std::string& consumer) {
  impl_->arm();
  ::amqp_basic_cancel(impl_->state, kChannel, bytes_of(consumer));
  return impl_->check_last();
}

Status Link::ack(std::uint64_t tag, bool multiple) {
  impl_->arm();
  return impl_->check_status(::amqp_basic_ack(impl_->state, kChannel, tag, multiple ? 1 : 0));
}

Status Link::give_back(std::uint64_t tag, bool multiple) {
  impl_->arm();
  return impl_->check_status(::amqp_basic_nack(impl_->state, kChannel, tag, multiple ? 1 : 0, 1));
}

Result<Content> Link::Impl::read_body(amqp_channel_t channel) {
  arm();
  amqp_message_t message{};
  EZ_TRY(check(::amqp_read_message(state, channel, &message, 0)));
  Content content = read_content(message);
  ::amqp_destroy_message(&message);
  return content;
}

Result<std::optional<Event>> Link::get(const std::string& queue) {
  impl_->arm();
  const auto reply = ::amqp_basic_get(impl_->state, kChannel, bytes_of(queue), 0);
  Event event;
  bool found = false;
  if (reply.reply_type == AMQP_RESPONSE_NORMAL && reply.reply.id == AMQP_BASIC_GET_OK_METHOD) {
    event.tag = static_cast<const amqp_basic_get_ok_t*>(reply.reply.decoded)->delivery_tag;
    found = true;
    impl_->watchdog->disarm();
  } else {
    EZ_TRY(impl_->check(reply));
  }
  if (!found) return std::optional<Event>();
  event.kind = Event::Kind::kDelivery;
  EZ_ASSIGN(event.content, impl_->read_body(kChannel));
  return std::optional<Event>(std::move(event));
}

Result<Event> Link::Impl::read_event(const amqp_frame_t& frame) {
  Event event;
  if (frame.frame_type != AMQP_FRAME_METHOD) return event;  // a heartbeat
  const amqp_method_t& method = frame.payload.method;
  switch (method.id) {
    case AMQP_BASIC_DELIVER_METHOD: {
      const auto* deliver = static_cast<const amqp_basic_deliver_t*>(method.decoded);
      event.kind = Event::Kind::kDelivery;
      event.tag = deliver->delivery_tag;
      event.consumer = text_of(deliver->consumer_tag);
      EZ_ASSIGN(event.content, read_body(frame.channel));
      return event;
    }
    case AMQP_BASIC_RETURN_METHOD: {
      event.kind = Event::Kind::kReturned;
      EZ_ASSIGN(event.content, read_body(frame.channel));
      return event;
    }
    case AMQP_BASIC_ACK_METHOD: {
      const auto* ack = static_cast<const amqp_basic_ack_t*>(method.decoded);
      event.kind = Event::Kind::kConfirm;
      event.tag = ack->delivery_tag;
      event.multiple = ack->multiple != 0;
      return event;
    }
    case AMQP_BASIC_NACK_METHOD: {
      const auto* nack = static_cast<const amqp_basic_nack_t*>(method.decoded);
      event.kind = Event::Kind::kConfirm;
      event.tag = nack->delivery_tag;
      event.multiple = nack->multiple != 0;
      event.refused = true;
      return event;
    }
    case AMQP_BASIC_CANCEL_METHOD:
      event.kind = Event::Kind::kCancelled;
      event.consumer = text_of(static_cast<const amqp_basic_cancel_t*>(method.decoded)->consumer_tag);
      return event;
    default:
      return closed(method);
  }
}

Result<Event> Link::next(std::int64_t wait_us) {
  ::amqp_maybe_release_buffers(impl_->state);
  amqp_frame_t frame{};
  const timeval time = time_of(std::max<std::int64_t>(0, wait_us));
  const int status = ::amqp_simple_wait_frame_noblock(impl_->state, &frame, &time);
  if (status == AMQP_STATUS_TIMEOUT) return Event{};
  if (status != AMQP_STATUS_OK) return impl_->library_error(status);
  return impl_->read_event(frame);
}

int Link::descriptor() const { return ::amqp_get_sockfd(impl_->state); }

bool Link::buffered() const {
  return ::amqp_frames_enqueued(impl_->state) != 0 || ::amqp_data_in_buffer(impl_->state) != 0;
}

}  // namespace ez::queue::rabbitmq
