// The legs of an attempt: requests to providers of which one answers. See call.h.
#include <algorithm>

#include "models/gateway/call.h"

namespace ez::models {
namespace {

constexpr std::size_t kMaxLegErrorBytes = 64 * 1024;
constexpr std::int64_t kOneHedge = 1'000;  // of Core::hedge_credit
constexpr std::int64_t kMaxCredit = 10 * kOneHedge;
// The client's timers are for the waits of retries as well, so that hedging may have a part of them only:
// more calls than that at once are not hedged.
constexpr std::uint32_t kMaxHedgeTimers = 1'024;

}  // namespace

// One request. It waits for its answer to begin; then it leads and hands everything to the call, or it has
// lost.
class Call::Leg final : public HttpSink {
 public:
  Leg(std::shared_ptr<Call> call, Attempt attempt, std::vector<std::string> dropped, bool is_hedge)
      : attempt_(attempt), dropped_(std::move(dropped)), is_hedge_(is_hedge), call_(std::move(call)) {}

  void head(int status, Headers headers) override {
    if (state_ == State::kLost) return;
    // An error is not what the other one is broken off for.
    if (state_ == State::kWaits && call_->legs_.size() > 1 && status / 100 != 2) {
      status_ = status;
      headers_ = std::move(headers);
      return;
    }
    if (state_ == State::kWaits) call_->lead(*this);
    call_->head(status, std::move(headers));
  }
  bool body(std::string_view bytes) override {
    if (state_ == State::kLeads) return call_->body(bytes);
    if (state_ == State::kWaits)
      body_.append(bytes.substr(0, kMaxLegErrorBytes - std::min(kMaxLegErrorBytes, body_.size())));
    return true;
  }
  void ended(HttpEnd end, const std::string& detail) override {
    const std::shared_ptr<Call> call = call_;
    switch (state_) {
      case State::kLeads:
        return call->ended(end, detail);
      case State::kLost:
        return call->settle_leg(*this, end);
      case State::kWaits:
        break;
    }
    if (call->legs_.size() > 1) return call->drop(*this, end, detail);
    call->lead(*this);
    if (status_ != 0) {
      call->head(status_, std::move(headers_));
      (void)call->body(body_);
    }
    call->ended(end, detail);
  }

 private:
  friend class Call;
  enum class State { kWaits, kLeads, kLost };
  const Attempt attempt_;
  std::vector<std::string> dropped_;  // what the provider was not told
  const bool is_hedge_;
  const std::shared_ptr<Call> call_;
  HttpClient::CallId http_ = 0;
  State state_ = State::kWaits;
  int status_ = 0;  // of an error that came while the other leg was still under way
  Headers headers_;
  std::string body_;
};

void Call::launch(Attempt attempt, Rendered rendered, bool is_hedge) {
  const PlannedTarget& to = plan_.targets[attempt.target];
  HttpCall http;
  http.url = url_for(plan_, to);
  http.headers = headers_for(plan_, to, core_.pool(*to.provider).key(attempt.key), request_.headers);
  http.body = std::move(rendered.body);
  http.timeouts = to.provider->timeouts;
  auto leg = std::make_shared<Leg>(shared_from_this(), attempt, std::move(rendered.dropped), is_hedge);
  legs_.push_back(leg);
  leg->http_ = core_.http->call(std::move(http), leg);
  const std::int64_t after_ms = core_.config.hedge_after.count();
  if (is_hedge || after_ms <= 0 || plan_.endpoint == Endpoint::kCountTokens) return;
  core_.hedge_credit = std::min(core_.hedge_credit + core_.config.hedge_max_permille, kMaxCredit);
  if (core_.hedge_timers >= kMaxHedgeTimers) return;
  ++core_.hedge_timers;
  (void)core_.http->post_after(core_.config.hedge_after,
                               [&core = core_, weak = weak_from_this(), number = attempts_] {
                                 --core.hedge_timers;
                                 if (const auto self = weak.lock()) self->hedge(number);
                               });
}

// Nothing has come of the attempt for so long: the same to another key or provider, when share and money
// allow.
void Call::hedge(std::uint32_t attempt) {
  if (concluded_ || broken_off() || attempts_ != attempt || legs_.size() != 1) return;
  const Leg& first = *legs_.front();
  const bool early =  // the timers are full
      core_.clock.monotonic_us() - first.attempt_.begin_us < core_.config.hedge_after.count() * 1'000;
  if (first.state_ != Leg::State::kWaits || early || attempts_ >= core_.config.max_attempts) return;
  const auto not_sent = [&](std::string_view why) { core_.metrics.hedged(target().provider->name, why); };
  if (core_.hedge_credit < kOneHedge) return not_sent("over_share");
  std::vector<std::vector<bool>> skip = skip_;
  skip[first.attempt_.target][first.attempt_.key] = true;
  for (std::size_t i = 0; i < plan_.targets.size(); ++i) {
    if (std::find(skip[i].begin(), skip[i].end(), false) == skip[i].end()) continue;
    const PlannedTarget& to = plan_.targets[i];
    KeyPool& pool = core_.pool(*to.provider);
    const KeyPool::Choice choice = pool.take(now_ms(), plan_.input_likely, skip[i]);
    if (!choice.key) continue;
    Result<Rendered> rendered = body_for(plan_, to, request_.body);
    const bool paid = rendered.ok() && core_.ledger.reserve_now(request_.account, plan_.upper_microusd);
    if (!paid) {
      pool.forgotten(*choice.key);
      pool.release(*choice.key);
      if (!rendered.ok()) continue;
      return not_sent("no_money");
    }
    core_.hedge_credit -= kOneHedge;
    ++attempts_;
    return launch({i, *choice.key, core_.clock.monotonic_us()}, std::move(rendered).value(), true);
  }
  not_sent("no_key");
}

// From here on the call is about this leg; another one is broken off.
void Call::lead(Leg& leg) {
  for (const std::shared_ptr<Leg>& other : legs_) {
    if (other.get() == &leg) continue;
    other->state_ = Leg::State::kLost;
    core_.http->cancel(other->http_);
    const Leg& hedge = leg.is_hedge_ ? leg : *other;
    core_.metrics.hedged(plan_.targets[hedge.attempt_.target].provider->name, leg.is_hedge_ ? "won" : "lost");
  }
  std::erase_if(legs_, [&](const std::shared_ptr<Leg>& each) { return each.get() != &leg; });
  leg.state_ = Leg::State::kLeads;
  attempt_ = leg.attempt_;
  dropped_ = std::move(leg.dropped_);
  http_ = leg.http_;
}

// One of two ended without an answer: the other goes on alone.
void Call::drop(Leg& leg, HttpEnd end, const std::string& detail) {
  const PlannedTarget& to = plan_.targets[leg.attempt_.target];
  KeyPool& pool = core_.pool(*to.provider);
  if (end != HttpEnd::kCancelled) {
    const ProviderError error = leg.status_ != 0 && end == HttpEnd::kDone
                                    ? parse_error(to.dialect, leg.status_, leg.headers_, leg.body_, now_ms())
                                    : error_of(end, detail, to.provider->name);
    pool.failed(leg.attempt_.key, error, now_ms());
    core_.metrics.retried(to.provider->name, error_kind_name(error.kind));
    if (leg.is_hedge_) core_.metrics.hedged(to.provider->name, "failed");
    last_error_ = error;
    skip_[leg.attempt_.target][leg.attempt_.key] = true;
  }
  settle_leg(leg, end);
  std::erase_if(legs_, [&](const std::shared_ptr<Leg>& each) { return each.get() == &leg; });
}

// A leg that does not lead is over. What an error status cost is nothing, what was broken off may have cost
// all.
void Call::settle_leg(const Leg& leg, HttpEnd end) {
  const PlannedTarget& to = plan_.targets[leg.attempt_.target];
  KeyPool& pool = core_.pool(*to.provider);
  if (end == HttpEnd::kCancelled) pool.forgotten(leg.attempt_.key);
  pool.release(leg.attempt_.key);
  UsageSum sum;
  const bool sent = end != HttpEnd::kNoConnect && end != HttpEnd::kRefused;
  if (sent && leg.status_ == 0) sum = most_of(to, std::nullopt);
  UsageKey key{to.provider->name, to.model, pool.key(leg.attempt_.key).label, false};
  core_.metrics.usage(key, sum);
  core_.ledger.settle(request_.account, plan_.upper_microusd, std::move(key), sum);
}

void Call::stop_upstream() {
  if (concluded_) return;
  for (const std::shared_ptr<Leg>& leg : legs_) core_.http->cancel(leg->http_);
}

}  // namespace ez::models
