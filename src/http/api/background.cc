#include "http/api/background.h"
#include "base/thread_name.h"

namespace ez::http::api {
namespace {
constexpr std::chrono::minutes kIdle{10};  // pop_all() wants a bound; nothing happens when it is reached
}

Background::Background(const char* name, int threads, std::size_t capacity, std::size_t batch)
    : name_(name), queue_(capacity), batch_(batch) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
}

Background::~Background() { stop(); }

bool Background::post(Task task) { return queue_.try_push(std::move(task)); }

void Background::stop() {
  stopping_.store(true);
  queue_.close();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void Background::run() {
  name_thread(name_);
  while (true) {
    std::vector<Task> tasks = queue_.pop_all(batch_, kIdle);
    if (tasks.empty() && stopping_.load()) return;
    for (Task& task : tasks) {
      task();
      task = nullptr;  // what it holds is free before the next one starts
    }
  }
}

}  // namespace ez::http::api
