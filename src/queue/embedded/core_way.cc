// The embedded bus: messages that also travel through a broker.
#include "queue/embedded/core.h"

namespace ez::queue {

void Core::publish_on_the_way(std::vector<Message> messages, PlacedCallback done) {
  publish(std::move(messages), true,
          [done = std::move(done)](std::vector<Result<Receipt>> answers, std::vector<Place> places) {
            for (Place& place : places) {
              if (place.sequence == 0) place = {};
            }
            done(std::move(answers), std::move(places));
          });
}

void Core::set_out(const std::vector<Place>& places) {
  std::lock_guard lock(mutex_);
  for (const Place& place : places) {
    Topic* topic = place.sequence == 0 ? nullptr : state_->topic_of(place.topic);
    if (topic != nullptr) lines_.set_out(*topic, place.sequence);
  }
}

void Core::gate(const std::string& pattern, const std::string& group, bool on) {
  {
    std::lock_guard lock(mutex_);
    lines_.gate(pattern, group, on);
  }
  log_->wake();
}

void Core::arrived(const std::string& group, const std::vector<Place>& places) {
  {
    std::lock_guard lock(mutex_);
    for (const Place& place : places) {
      const Topic* topic = state_->topic_of(place.topic);
      if (topic == nullptr) continue;
      for (const auto& one : topic->slots) {
        if (one != nullptr && (group.empty() || one->name == group))
          lines_.arrived(*one->line, place.sequence);
      }
    }
  }
  log_->wake();
}

void Core::arrived_older(const std::string& pattern, const std::string& group,
                         std::chrono::milliseconds age) {
  {
    std::lock_guard lock(mutex_);
    if (lines_.on_the_way() == 0) return;
    for (Line* line : lines_.lines_of(pattern, group)) {
      lines_.arrived_older(*line, std::chrono::microseconds(age).count());
    }
  }
  log_->wake();
}

void Core::all_arrived() {
  {
    std::lock_guard lock(mutex_);
    for (Line* line : lines_.all_lines()) lines_.arrived_older(*line, 0);
  }
  log_->wake();
}

std::size_t Core::on_the_way() {
  std::lock_guard lock(mutex_);
  return lines_.on_the_way();
}

bool Core::has_subscription(const std::string& pattern, const std::string& group) {
  std::lock_guard lock(mutex_);
  return state_->subscriptions().contains({pattern, group, true});
}

std::uint64_t Core::unsettled(const std::string& pattern, const std::string& group) {
  std::lock_guard lock(mutex_);
  std::uint64_t count = 0;
  for (const Line* line : lines_.lines_of(pattern, group))
    count += line->topic->waiting_in(line->group->slot);
  return count;
}

}  // namespace ez::queue
