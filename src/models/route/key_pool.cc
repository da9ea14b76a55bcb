#include "models/route/key_pool.h"

#include <algorithm>

namespace ez::models {
namespace {

// When so much fits under the limit again; 0: now.
std::int64_t fits_at_ms(const RateLimit& limit, std::int64_t amount, std::int64_t now_ms) {
  if (!limit.remaining || !limit.reset_at_ms || *limit.reset_at_ms <= now_ms) return 0;
  if (limit.limit && *limit.limit < amount) return 0;  // it never fits: the provider has to say so
  return *limit.remaining >= amount ? 0 : *limit.reset_at_ms;
}

void spend(RateLimit& limit, std::int64_t amount) {
  if (limit.remaining) *limit.remaining = std::max<std::int64_t>(0, *limit.remaining - amount);
}

void learn(RateLimit& known, const RateLimit& told) {
  if (told.limit) known.limit = told.limit;
  if (told.remaining) known.remaining = told.remaining;
  if (told.reset_at_ms) known.reset_at_ms = told.reset_at_ms;
}

void learn(RateLimits& known, const RateLimits& told) {
  learn(known.requests, told.requests);
  learn(known.tokens, told.tokens);
  learn(known.input_tokens, told.input_tokens);
  learn(known.output_tokens, told.output_tokens);
}

// The latest of the times that the limits name at which nothing is left until then.
std::int64_t exhausted_until_ms(const RateLimits& limits, std::int64_t now_ms) {
  std::int64_t until = 0;
  for (const RateLimit* limit :
       {&limits.requests, &limits.tokens, &limits.input_tokens, &limits.output_tokens}) {
    until = std::max(until, fits_at_ms(*limit, 1, now_ms));
  }
  return until;
}

}  // namespace

KeyPool::KeyPool(const Provider& provider) : config_(provider), keys_(provider.keys.size()) {}

std::int64_t KeyPool::free_at_ms(const Key& key, std::int64_t now_ms, std::int64_t tokens) const {
  std::int64_t at = key.rest_until_ms > now_ms ? key.rest_until_ms : 0;
  at = std::max(at, fits_at_ms(key.limits.requests, 1, now_ms));
  at = std::max(at, fits_at_ms(key.limits.tokens, tokens, now_ms));
  at = std::max(at, fits_at_ms(key.limits.input_tokens, tokens, now_ms));
  at = std::max(at, fits_at_ms(key.limits.output_tokens, 1, now_ms));
  if (!key.breaker.allows(now_ms)) at = std::max(at, std::max(key.breaker.opens_at_ms(), now_ms + 1'000));
  return at;
}

KeyPool::Choice KeyPool::take(std::int64_t now_ms, std::int64_t tokens, const std::vector<bool>& skip) {
  std::lock_guard lock(mutex_);
  Choice choice;
  if (!provider_.allows(now_ms)) {
    choice.wait_ms = std::max<std::int64_t>(1'000, provider_.opens_at_ms() - now_ms);
    choice.why = config_.name + " keeps failing and is given a pause";
    return choice;
  }
  std::size_t waiting = 0, full = 0;
  std::int64_t soonest = INT64_MAX;
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    if (skip[i]) continue;
    const Key& key = keys_[i];
    if (const std::int64_t at = free_at_ms(key, now_ms, tokens); at > now_ms) {
      soonest = std::min(soonest, at);
      ++waiting;
      continue;
    }
    if (key.calls >= config_.max_calls) {
      ++full;
      continue;
    }
    if (!choice.key || key.calls < keys_[*choice.key].calls) choice.key = i;
  }
  if (choice.key) {
    Key& key = keys_[*choice.key];
    ++key.calls;
    key.breaker.began(now_ms);
    provider_.began(now_ms);
    spend(key.limits.requests, 1);
    spend(key.limits.tokens, tokens);
    spend(key.limits.input_tokens, tokens);
    return choice;
  }
  if (soonest != INT64_MAX) choice.wait_ms = soonest - now_ms;
  if (full > 0) choice.wait_ms = choice.wait_ms == 0 ? 100 : std::min<std::int64_t>(choice.wait_ms, 100);
  choice.why = "of the keys of " + config_.name + " " + std::to_string(waiting) + " have to wait and " +
               std::to_string(full) + " have as many calls as they may";
  return choice;
}

void KeyPool::release(std::size_t key) {
  std::lock_guard lock(mutex_);
  --keys_[key].calls;
}

void KeyPool::succeeded(std::size_t index, const RateLimits& limits, std::int64_t) {
  std::lock_guard lock(mutex_);
  Key& key = keys_[index];
  key.rest_ms = 0;
  key.breaker.succeeded();
  provider_.succeeded();
  learn(key.limits, limits);
}

void KeyPool::failed(std::size_t index, const ProviderError& error, std::int64_t now_ms) {
  std::lock_guard lock(mutex_);
  Key& key = keys_[index];
  learn(key.limits, error.limits);
  const auto rest = [&](std::int64_t until_ms) { key.rest_until_ms = std::max(key.rest_until_ms, until_ms); };
  switch (error.kind) {
    case ErrorKind::kRateLimit:
    case ErrorKind::kOverloaded: {
      std::int64_t until = error.retry_after_ms ? now_ms + *error.retry_after_ms : 0;
      if (until == 0 && error.kind == ErrorKind::kRateLimit) until = exhausted_until_ms(key.limits, now_ms);
      if (until == 0) {
        key.rest_ms = key.rest_ms == 0 ? kFirstRestMs : std::min(key.rest_ms * 2, kMaxRestMs);
        until = now_ms + key.rest_ms;
      }
      rest(until);
      // A key that has to wait says nothing about the provider's health; a provider that has no room does.
      key.breaker.forgotten();
      if (error.kind == ErrorKind::kOverloaded) {
        provider_.failed(now_ms);
      } else {
        provider_.succeeded();
      }
      return;
    }
    case ErrorKind::kPermission:  // perhaps only for this model
      key.breaker.forgotten();
      provider_.succeeded();
      return;
    case ErrorKind::kAuthentication:
    case ErrorKind::kQuota:
      rest(now_ms + std::max(error.retry_after_ms.value_or(0), kRefusedRestMs));
      key.breaker.forgotten();
      provider_.succeeded();
      return;
    case ErrorKind::kServer:
    case ErrorKind::kTimeout:
    case ErrorKind::kConnection:
    case ErrorKind::kInvalidAnswer:
      key.breaker.failed(now_ms);
      provider_.failed(now_ms);
      return;
    default:  // the request was at fault: the provider works
      key.breaker.succeeded();
      provider_.succeeded();
      return;
  }
}

void KeyPool::forgotten(std::size_t key) {
  std::lock_guard lock(mutex_);
  keys_[key].breaker.forgotten();
  provider_.forgotten();
}

std::vector<KeyPool::Figures> KeyPool::figures(std::int64_t now_ms) const {
  std::lock_guard lock(mutex_);
  std::vector<Figures> out;
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    const Key& key = keys_[i];
    out.push_back({config_.keys[i].label, key.calls, key.rest_until_ms > now_ms, key.breaker.is_open(now_ms),
                   key.limits});
  }
  return out;
}

bool KeyPool::provider_open(std::int64_t now_ms) const {
  std::lock_guard lock(mutex_);
  return provider_.is_open(now_ms);
}

}  // namespace ez::models
