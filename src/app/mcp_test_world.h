// What the tests of the MCP client share. Used by *_test.cc only.
#pragma once

#include <stdlib.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "app/llm_test_world.h"

namespace ez::app {

// A program of this machine that serves until the test ends.
class HttpServer {
 public:
  explicit HttpServer(std::vector<std::string> argv,
                      std::vector<std::string> environment = {"PATH=/usr/bin:/bin"})
      : thread_([this, argv = std::move(argv), environment = std::move(environment)] {
          agents::ProcessSpec spec;
          spec.argv = argv;
          spec.environment = environment;
          spec.join_streams = true;
          spec.grace = std::chrono::milliseconds(500);
          Hooks hooks(*this);
          const auto outcome = agents::run_process(spec, &hooks, &stop_);
          const std::lock_guard lock(mutex_);
          text_ += outcome.ok() ? "\n" : outcome.error().to_string() + "\n";
          ended_ = true;
          changed_.notify_all();
        }) {}
  ~HttpServer() {
    stop_.cancel();
    thread_.join();
  }
  // Waits until it has printed one that holds `part`.
  std::string line_with(const std::string& part) {
    std::unique_lock lock(mutex_);
    std::string found;
    changed_.wait_for(lock, std::chrono::seconds(60), [&] {
      std::istringstream lines(text_);
      for (std::string line; std::getline(lines, line);) {
        if (line.find(part) != std::string::npos && !lines.eof()) found = line;
      }
      return !found.empty() || ended_;
    });
    EXPECT_FALSE(found.empty()) << text_;
    return found;
  }
  std::string first_line() { return line_with(""); }

 private:
  class Hooks final : public agents::ProcessHooks {
   public:
    explicit Hooks(HttpServer& server) : server_(server) {}
    bool output(std::string_view bytes) override {
      const std::lock_guard lock(server_.mutex_);
      server_.text_.append(bytes);
      server_.changed_.notify_all();
      return true;
    }

   private:
    HttpServer& server_;
  };
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string text_;
  bool ended_ = false;
  agents::CancelToken stop_;
  std::thread thread_;
};

class McpWorld : public LlmWorld {
 protected:
  static std::string source_folder() {
    const char* root = ::getenv("EZ_SOURCE_DIR");
    return root != nullptr ? root : ".";
  }
  static std::string script_path() { return source_folder() + "/tests/mcp/stateless_server.py"; }
  // The scripted server as a command; its text is handed over, so that nothing has to be visible in the
  // sandbox.
  static Value scripted(const std::string& kind) {
    return Value::Map{{"command", Value::List{"python3", "-c", agents::slurp(script_path()), kind}}};
  }
  // One call a turn, then the end. What the model was told, by turn, and the tools that it was given.
  TaskResult play(const WorkItem& work, std::vector<std::string> turns) {
    turns.push_back(finish());
    ScriptedModel model(turns);
    TaskResult result = run(work, model);
    const std::vector<Value> requests = model.requests();
    told.assign(turns.size(), "");
    for (std::size_t i = 1; i < requests.size(); ++i) told[i - 1] = last_results(requests[i]);
    tools = requests.empty() ? "" : to_json(*requests[0].find("tools"));
    return result;
  }
  std::vector<std::string> told;
  std::string tools;
};

}  // namespace ez::app
