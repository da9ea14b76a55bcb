// What a call gives back: whole answers, streams, and what is counted for them.
#include <algorithm>

#include "models/dialect/dialect.h"
#include "models/dialect/listing.h"
#include "models/gateway/call.h"
#include "telemetry/redact.h"

namespace ez::models {
namespace {

constexpr std::size_t kMaxDroppedBytes = 1'000;
constexpr std::size_t kMaxErrorBytes = 64 * 1024;
constexpr std::int64_t kMaxTokens = 1'000'000'000'000;  // of one call; more is no figure
constexpr std::chrono::milliseconds kRoomPoll{100};
// A token has seldom more than a few bytes: a stream with so many more than its limit allows is no answer.
constexpr std::int64_t kBytesPerToken = 64;
constexpr std::int64_t kSpareBytes = 256 * 1024;

std::uint64_t tokens(std::int64_t claimed) {
  return static_cast<std::uint64_t>(std::clamp<std::int64_t>(claimed, 0, kMaxTokens));
}

ProviderError invalid(const std::string& provider, const std::string& why) {
  ProviderError error;
  error.kind = ErrorKind::kInvalidAnswer;
  error.message = "the answer of " + provider + " cannot be read: " + why;
  return error;
}

// For a header: at most kMaxDroppedBytes.
std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) {
    if (out.size() + word.size() > kMaxDroppedBytes) return out + ", ...";
    if (!out.empty()) out += ", ";
    out += word;
  }
  return out;
}

}  // namespace

ProviderError error_of(HttpEnd end, const std::string& detail, const std::string& provider) {
  ProviderError error;
  switch (end) {
    case HttpEnd::kFirstByte:
      error.kind = ErrorKind::kTimeout;
      error.message = provider + " did not answer in time";
      break;
    case HttpEnd::kSilence:
      error.kind = ErrorKind::kTimeout;
      error.message = "the answer of " + provider + " stopped coming";
      break;
    case HttpEnd::kNoConnect:
      error.kind = ErrorKind::kConnection;
      error.message = "no connection to " + provider + ": " + detail;
      break;
    case HttpEnd::kRefused:
      error.kind = ErrorKind::kOverloaded;
      error.message = "the call was not sent: " + detail;
      break;
    default:
      error.kind = ErrorKind::kConnection;
      error.message = "the connection to " + provider + " broke: " + detail;
      break;
  }
  return error;
}

void Call::head(int status, Headers headers) {
  status_ = status;
  headers_ = std::move(headers);
  core_.metrics.first_byte(target().provider->name, core_.clock.monotonic_us() - attempt_.begin_us);
  const auto type = find_header(headers_, "content-type");
  is_stream_ = plan_.stream && status / 100 == 2 && type && type->starts_with("text/event-stream");
  if (!is_stream_) return;
  if (target().dialect == plan_.client) {
    meter_ = StreamMeter::make(plan_.client);
    if (plan_.client == Dialect::kOpenAiChat && !plan_.request.stream_usage) {
      filter_ = std::make_unique<UsageFilter>();
    }
  } else {
    reader_ = StreamReader::make(target().dialect);
  }
}

bool Call::body(std::string_view bytes) {
  if (broken_off() || too_large_ || early_error_) return true;  // it is being ended
  if (!pending_.empty()) {
    if (!client_->send(pending_)) return false;
    pending_.clear();
  }
  received_ += bytes.size();
  const std::uint64_t limit =
      is_stream_ ? kMaxStreamBytes : (status_ / 100 == 2 ? kMaxAnswerBytes : kMaxErrorBytes);
  if (received_ > limit) {
    // The end of an error's page says nothing that is missed.
    if (status_ / 100 == 2) {
      too_large_ = true;
      core_.http->cancel(http_);
    }
    return true;
  }
  if (!is_stream_) {
    buffer_.append(bytes);
    return true;
  }
  const bool room = meter_ ? pass(bytes) : translate(bytes);
  if (summary()->output_bytes > target().output_upper * kBytesPerToken + kSpareBytes) {
    too_large_ = true;
    core_.http->cancel(http_);
  }
  return room;
}

bool Call::pass(std::string_view bytes) {
  meter_->observe(bytes);
  if (!forwarding_) {
    const StreamSummary& seen = meter_->summary();
    if (seen.failed && seen.output_bytes == 0) {
      early_error_ = meter_->error();
      if (!early_error_) early_error_ = invalid(target().provider->name, "an error without words");
      core_.http->cancel(http_);
      return true;
    }
    begin_stream();
  }
  if (!filter_) return forward(bytes);
  std::string out;
  filter_->pass(bytes, out);
  return forward(out);
}

bool Call::translate(std::string_view bytes) {
  std::vector<ChatEvent> events;
  const Status fed = reader_->feed(bytes, events);
  if (!forwarding_ && !events.empty() && events.front().kind == EventKind::kError) {
    early_error_ = events.front().error;
    core_.http->cancel(http_);
    return true;
  }
  std::string out;
  write_events(events, out);
  if (!fed.ok()) {
    early_error_ = invalid(target().provider->name, fed.error().message());
    core_.http->cancel(http_);
  }
  return forward(out);
}

void Call::write_events(const std::vector<ChatEvent>& events, std::string& out) {
  if (events.empty()) return;
  if (!forwarding_) begin_stream();
  if (!writer_) {
    writer_ = StreamWriter::make(plan_.client, echo_of(plan_.request), request_.id, now_ms() / 1000);
  }
  for (const ChatEvent& event : events) writer_->write(event, out);
}

// What has no room waits here; the next piece is then refused, which pauses the upstream.
bool Call::forward(std::string_view bytes) {
  if (bytes.empty()) return true;
  if (recording_) recording_->chunks.emplace_back(bytes);
  if (cancelled_) return true;
  if (pending_.empty() && client_->send(bytes)) return true;
  pending_.append(bytes);
  // The client says when it has room; where all clients together have none, nobody would.
  auto self = shared_from_this();
  (void)core_.http->post_after(kRoomPoll, [self] { self->drained(); });
  return true;
}

void Call::begin_stream() {
  forwarding_ = true;
  if (recording_) {
    recording_->stream = true;
    recording_->headers = {{"content-type", "text/event-stream; charset=utf-8"}};
  }
  client_->begin_stream(answer_headers("text/event-stream; charset=utf-8"));
}

Headers Call::answer_headers(std::string_view content_type) {
  Headers out{{"content-type", std::string(content_type)},
              {"ez-provider", target().provider->name},
              {"ez-model", target().model}};
  if (plan_.lowered) out.emplace_back("ez-max-tokens", std::to_string(*plan_.lowered));
  if (!dropped_.empty()) out.emplace_back("ez-dropped", joined(dropped_));
  for (const char* name : {"request-id", "x-request-id"}) {
    if (const auto id = find_header(headers_, name)) {
      out.emplace_back("ez-provider-request-id", std::string(*id));
      break;
    }
  }
  return out;
}

const StreamSummary* Call::summary() const {
  if (meter_) return &meter_->summary();
  return reader_ ? &reader_->summary() : nullptr;
}

UsageSum Call::sum_of(const Usage& usage) {
  UsageSum sum;
  sum.calls = 1;
  sum.input_tokens = tokens(usage.input_tokens);
  sum.cache_read_tokens = tokens(usage.cache_read_tokens);
  sum.cache_write_tokens = tokens(usage.cache_write_tokens);
  sum.output_tokens = tokens(usage.output_tokens);
  if (target().price) {
    sum.microusd = cost_microusd(*target().price, usage);
    if (sum.microusd > target().upper_microusd) core_.metrics.claimed_too_much(target().provider->name);
    sum.microusd = cost_of(target(), usage);
  }
  return sum;
}

void Call::settle_stream(const StreamSummary& seen) {
  if (seen.finished && seen.has_usage) return settle(sum_of(seen.usage));
  std::optional<Usage> input;
  if (seen.has_input_usage) input = seen.usage;
  UsageSum most = most_of(target(), input);
  if (seen.finished) {
    // All of it came, only the figures did not: a token is at least a byte.
    most.failed = 0;
    Usage usage = input.value_or(Usage{});
    if (!input) usage.input_tokens = target().input_upper;
    usage.output_tokens = std::min(seen.output_bytes, target().output_upper);
    most = sum_of(usage);
  }
  settle(most);
}

void Call::ended(HttpEnd end, const std::string& detail) {
  http_ = 0;
  legs_.clear();
  KeyPool& pool = core_.pool(*target().provider);
  pool.release(attempt_.key);
  const StreamSummary* seen = summary();
  // A client may leave with the last event, before the provider ends its answer: nothing is missing then.
  const bool whole = is_stream_ && forwarding_ && seen->finished && !seen->failed;
  if (!whole && (cancelled_ || (over_ && !forwarding_))) {
    pool.forgotten(attempt_.key);
    if (seen != nullptr) {
      settle_stream(*seen);
    } else if (end != HttpEnd::kNoConnect && end != HttpEnd::kRefused) {
      burn();
    }
    return fail(Gateway::error_of(Error(Code::LeaseStale, "the work that this call was for is over")));
  }
  if (is_stream_) return streamed(whole ? HttpEnd::kDone : end, detail);
  if (end != HttpEnd::kDone) return broken(end, detail);
  answered();
}

// No whole answer came, and nothing went to the client yet.
void Call::broken(HttpEnd end, const std::string& detail) {
  const std::string& provider = target().provider->name;
  ProviderError error =
      too_large_ ? invalid(provider, "it has more than " + std::to_string(kMaxAnswerBytes) + " bytes")
                 : error_of(end, detail, provider);
  core_.pool(*target().provider).failed(attempt_.key, error, now_ms());
  if (end != HttpEnd::kNoConnect && end != HttpEnd::kRefused) burn();
  retry(error);
}

void Call::streamed(HttpEnd end, const std::string& detail) {
  KeyPool& pool = core_.pool(*target().provider);
  const std::string& provider = target().provider->name;
  if (reader_ && !early_error_ && end == HttpEnd::kDone) {
    std::vector<ChatEvent> events;
    (void)reader_->end(events);
    std::string out;
    write_events(events, out);
    (void)forward(out);
  }
  if (filter_ && forwarding_) {
    std::string out;
    filter_->end(out);
    (void)forward(out);
  }
  const StreamSummary seen = *summary();
  if (seen.finished && !seen.failed) {
    pool.succeeded(attempt_.key, parse_rate_limits(headers_, now_ms()), now_ms());
    settle_stream(seen);
    if (!forwarding_) begin_stream();
    return finish_stream("ok");
  }
  if (over_) {
    pool.forgotten(attempt_.key);
    settle_stream(seen);
    write_error(Gateway::error_of(Error(Code::LeaseStale, "the work that this call was for is over")));
    return finish_stream("lease_over");
  }
  if (early_error_ && !forwarding_) {
    pool.failed(attempt_.key, *early_error_, now_ms());
    // An error event in place of an answer: as an error status, it costs nothing. What cannot be read does.
    if (early_error_->kind == ErrorKind::kInvalidAnswer) burn();
    return retry(*early_error_);
  }
  ProviderError error = early_error_ ? *early_error_
                        : too_large_ ? invalid(provider, "the stream has no end")
                                     : error_of(end, detail, provider);
  if (seen.failed && meter_ && meter_->error()) error = *meter_->error();
  pool.failed(attempt_.key, error, now_ms());
  if (!forwarding_) {
    burn();
    return retry(error);
  }
  settle_stream(seen);
  if (!seen.failed) write_error(error);  // otherwise the client has it
  finish_stream(error_kind_name(error.kind));
}

void Call::write_error(const ProviderError& error) {
  ChatEvent event;
  event.kind = EventKind::kError;
  event.error = error;
  if (core_.redactor != nullptr) event.error->message = core_.redactor->redact(error.message);
  if (!writer_) {
    writer_ = StreamWriter::make(plan_.client, echo_of(plan_.request), request_.id, now_ms() / 1000);
  }
  std::string out;
  // A piece of an event may have gone to the client: an empty line ends it.
  if (meter_) out = "\n\n";
  writer_->write(event, out);
  (void)forward(out);
}

void Call::finish_stream(std::string_view outcome) {
  if (!pending_.empty() && !cancelled_) {
    finishing_ = true;
    finish_outcome_ = outcome;
    return;
  }
  if (outcome == "ok") record();
  conclude(outcome);
  if (!cancelled_) client_->end_stream();
}

void Call::answered() {
  KeyPool& pool = core_.pool(*target().provider);
  if (status_ / 100 != 2) {
    ProviderError error = parse_error(target().dialect, status_, headers_, buffer_, now_ms());
    pool.failed(attempt_.key, error, now_ms());
    return retry(error);
  }
  const auto unreadable = [&](const Error& why) {
    const ProviderError error = invalid(target().provider->name, why.message());
    pool.failed(attempt_.key, error, now_ms());
    burn();
    retry(error);
  };
  const auto good = [&] { pool.succeeded(attempt_.key, parse_rate_limits(headers_, now_ms()), now_ms()); };
  if (plan_.endpoint == Endpoint::kCountTokens) {
    if (const auto count = parse_token_count(buffer_); !count.ok()) return unreadable(count.error());
    good();
    UsageSum nothing;
    nothing.calls = 1;
    settle(nothing);
    return give_answer(std::move(buffer_), "application/json");
  }
  if (plan_.endpoint == Endpoint::kEmbeddings) {
    const auto usage = parse_embeddings_usage(buffer_);
    if (!usage.ok()) return unreadable(usage.error());
    good();
    settle(sum_of(*usage));
    return give_answer(std::move(buffer_), "application/json");
  }
  auto answer = parse_answer(target().dialect, buffer_);
  if (!answer.ok()) return unreadable(answer.error());
  good();
  if (answer->has_usage) {
    settle(sum_of(answer->usage));
  } else {
    UsageSum most = most_of(target(), std::nullopt);
    most.failed = 0;
    settle(most);
  }
  if (plan_.stream) return give_as_stream(*answer);
  if (target().dialect == plan_.client) return give_answer(std::move(buffer_), "application/json");
  give_answer(render_answer(plan_.client, *answer, echo_of(plan_.request), request_.id, now_ms() / 1000),
              "application/json");
}

void Call::give_answer(std::string body, std::string_view content_type) {
  Headers headers = answer_headers(content_type);
  if (recording_) {
    recording_->headers = {{"content-type", std::string(content_type)}};
    recording_->chunks = {body};
    record();
  }
  conclude("ok");
  client_->answer(status_, std::move(headers), std::move(body));
}

// The client asked for a stream and the provider gave a whole answer.
void Call::give_as_stream(const ChatAnswer& answer) {
  std::string out;
  write_events(events_of(answer), out);
  (void)forward(out);
  finish_stream("ok");
}

}  // namespace ez::models
