#include "models/gateway/call.h"

#include <algorithm>

#include "models/dialect/listing.h"
#include "telemetry/log.h"

namespace ez::models {
namespace {

constexpr std::int64_t kFirstBackoffMs = 300;
constexpr std::int64_t kMaxBackoffMs = 8'000;

ProviderError make_error(ErrorKind kind, std::string message) {
  ProviderError error;
  error.kind = kind;
  error.message = std::move(message);
  return error;
}

// What another provider or model may do better.
bool is_providers_fault(ErrorKind kind) {
  return kind == ErrorKind::kServer || kind == ErrorKind::kTimeout || kind == ErrorKind::kConnection ||
         kind == ErrorKind::kInvalidAnswer || kind == ErrorKind::kOverloaded;
}

}  // namespace

Call::Call(Gateway::Core& core, CallRequest request, std::shared_ptr<CallClient> client)
    : core_(core), request_(std::move(request)), client_(std::move(client)) {}

void Call::begin() {
  begin_us_ = core_.clock.monotonic_us();
  auto plan = make_plan(core_.config, request_.endpoint, request_.account->info, request_.body);
  if (!plan.ok()) return Gateway::refuse(request_.endpoint, plan.error(), *client_);
  plan_ = std::move(plan).value();
  if (plan_.local_count) {
    return client_->answer(200, {{"content-type", "application/json"}},
                           render_token_count(plan_.input_likely));
  }
  if (core_.cassette && replayed()) return;
  for (const PlannedTarget& planned : plan_.targets) {
    skip_.emplace_back(core_.pool(*planned.provider).size(), false);
  }
  reserve();
}

void Call::reserve() {
  auto self = shared_from_this();
  core_.ledger.reserve(request_.account, plan_.upper_microusd, [self](const Status& status) {
    if (!status.ok()) {
      const bool poor = status.error().code() == Code::BudgetExceeded;
      if (poor && lower_output(self->plan_)) return self->reserve();
      const ProviderError error = Gateway::error_of(status.error());
      if (!self->core_.http->post([self, error] { self->fail(error); })) self->fail(error);
      return;
    }
    if (self->core_.http->post([self] { self->go(); })) return;
    self->reserved_ = true;  // the gateway has stopped: nobody else touches this call any more
    self->settle({});
    self->fail(Gateway::error_of(Error(Code::ShuttingDown, "the server is stopping")));
  });
}

void Call::go() {
  reserved_ = true;
  if (over_id_ == 0) {
    over_id_ = core_.ledger.on_over(request_.account, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->lease_over();
    });
    if (over_id_ == 0) over_ = true;
  }
  next();
}

void Call::next() {
  if (concluded_) return;
  if (broken_off())
    return fail(Gateway::error_of(Error(Code::LeaseStale, "the work that this call was for is over")));
  if (!reserved_) return reserve();  // an attempt has used up what was set aside
  std::int64_t soonest_ms = 0;
  std::string why;
  for (std::size_t i = 0; i < plan_.targets.size(); ++i) {
    KeyPool& pool = core_.pool(*plan_.targets[i].provider);
    if (std::find(skip_[i].begin(), skip_[i].end(), false) == skip_[i].end()) continue;
    const KeyPool::Choice choice = pool.take(now_ms(), plan_.input_likely, skip_[i]);
    if (choice.key) return send(i, *choice.key);
    if (!why.empty()) why += "; ";
    why += choice.why;
    if (choice.wait_ms > 0 && (soonest_ms == 0 || choice.wait_ms < soonest_ms)) soonest_ms = choice.wait_ms;
  }
  if (soonest_ms > 0 && waited_ms_ + soonest_ms <= core_.config.max_wait.count()) return wait(soonest_ms);
  ProviderError error = last_error_ ? *last_error_ : make_error(ErrorKind::kRateLimit, why);
  if (soonest_ms > 0) error.retry_after_ms = soonest_ms;
  fail(std::move(error));
}

void Call::wait(std::int64_t ms) {
  waited_ms_ += ms;
  const std::int64_t jitter =
      static_cast<std::int64_t>(core_.random.below(static_cast<std::uint64_t>(ms / 5 + 1)));
  auto self = shared_from_this();
  if (!core_.http->post_after(std::chrono::milliseconds(ms + jitter), [self] { self->next(); })) {
    fail(Gateway::error_of(Error(Code::ShuttingDown, "the server is stopping")));
  }
}

void Call::send(std::size_t target_index, std::size_t key) {
  attempt_ = {target_index, key, core_.clock.monotonic_us()};
  ++attempts_;
  const PlannedTarget& to = target();
  KeyPool& pool = core_.pool(*to.provider);
  Result<Rendered> body = body_for(plan_, to, request_.body);
  if (!body.ok()) {
    // This target cannot express the request; another may.
    pool.forgotten(key);
    pool.release(key);
    skip_[target_index].assign(skip_[target_index].size(), true);
    last_error_ = Gateway::error_of(body.error());
    return next();
  }
  status_ = 0;
  headers_.clear();
  buffer_.clear();
  is_stream_ = too_large_ = false;
  received_ = 0;
  early_error_.reset();
  if (recording_) recording_.emplace();
  meter_.reset();
  filter_.reset();
  reader_.reset();
  writer_.reset();
  launch(attempt_, std::move(body).value(), false);
}

void Call::retry(const ProviderError& error) {
  last_error_ = error;
  if (attempts_ >= core_.config.max_attempts || broken_off()) return fail(error);
  std::vector<bool>& keys = skip_[attempt_.target];
  const auto give_up_target = [&] { keys.assign(keys.size(), true); };
  bool others = false;
  for (std::size_t i = 0; i < skip_.size(); ++i) {
    if (i != attempt_.target)
      others = others || std::find(skip_[i].begin(), skip_[i].end(), false) != skip_[i].end();
  }
  // What cannot be read costs as much as what can: once is enough, and so is twice without an answer.
  if ((error.kind == ErrorKind::kInvalidAnswer && !others) || burns_ > 1) return fail(error);
  switch (error.remedy()) {
    case Remedy::kOtherKey:
      keys[attempt_.key] = true;
      break;
    case Remedy::kOtherModel:
      if (!others) return fail(error);
      give_up_target();
      break;
    case Remedy::kWait:
      if (is_providers_fault(error.kind) && others) give_up_target();
      break;
    default:
      return fail(error);
  }
  core_.metrics.retried(target().provider->name, error_kind_name(error.kind));
  // A key that has to wait rests in its pool; a provider that fails gets a moment.
  if (is_providers_fault(error.kind) && !others) {
    return wait(error.retry_after_ms
                    ? std::max<std::int64_t>(*error.retry_after_ms, 1)
                    : std::min(kFirstBackoffMs << std::min(attempts_ - 1, 10U), kMaxBackoffMs));
  }
  next();
}

UsageKey Call::usage_key() {
  return {target().provider->name, target().model, core_.pool(*target().provider).key(attempt_.key).label,
          false};
}

void Call::settle(UsageSum sum) {
  if (!reserved_) return;
  reserved_ = false;
  const bool sent = attempts_ > 0;
  UsageKey key = sent ? usage_key() : UsageKey{"", plan_.model, "", false};
  if (sum.microusd > plan_.upper_microusd) sum.microusd = plan_.upper_microusd;
  core_.metrics.usage(key, sum);
  core_.ledger.settle(request_.account, plan_.upper_microusd, std::move(key), sum);
}

// The attempt got no answer although its request may have been carried out: it cost what it may have cost.
void Call::burn() {
  ++burns_;
  settle(most_of(target(), std::nullopt));
}

void Call::conclude(std::string_view outcome) {
  if (concluded_) return;
  concluded_ = true;
  if (reserved_) {
    UsageSum nothing;
    nothing.calls = nothing.failed = burns_ > 0 ? 0 : 1;  // counted with what it cost
    settle(nothing);
  }
  if (over_id_ != 0) core_.ledger.forget(request_.account, over_id_);
  const bool known = attempts_ > 0;
  core_.metrics.call(known ? std::string_view(target().provider->name) : std::string_view("none"),
                     known ? std::string_view(target().model) : std::string_view("none"), outcome,
                     core_.clock.monotonic_us() - begin_us_);
}

void Call::fail(ProviderError error) {
  if (concluded_) return;
  const bool gone = cancelled_.load();
  conclude(gone ? "cancelled" : error_kind_name(error.kind));
  if (core_.redactor != nullptr) error.message = core_.redactor->redact(error.message);
  if (attempts_ > 0) {
    EZ_LOG(kInfo, "models", "call failed", {"provider", target().provider->name}, {"model", target().model},
           {"kind", error_kind_name(error.kind)}, {"status", error.status}, {"attempts", attempts_},
           {"run", to_text(request_.account->info.run)}, {"task", request_.account->info.task},
           {"error", error.message});
  }
  if (gone) return;
  RenderedError rendered = render_error(plan_.client, error);
  client_->answer(rendered.status, std::move(rendered.headers), std::move(rendered.body));
}

void Call::cancel() {
  if (cancelled_.exchange(true)) return;
  auto self = shared_from_this();
  (void)core_.http->post([self] { self->stop_upstream(); });
}

void Call::lease_over() {
  if (over_.exchange(true)) return;
  auto self = shared_from_this();
  (void)core_.http->post([self] { self->stop_upstream(); });
}

void Call::drained() {
  auto self = shared_from_this();
  (void)core_.http->post([self] {
    if (self->pending_.empty()) return;
    if (!self->cancelled_ && !self->client_->send(self->pending_)) return;
    self->pending_.clear();
    if (self->finishing_) return self->finish_stream(self->finish_outcome_);
    if (self->http_ != 0) self->core_.http->resume(self->http_);
  });
}

}  // namespace ez::models
