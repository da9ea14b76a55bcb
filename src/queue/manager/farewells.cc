#include "queue/manager/farewells.h"

#include <algorithm>

#include "base/clock.h"
#include "base/json.h"
#include "telemetry/log.h"

namespace ez::queue {
namespace {

constexpr const char* kFarewellsKey = "queues/farewells";
constexpr std::int64_t kFarewellPauseUs = 1'000'000;

}  // namespace

Farewells::Farewells(EmbeddedBus& log, std::vector<std::string> backends)
    : log_(log), backends_(std::move(backends)) {
  load();
}

void Farewells::load() {
  for (const auto& [key, text] : log_.settings(kFarewellsKey)) {
    const auto parsed = parse_json(text);
    if (!parsed.ok() || !parsed->is_list()) return;
    for (const Value& one : parsed->as_list()) {
      if (std::ranges::find(backends_, one.string_or("backend", "")) == backends_.end()) continue;
      all_.push_back({next_number_++, std::string(one.string_or("backend", "")),
                      std::string(one.string_or("pattern", "")), std::string(one.string_or("group", ""))});
    }
  }
}

void Farewells::save() {
  Value::List list;
  for (const Farewell& one : all_) {
    list.push_back(Value(Value::Map{
        {"backend", Value(one.backend)}, {"pattern", Value(one.pattern)}, {"group", Value(one.group)}}));
  }
  std::string text = list.empty() ? "" : to_json(Value(std::move(list)));
  log_.set(kFarewellsKey, std::move(text), [](const Result<bool>& done) {
    if (!done.ok())
      EZ_LOG(kWarning, "queue", "which groups brokers have to drop is not recorded",
             {"error", done.error().to_string()});
  });
}

void Farewells::add(const std::string& pattern, const std::string& group) {
  if (backends_.empty()) return;
  std::lock_guard lock(mutex_);
  for (const std::string& backend : backends_) {
    const bool known = std::ranges::any_of(all_, [&](const Farewell& one) {
      return one.backend == backend && one.pattern == pattern && one.group == group;
    });
    if (!known) all_.push_back({next_number_++, backend, pattern, group});
  }
  while (all_.size() > kMost) {
    EZ_LOG(kWarning, "queue", "a group stays at a broker that has been away for too many others",
           {"backend", all_.front().backend}, {"topic", all_.front().pattern}, {"group", all_.front().group});
    all_.pop_front();
  }
  save();
}

void Farewells::take_answers() {
  std::vector<Answer> answers;
  {
    std::lock_guard lock(inbox_->mutex);
    answers.swap(inbox_->answers);
  }
  bool changed = false;
  for (const Answer& answer : answers) {
    const auto found = std::ranges::find(all_, answer.number, &Farewell::number);
    if (found == all_.end()) continue;
    if (answer.done) {
      all_.erase(found);
      changed = true;
    } else {
      found->under_way = false;
      found->next_try_us = system_clock().monotonic_us() + kFarewellPauseUs;
    }
  }
  if (changed) save();
}

void Farewells::attempt(const std::string& backend, Bus& broker) {
  std::lock_guard lock(mutex_);
  take_answers();
  // Checks of the broker's health wait behind what is submitted.
  for (const Farewell& one : all_) {
    if (one.backend == backend && one.under_way) return;
  }
  const std::int64_t now_us = system_clock().monotonic_us();
  for (Farewell& one : all_) {
    if (one.backend == backend && one.next_try_us <= now_us && submit(one, broker)) return;
  }
}

void Farewells::attempt(const std::string& backend, Bus& broker, const std::string& pattern,
                        const std::string& group) {
  std::lock_guard lock(mutex_);
  for (Farewell& one : all_) {
    if (one.backend == backend && one.pattern == pattern && one.group == group) submit(one, broker);
  }
}

bool Farewells::submit(Farewell& one, Bus& broker) {
  if (one.under_way || log_.has_subscription(one.pattern, one.group)) return false;
  one.under_way = true;
  broker.drop_group(one.pattern, one.group, [inbox = inbox_, number = one.number](const Result<bool>& done) {
    std::lock_guard answering(inbox->mutex);
    inbox->answers.push_back({number, done.ok()});
  });
  return true;
}

}  // namespace ez::queue
