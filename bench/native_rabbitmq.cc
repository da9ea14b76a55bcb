// native_rabbitmq: what RabbitMQ itself reaches, as a loop over its own client library: one connection
// publishes persistent messages with confirmations, another consumes and acknowledges them, at the same time.
//
//   native_rabbitmq HOST PORT USER PASSWORD VHOST quorum|classic MESSAGES BYTES WINDOW
//
// WINDOW: messages that are not confirmed, or not acknowledged. Prints {"in_per_s":…,"out_per_s":…}.
// `bench/queue_backends.py` runs it beside `ez queue bench --backend`.
#include <amqp.h>
#include <amqp_tcp_socket.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

namespace {

constexpr amqp_channel_t kChannel = 1;
const char* const kQueue = "native";

using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "native_rabbitmq: %s\n", what);
  std::exit(1);
}

amqp_bytes_t bytes_of(const char* text) { return ::amqp_cstring_bytes(text); }

struct Wanted {
  std::string host;
  int port = 0;
  std::string user, password, vhost;
  bool quorum = true;
  long messages = 0;
  std::size_t bytes = 0;
  long window = 0;
};

amqp_connection_state_t connect(const Wanted& wanted) {
  amqp_connection_state_t link = ::amqp_new_connection();
  amqp_socket_t* socket = ::amqp_tcp_socket_new(link);
  if (socket == nullptr || ::amqp_socket_open(socket, wanted.host.c_str(), wanted.port) != AMQP_STATUS_OK) {
    fail("no connection");
  }
  const auto login = ::amqp_login(link, wanted.vhost.c_str(), 0, 131'072, 0, AMQP_SASL_METHOD_PLAIN,
                                  wanted.user.c_str(), wanted.password.c_str());
  if (login.reply_type != AMQP_RESPONSE_NORMAL) fail("login refused");
  ::amqp_channel_open(link, kChannel);
  if (::amqp_get_rpc_reply(link).reply_type != AMQP_RESPONSE_NORMAL) fail("no channel");
  return link;
}

void make_queue(amqp_connection_state_t link, bool quorum) {
  ::amqp_queue_delete(link, kChannel, bytes_of(kQueue), 0, 0);
  amqp_table_entry_t entry{};
  entry.key = bytes_of("x-queue-type");
  entry.value.kind = AMQP_FIELD_KIND_UTF8;
  entry.value.value.bytes = bytes_of(quorum ? "quorum" : "classic");
  ::amqp_queue_declare(link, kChannel, bytes_of(kQueue), 0, 1, 0, 0, {1, &entry});
  if (::amqp_get_rpc_reply(link).reply_type != AMQP_RESPONSE_NORMAL) fail("no queue");
}

// Until all up to that tag are confirmed.
void confirmed(amqp_connection_state_t link, std::uint64_t tag) {
  static std::uint64_t seen = 0;
  while (seen < tag) {
    ::amqp_maybe_release_buffers(link);
    amqp_frame_t frame{};
    if (::amqp_simple_wait_frame(link, &frame) != AMQP_STATUS_OK) fail("the connection broke");
    if (frame.frame_type != AMQP_FRAME_METHOD || frame.payload.method.id != AMQP_BASIC_ACK_METHOD) continue;
    const auto* ack = static_cast<const amqp_basic_ack_t*>(frame.payload.method.decoded);
    // Single confirmations come out of order now and then; the number of them
    // is what counts here.
    seen = ack->multiple != 0 ? std::max(seen, ack->delivery_tag) : std::max(seen + 1, std::uint64_t{1});
  }
}

double publish_all(const Wanted& wanted, Clock::time_point began) {
  amqp_connection_state_t link = connect(wanted);
  ::amqp_confirm_select(link, kChannel);
  const std::string payload(wanted.bytes, 'x');
  amqp_basic_properties_t properties{};
  properties._flags = AMQP_BASIC_DELIVERY_MODE_FLAG;
  properties.delivery_mode = AMQP_DELIVERY_PERSISTENT;
  for (long sent = 1; sent <= wanted.messages; ++sent) {
    ::amqp_basic_publish(link, kChannel, amqp_empty_bytes, bytes_of(kQueue), 0, 0, &properties,
                         {payload.size(), const_cast<char*>(payload.data())});
    if (sent % 500 == 0 && sent > wanted.window) {
      confirmed(link, static_cast<std::uint64_t>(sent - wanted.window));
    }
  }
  confirmed(link, static_cast<std::uint64_t>(wanted.messages));
  const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
  ::amqp_destroy_connection(link);
  return static_cast<double>(wanted.messages) / seconds;
}

double consume_all(const Wanted& wanted, Clock::time_point began) {
  amqp_connection_state_t link = connect(wanted);
  const auto prefetch = static_cast<std::uint16_t>(std::min(wanted.window, 2'000L));
  ::amqp_basic_qos(link, kChannel, 0, prefetch, 0);
  ::amqp_basic_consume(link, kChannel, bytes_of(kQueue), amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
  for (long got = 1; got <= wanted.messages; ++got) {
    ::amqp_maybe_release_buffers(link);
    amqp_envelope_t envelope{};
    if (::amqp_consume_message(link, &envelope, nullptr, 0).reply_type != AMQP_RESPONSE_NORMAL) {
      fail("the connection broke");
    }
    const std::uint64_t tag = envelope.delivery_tag;
    ::amqp_destroy_envelope(&envelope);
    if (got % 500 == 0 || got == wanted.messages) ::amqp_basic_ack(link, kChannel, tag, 1);
  }
  ::amqp_basic_qos(link, kChannel, 0, prefetch,
                   0);  // comes after the acknowledgements
  const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
  ::amqp_destroy_connection(link);
  return static_cast<double>(wanted.messages) / seconds;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 10) fail("HOST PORT USER PASSWORD VHOST quorum|classic MESSAGES BYTES WINDOW");
  const Wanted wanted{argv[1],
                      std::atoi(argv[2]),
                      argv[3],
                      argv[4],
                      argv[5],
                      std::string(argv[6]) == "quorum",
                      std::atol(argv[7]),
                      static_cast<std::size_t>(std::atol(argv[8])),
                      std::atol(argv[9])};
  amqp_connection_state_t link = connect(wanted);
  make_queue(link, wanted.quorum);
  const auto began = Clock::now();
  double out = 0;
  std::thread consumer([&] { out = consume_all(wanted, began); });
  const double in = publish_all(wanted, began);
  consumer.join();
  ::amqp_queue_delete(link, kChannel, bytes_of(kQueue), 0, 0);
  ::amqp_destroy_connection(link);
  std::printf("{\"in_per_s\":%.0f,\"out_per_s\":%.0f}\n", in, out);
  return 0;
}
