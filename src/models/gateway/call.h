// Call: one call of a model on its way through the gateway. Internal to gateway/.
//
//   begin ─ money ─▶ go ─ next ─▶ attempt ─┬─ answer / stream to its end ──▶ over
//                          ▲               ├─ failed before the first byte ─▶ retry (back to next) or over
//                          └── wait ◀──────┘  failed after it: the stream ends with an error ──▶ over
//
// Each attempt is a Leg (hedge.cc). While no answer has begun, a second leg may be sent after it to another
// key or provider; the first whose answer begins leads, the other is broken off and counted like any broken
// call.
//
// Threads. begin() runs on its caller's thread; from go() on everything runs on the HTTP client's thread.
// cancel() and drained() come from any.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/dialect/provider_error.h"
#include "models/dialect/stream.h"
#include "models/dialect/usage_filter.h"
#include "models/gateway/core.h"
#include "models/gateway/plan.h"

namespace ez::models {

class Call final : public CallHandle, public std::enable_shared_from_this<Call> {
 public:
  Call(Gateway::Core& core, CallRequest request, std::shared_ptr<CallClient> client);

  void begin();
  void cancel() override;
  void drained() override;

 private:
  struct Attempt {
    std::size_t target = 0;
    std::size_t key = 0;
    std::int64_t begin_us = 0;
  };
  class Leg;

  // The answer of the leg that leads, as an HttpSink gets it.
  void head(int status, Headers headers);
  [[nodiscard]] bool body(std::string_view bytes);
  void ended(HttpEnd end, const std::string& detail);

  // hedge.cc: the legs of an attempt.
  void launch(Attempt attempt, Rendered rendered, bool is_hedge);
  void hedge(std::uint32_t attempt);
  void lead(Leg& leg);
  void drop(Leg& leg, HttpEnd end, const std::string& detail);
  void settle_leg(const Leg& leg, HttpEnd end);

  // call.cc: money, keys, retries.
  void reserve();
  void go();
  void next();
  void send(std::size_t target, std::size_t key);
  void retry(const ProviderError& error);
  void wait(std::int64_t ms);
  void settle(UsageSum sum);
  void burn();
  void conclude(std::string_view outcome);
  void fail(ProviderError error);
  void lease_over();
  void stop_upstream();
  [[nodiscard]] bool broken_off() const { return cancelled_.load() || over_.load(); }
  [[nodiscard]] PlannedTarget& target() { return plan_.targets[attempt_.target]; }
  [[nodiscard]] UsageKey usage_key();
  [[nodiscard]] std::int64_t now_ms() { return core_.clock.now_ms(); }

  // replay.cc: recordings in place of providers.
  [[nodiscard]] bool replayed();
  void give_replay(const RecordedAnswer& recorded, UsageSum sum);
  void record();
  [[nodiscard]] RecordedRequest recorded_request() const;

  // answer.cc: what comes back.
  void answered();
  void streamed(HttpEnd end, const std::string& detail);
  void broken(HttpEnd end, const std::string& detail);
  void give_answer(std::string body, std::string_view content_type);
  void give_as_stream(const ChatAnswer& answer);
  [[nodiscard]] bool pass(std::string_view bytes);
  [[nodiscard]] bool translate(std::string_view bytes);
  void write_events(const std::vector<ChatEvent>& events, std::string& out);
  [[nodiscard]] bool forward(std::string_view bytes);
  void begin_stream();
  void finish_stream(std::string_view outcome);
  [[nodiscard]] const StreamSummary* summary() const;
  [[nodiscard]] UsageSum sum_of(const Usage& usage);
  void settle_stream(const StreamSummary& seen);
  [[nodiscard]] Headers answer_headers(std::string_view content_type);
  void write_error(const ProviderError& error);

  Gateway::Core& core_;
  CallRequest request_;
  const std::shared_ptr<CallClient> client_;
  Plan plan_;
  std::int64_t begin_us_ = 0;
  std::atomic<bool> cancelled_{false};  // the client has gone
  std::atomic<bool> over_{false};       // the lease has
  std::uint64_t over_id_ = 0;

  // The HTTP client's thread only:
  bool reserved_ = false;
  int burns_ = 0;  // attempts that cost something and gave nothing
  bool concluded_ = false;
  std::uint32_t attempts_ = 0;
  std::int64_t waited_ms_ = 0;
  std::vector<std::vector<bool>> skip_;  // keys not to take any more, by target
  std::optional<ProviderError> last_error_;
  Attempt attempt_;
  std::vector<std::shared_ptr<Leg>> legs_;  // under way, without those that lost; at most two
  HttpClient::CallId http_ = 0;             // of the leg that leads
  int status_ = 0;
  Headers headers_;
  std::string buffer_;       // an answer that is not a stream
  bool is_stream_ = false;   // the answer is one
  bool forwarding_ = false;  // the client got its first byte
  bool too_large_ = false;
  std::uint64_t received_ = 0;
  std::string pending_;     // for the client, which had no room
  bool finishing_ = false;  // the stream ends once that is sent
  std::string finish_outcome_;
  std::optional<ProviderError> early_error_;  // the stream began with it
  std::optional<RecordedAnswer> recording_;   // what the client got, when it is recorded
  std::vector<std::string> dropped_;          // what the provider was not told
  std::unique_ptr<StreamMeter> meter_;        // same dialect
  std::unique_ptr<UsageFilter> filter_;       // same dialect, and usage was asked for by us alone
  std::unique_ptr<StreamReader> reader_;      // another
  std::unique_ptr<StreamWriter> writer_;
};

[[nodiscard]] ProviderError error_of(HttpEnd end, const std::string& detail, const std::string& provider);

}  // namespace ez::models
