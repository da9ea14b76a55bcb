#include "core/run.h"

#include <charconv>

namespace ez::core {

const TaskDetail& Task::get() const {
  static const TaskDetail empty;
  return detail ? *detail : empty;
}

std::shared_ptr<TaskDetail> Task::edit() const {
  return detail ? std::make_shared<TaskDetail>(*detail) : std::make_shared<TaskDetail>();
}

std::uint32_t TaskTable::add(Task task) {
  if (size_ % kChunk == 0) {
    std::vector<Task> chunk;
    chunks_.emplace_back(std::move(chunk));
  }
  chunks_.back().write().push_back(std::move(task));
  return size_++;
}

const orchestration::Labels& Run::get_labels() const {
  static const orchestration::Labels kNone;
  return labels ? *labels : kNone;
}

std::string Run::key_of(const Task& task) const {
  const std::string& id = definition_of(task).id;
  return task.instance == kNoInstance ? id : id + "." + std::to_string(task.instance);
}

std::uint32_t Run::find(std::string_view key) const {
  const auto dot = key.find('.');
  const auto definition_index = definition().find_task(key.substr(0, dot));
  if (!definition_index) return UINT32_MAX;
  // Definition tasks come first, in order; instances follow behind their group's first_child.
  if (dot == std::string_view::npos) return *definition_index;
  const std::string_view number = key.substr(dot + 1);
  std::uint32_t instance = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), instance);
  if (error != std::errc() || end != number.data() + number.size()) return UINT32_MAX;
  const Task& group = tasks[*definition_index];
  return instance < group.child_count ? group.first_child + instance : UINT32_MAX;
}

}  // namespace ez::core
