#include "queue/embedded/record.h"

#include "base/check.h"

namespace ez::queue {
namespace {

constexpr unsigned kOwnId = 8;
constexpr std::size_t kLengthBytes = 5;  // a number below 2^35, padded

}  // namespace

void put_message(std::string& out, const Message& message, bool own_id, std::int64_t published_ms) {
  out.push_back(static_cast<char>(static_cast<unsigned>(message.priority) | (own_id ? kOwnId : 0)));
  put_text(out, message.id);
  put_text(out, message.key);
  put_number(out, static_cast<std::uint64_t>(message.delay_ms));
  put_number(out, static_cast<std::uint64_t>(message.ttl_ms));
  put_number(out, static_cast<std::uint64_t>(published_ms));
  std::string headers;
  for (const auto& [name, value] : message.headers) {
    put_text(headers, name);
    put_text(headers, value);
  }
  put_text(out, headers);
  put_text(out, message.payload);
}

bool get_message(ByteReader& in, MessageView& out) {
  const unsigned flags = in.byte();
  out.priority = static_cast<Priority>(flags & 7);
  out.own_id = (flags & kOwnId) != 0;
  out.id = in.text();
  out.key = in.text();
  out.delay_ms = static_cast<std::int64_t>(in.number());
  out.ttl_ms = static_cast<std::int64_t>(in.number());
  out.published_ms = static_cast<std::int64_t>(in.number());
  out.headers = in.text();
  out.payload = in.text();
  return !in.failed() && (flags & 7) < kPriorities && flags < 16;
}

Result<Delivery> decode_message(std::string_view bytes, std::string_view topic) {
  ByteReader in(bytes);
  MessageView view;
  Delivery delivery;
  Message& out = delivery.message;
  bool good = get_message(in, view) && in.ended();
  ByteReader headers(view.headers);
  while (good && !headers.ended()) {
    std::string name(headers.text());
    std::string value(headers.text());
    good = !headers.failed();
    out.headers.emplace_back(std::move(name), std::move(value));
  }
  if (!good) return Error(Code::LogDamaged, "the bytes of a message do not make sense");
  out.id = view.id;
  out.topic = topic;
  out.key = view.key;
  out.payload = view.payload;
  out.priority = view.priority;
  out.delay_ms = view.delay_ms;
  out.ttl_ms = view.ttl_ms;
  delivery.published_ms = view.published_ms;
  return delivery;
}

void put_sequences(std::string& out, std::span<const std::uint64_t> ascending) {
  put_number(out, ascending.size());
  std::uint64_t before = 0;
  for (const std::uint64_t sequence : ascending) {
    EZ_CHECK(sequence >= before, "sequence numbers are written in order");
    put_number(out, sequence - before);
    before = sequence;
  }
}

std::vector<std::uint64_t> get_sequences(ByteReader& in) {
  std::vector<std::uint64_t> out;
  std::uint64_t count = in.number();
  if (count > in.left()) return out;  // each takes a byte; what follows fails in the caller
  out.reserve(count);
  std::uint64_t sequence = 0;
  for (; count > 0 && !in.failed(); --count) out.push_back(sequence += in.number());
  return out;
}

RecordWriter::RecordWriter(std::int64_t now_ms) : now_ms_(now_ms) {
  bytes_.push_back(static_cast<char>(kRecordFormat));
  put_number(bytes_, static_cast<std::uint64_t>(now_ms));
}

void RecordWriter::op(Op kind, std::string_view body) {
  bytes_.push_back(static_cast<char>(kind));
  put_text(bytes_, body);
}

void RecordWriter::publish(std::string_view topic, std::span<const Message* const> messages,
                           std::span<const char> own_ids) {
  std::size_t bytes = 64 + topic.size();
  for (const Message* message : messages) {
    bytes += message->payload.size() + message->id.size() + message->key.size() + 48;
    for (const auto& [name, value] : message->headers) bytes += name.size() + value.size() + 8;
  }
  bytes_.reserve(bytes_.size() + bytes);
  // The length is written last, into five bytes, so that the payloads are copied once.
  bytes_.push_back(static_cast<char>(Op::kPublish));
  const std::size_t length_at = bytes_.size();
  bytes_.append(kLengthBytes, '\0');
  put_text(bytes_, topic);
  put_number(bytes_, messages.size());
  for (std::size_t i = 0; i < messages.size(); ++i) {
    put_message(bytes_, *messages[i], own_ids[i] != 0, now_ms_);
  }
  std::uint64_t length = bytes_.size() - length_at - kLengthBytes;
  for (std::size_t i = 0; i < kLengthBytes; ++i, length >>= 7) {
    bytes_[length_at + i] = static_cast<char>((length & 0x7f) | (i + 1 < kLengthBytes ? 0x80 : 0));
  }
}

void RecordWriter::group(std::string_view pattern, std::string_view group, bool durable) {
  body_.clear();
  put_text(body_, pattern);
  put_text(body_, group);
  body_.push_back(durable ? 1 : 0);
  op(Op::kGroup, body_);
}

void RecordWriter::drop_group(std::string_view pattern, std::string_view group) {
  body_.clear();
  put_text(body_, pattern);
  put_text(body_, group);
  op(Op::kDropGroup, body_);
}

void RecordWriter::ack(std::uint64_t topic, std::uint64_t group, std::span<const std::uint64_t> sequences) {
  body_.clear();
  put_number(body_, topic);
  put_number(body_, group);
  put_sequences(body_, sequences);
  op(Op::kAck, body_);
}

void RecordWriter::nack(std::uint64_t topic, std::uint64_t group, std::int64_t not_before_ms,
                        std::string_view reason, std::span<const std::uint64_t> sequences) {
  body_.clear();
  put_number(body_, topic);
  put_number(body_, group);
  put_number(body_, static_cast<std::uint64_t>(not_before_ms));
  put_text(body_, reason);
  put_sequences(body_, sequences);
  op(Op::kNack, body_);
}

void RecordWriter::expire(std::uint64_t topic, std::span<const std::uint64_t> sequences) {
  body_.clear();
  put_number(body_, topic);
  put_sequences(body_, sequences);
  op(Op::kExpire, body_);
}

void RecordWriter::purge(std::uint64_t topic, std::uint64_t last, std::span<const std::uint64_t> kept) {
  body_.clear();
  put_number(body_, topic);
  put_number(body_, last);
  put_sequences(body_, kept);
  op(Op::kPurge, body_);
}

void RecordWriter::move(std::uint64_t topic,
                        std::span<const std::pair<std::uint64_t, std::string>> messages) {
  body_.clear();
  put_number(body_, topic);
  put_number(body_, messages.size());
  for (const auto& [sequence, bytes] : messages) {
    put_number(body_, sequence);
    put_text(body_, bytes);
  }
  op(Op::kMove, body_);
}

void RecordWriter::nothing() { op(Op::kNothing, {}); }

void RecordWriter::pause(std::string_view topic, bool on) {
  body_.clear();
  put_text(body_, topic);
  body_.push_back(on ? 1 : 0);
  op(Op::kPause, body_);
}

void RecordWriter::bury(std::uint64_t topic, std::uint64_t group, std::uint64_t sequence,
                        std::string_view reason) {
  body_.clear();
  put_number(body_, topic);
  put_number(body_, group);
  put_number(body_, sequence);
  put_text(body_, reason);
  op(Op::kBury, body_);
}

void RecordWriter::redrive(std::span<const std::uint64_t> numbers) {
  body_.clear();
  put_sequences(body_, numbers);
  op(Op::kRedrive, body_);
}

void RecordWriter::discard(std::span<const std::uint64_t> numbers) {
  body_.clear();
  put_sequences(body_, numbers);
  op(Op::kDiscard, body_);
}

void RecordWriter::setting(std::string_view key, std::string_view value) {
  body_.clear();
  put_text(body_, key);
  put_text(body_, value);
  op(Op::kSetting, body_);
}

}  // namespace ez::queue
