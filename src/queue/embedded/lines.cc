#include "queue/embedded/lines.h"

#include <algorithm>

#include "queue/topic.h"

namespace ez::queue {
namespace {

std::uint64_t bit_of(std::uint64_t sequence) { return std::uint64_t{1} << (sequence % kChunk); }

}  // namespace

void Lines::join(State& state, Member& member) {
  members_.push_back(&member);
  for (const auto& [name, topic] : state.topics()) {
    Group* group = matches(member.pattern, name) ? topic->group_named(member.group) : nullptr;
    if (group == nullptr) continue;
    member.lines.push_back(group->line);
    group->line->members.push_back(&member);
  }
}

void Lines::leave(Member& member) {
  std::erase(members_, &member);
  for (Line* line : member.lines) std::erase(line->members, &member);
  member.lines.clear();
}

bool Lines::waits(const Line& line, std::uint64_t sequence) {
  const Chunk* chunk = line.topic->chunk_of(sequence);
  return chunk != nullptr && (chunk->live & ~chunk->settled[line.group->slot] & bit_of(sequence)) != 0;
}

std::optional<std::uint64_t> Lines::next(Line& line) {
  Topic& topic = *line.topic;
  const std::size_t slot = line.group->slot;
  for (std::size_t priority = 0; priority < kPriorities; ++priority) {
    auto& again = line.returned[priority];
    while (!again.empty()) {
      const std::uint64_t sequence = *again.begin();
      again.erase(again.begin());
      if (waits(line, sequence)) return sequence;
    }
    auto chunk = topic.chunks.lower_bound(line.cursor[priority]);
    while (chunk != topic.chunks.end()) {
      line.cursor[priority] = chunk->first;
      Chunk& one = *chunk->second;
      const std::uint64_t free = one.live & one.priority[priority] & ~one.settled[slot] & ~one.taken[slot];
      if (free != 0) {
        one.taken[slot] |= free & (~free + 1);
        return chunk->first * kChunk + static_cast<std::uint64_t>(__builtin_ctzll(free));
      }
      ++chunk;
    }
  }
  return std::nullopt;
}

std::optional<std::uint64_t> Lines::pick(Line& line) {
  while (const auto sequence = next(line)) {
    const auto timing =
        line.topic->timing.empty() ? line.topic->timing.end() : line.topic->timing.find(*sequence);
    if (timing != line.topic->timing.end() && timing->second.expires_ms != 0 &&
        timing->second.expires_ms <= clock_.now_ms()) {
      expired_[line.topic->id].insert(*sequence);
      continue;
    }
    if (!line.on_the_way.empty() && line.on_the_way.contains(*sequence)) {
      line.held.insert(*sequence);
      continue;
    }
    ++line.out;
    return sequence;
  }
  return std::nullopt;
}

void Lines::again(Line& line, std::uint64_t sequence) {
  if (waits(line, sequence)) ready(line, sequence);
}

void Lines::stir(Line& line) {
  if (line.stirred) return;
  line.stirred = true;
  stirred_.push_back(&line);
}

std::vector<Line*> Lines::take_stirred() {
  std::vector<Line*> out = std::exchange(stirred_, {});
  for (Line* line : out) line->stirred = false;
  return out;
}

std::map<std::uint64_t, std::set<std::uint64_t>> Lines::take_expired() { return std::exchange(expired_, {}); }

void Lines::expire_later(std::uint64_t topic, const std::set<std::uint64_t>& sequences) {
  // At whole seconds, so that all of them are looked at together.
  const std::int64_t at_ms = (clock_.now_ms() / 1000 + 2) * 1000;
  for (const std::uint64_t sequence : sequences) timers_.push({at_ms, topic, 0, sequence});
}

Line* Lines::find(std::uint64_t group) const {
  const auto found = lines_.find(group);
  return found == lines_.end() ? nullptr : found->second.get();
}

std::uint64_t Lines::delayed(const Line& line) const {
  const std::int64_t now_ms = clock_.now_ms();
  std::uint64_t count = 0;
  for (const auto& [sequence, timing] : line.topic->timing) {
    if (timing.due_ms > now_ms && waits(line, sequence)) ++count;
  }
  for (const auto& [sequence, failure] : line.group->failures) {
    if (failure.not_before_ms > now_ms) ++count;
  }
  return count;
}

void Lines::ready(Line& line, std::uint64_t sequence) {
  line.returned[static_cast<std::size_t>(line.topic->priority_of(sequence))].insert(sequence);
  stir(line);
}

void Lines::delay(Line& line, std::uint64_t sequence, std::int64_t until_ms) {
  timers_.push({until_ms, line.topic->id, line.group->id, sequence});
}

void Lines::enqueue(Line& line, std::uint64_t sequence, std::uint64_t key) {
  KeyLine& of_key = line.keys[key];
  if (of_key.active != 0) {
    of_key.waiting.insert(sequence);
    return;
  }
  of_key.active = sequence;
  ready(line, sequence);
}

// A message that waits for the line's group, new or found after a restart.
void Lines::available(Line& line, std::uint64_t sequence, const Entry& entry, bool timed) {
  std::uint64_t& taken = line.topic->chunk_of(sequence)->taken[line.group->slot];
  if (timed) {
    const std::int64_t due_ms = line.topic->timing.at(sequence).due_ms;
    if (due_ms > clock_.now_ms()) {
      taken |= bit_of(sequence);
      delay(line, sequence, due_ms);
      return;
    }
  }
  if (entry.key != 0) {
    taken |= bit_of(sequence);
    enqueue(line, sequence, entry.key);
    return;
  }
  stir(line);
}

void Lines::topic_added(Topic& topic) {
  topics_[topic.id] = &topic;
  for (const auto& [sequence, timing] : topic.timing) {
    if (timing.expires_ms != 0) timers_.push({timing.expires_ms, topic.id, 0, sequence});
  }
}

void Lines::group_added(Topic& topic, Group& group) {
  auto made = std::make_unique<Line>();
  Line& line = *made;
  line.topic = &topic;
  line.group = &group;
  group.line = &line;
  line.gated = is_gated(line);
  lines_[group.id] = std::move(made);
  for (Member* member : members_) {
    if (member->group != group.name || !matches(member->pattern, topic.name)) continue;
    member->lines.push_back(&line);
    line.members.push_back(member);
  }
  for (const auto& [number, chunk] : topic.chunks) {
    for (std::uint64_t left = chunk->live & ~chunk->settled[group.slot]; left != 0; left &= left - 1) {
      const auto position = static_cast<std::uint64_t>(__builtin_ctzll(left));
      const std::uint64_t sequence = number * kChunk + position;
      const auto failure = group.failures.find(sequence);
      const bool later = failure != group.failures.end() && failure->second.not_before_ms > clock_.now_ms();
      if (!later) {
        available(line, sequence, chunk->entries[position], (chunk->timed >> position & 1) != 0);
        continue;
      }
      // As after the nack: it holds its key's place while it waits.
      chunk->taken[group.slot] |= bit_of(sequence);
      if (const std::uint64_t key = chunk->entries[position].key; key != 0) {
        KeyLine& of_key = line.keys[key];
        if (of_key.active == 0) {
          of_key.active = sequence;
        } else {
          of_key.waiting.insert(sequence);
          continue;
        }
      }
      delay(line, sequence, failure->second.not_before_ms);
    }
  }
}

void Lines::group_removed(Topic&, Group& group) {
  Line& line = *group.line;
  on_the_way_ -= line.on_the_way.size();
  for (Member* member : line.members) {
    std::erase(member->lines, &line);
    member->ended = member->lines.empty();
    members_ended_ = members_ended_ || member->ended;
  }
  std::erase(stirred_, &line);
  lines_.erase(group.id);
}

void Lines::added(Topic& topic, std::uint64_t sequence) {
  const Chunk& chunk = *topic.chunk_of(sequence);
  const bool timed = (chunk.timed & bit_of(sequence)) != 0;
  const Entry& entry = chunk.entries[sequence % kChunk];
  if (timed) {
    const std::int64_t expires_ms = topic.timing.at(sequence).expires_ms;
    if (expires_ms != 0) timers_.push({expires_ms, topic.id, 0, sequence});
  }
  for (const auto& group : topic.slots) {
    if (group == nullptr || (chunk.settled[group->slot] & bit_of(sequence)) != 0) continue;
    available(*group->line, sequence, entry, timed);
  }
}

void Lines::settled(Topic& topic, Group& group, std::uint64_t sequence) {
  if (!group.line->on_the_way.empty()) forget(*group.line, sequence);
  const Entry* entry = topic.find(sequence);
  if (entry == nullptr || entry->key == 0) return;
  Line& line = *group.line;
  const auto found = line.keys.find(entry->key);
  if (found == line.keys.end()) return;
  KeyLine& of_key = found->second;
  of_key.waiting.erase(sequence);
  if (of_key.active != sequence) return;
  of_key.active = 0;
  if (of_key.waiting.empty()) {
    line.keys.erase(found);
    return;
  }
  of_key.active = *of_key.waiting.begin();
  of_key.waiting.erase(of_key.waiting.begin());
  const auto failure = group.failures.find(of_key.active);
  if (failure != group.failures.end() && failure->second.not_before_ms > clock_.now_ms()) {
    delay(line, of_key.active, failure->second.not_before_ms);
  } else {
    ready(line, of_key.active);
  }
}

void Lines::returned(Topic&, Group& group, std::uint64_t sequence) {
  const std::int64_t not_before_ms = group.failures.at(sequence).not_before_ms;
  if (not_before_ms > clock_.now_ms()) {
    delay(*group.line, sequence, not_before_ms);
  } else {
    ready(*group.line, sequence);
  }
}

// ---- messages that travel through a broker ----

bool Lines::is_gated(const Line& line) const {
  for (const auto& [pattern, group] : gated_) {
    if (group == line.group->name && matches(pattern, line.topic->name)) return true;
  }
  return false;
}

void Lines::gate(const std::string& pattern, const std::string& group, bool on) {
  if (on) {
    gated_.emplace(pattern, group);
  } else {
    gated_.erase({pattern, group});
  }
  for (Line* line : lines_of(pattern, group)) {
    line->gated = is_gated(*line);
    if (!line->gated) arrived_older(*line, 0);
  }
}

std::vector<Line*> Lines::lines_of(const std::string& pattern, const std::string& group) const {
  std::vector<Line*> out;
  for (const auto& [id, line] : lines_) {
    if (line->group->name == group && matches(pattern, line->topic->name)) out.push_back(line.get());
  }
  return out;
}

std::vector<Line*> Lines::all_lines() const {
  std::vector<Line*> out;
  for (const auto& [id, line] : lines_) out.push_back(line.get());
  return out;
}

void Lines::set_out(Topic& topic, std::uint64_t sequence) {
  const std::int64_t now_us = clock_.monotonic_us();
  for (const auto& group : topic.slots) {
    if (group == nullptr || !group->line->gated || on_the_way_ >= kMaxOnTheWay) continue;
    if (waits(*group->line, sequence) && group->line->on_the_way.emplace(sequence, now_us).second)
      ++on_the_way_;
  }
}

void Lines::forget(Line& line, std::uint64_t sequence) {
  if (line.on_the_way.erase(sequence) == 0) return;
  --on_the_way_;
  line.held.erase(sequence);
}

void Lines::arrived(Line& line, std::uint64_t sequence) {
  const bool was_held = line.held.contains(sequence);
  if (!line.on_the_way.contains(sequence)) return;
  forget(line, sequence);
  if (was_held && waits(line, sequence)) ready(line, sequence);
}

void Lines::arrived_older(Line& line, std::int64_t age_us) {
  const std::int64_t until_us = clock_.monotonic_us() - age_us;
  // In the order of publishing, so the oldest come first.
  while (!line.on_the_way.empty() && line.on_the_way.begin()->second <= until_us) {
    arrived(line, line.on_the_way.begin()->first);
  }
}

std::optional<std::int64_t> Lines::run_timers() {
  const std::int64_t now_ms = clock_.now_ms();
  while (!timers_.empty() && timers_.top().at_ms <= now_ms) {
    const Timer timer = timers_.top();
    timers_.pop();
    fire(timer);
  }
  if (timers_.empty()) return std::nullopt;
  return timers_.top().at_ms;
}

void Lines::fire(const Timer& timer) {
  const auto topic = topics_.find(timer.topic);
  if (topic == topics_.end()) return;
  if (timer.group == 0) {
    // What is out may still be done; when it comes back, pick() sees that its time has passed.
    const Chunk* chunk = topic->second->chunk_of(timer.sequence);
    if (chunk != nullptr && (chunk->live & bit_of(timer.sequence)) != 0) {
      expired_[timer.topic].insert(timer.sequence);
    }
    return;
  }
  const auto found = lines_.find(timer.group);
  if (found == lines_.end()) return;
  Line& line = *found->second;
  if (!waits(line, timer.sequence)) return;
  const Entry& entry = *line.topic->find(timer.sequence);
  const auto of_key = line.keys.find(entry.key);
  const bool active =
      entry.key == 0 || (of_key != line.keys.end() && of_key->second.active == timer.sequence);
  if (active) {
    ready(line, timer.sequence);
  } else {
    enqueue(line, timer.sequence, entry.key);
  }
}

}  // namespace ez::queue
