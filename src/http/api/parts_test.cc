// The small parts: timers, the background pool, fields, names of files.
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "base/json.h"
#include "http/api/background.h"
#include "http/api/content_type.h"
#include "http/api/fields.h"
#include "http/api/timers.h"

namespace ez::http::api {
namespace {

class Gate {
 public:
  void open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

TEST(ApiTimers, FireInOrderAndCanBeCancelled) {
  Timers timers(system_clock(), 10);
  std::mutex mutex;
  std::vector<int> fired;
  Gate last;
  const auto add = [&](int number, int ms) {
    return timers.after(std::chrono::milliseconds(ms), [&, number] {
      {
        std::lock_guard lock(mutex);
        fired.push_back(number);
      }
      if (number == 4) last.open();
    });
  };
  (void)add(4, 2'000);
  (void)add(1, 5);
  const Timers::Id cancelled = add(2, 1'500);
  (void)add(3, 1'000);
  timers.cancel(cancelled);
  timers.cancel(cancelled);
  timers.cancel(0);
  last.wait();
  std::lock_guard lock(mutex);
  EXPECT_EQ(fired, (std::vector<int>{1, 3, 4}));
  EXPECT_EQ(timers.size(), 0u);
}

TEST(ApiTimers, AreBounded) {
  Timers timers(system_clock(), 2);
  EXPECT_NE(timers.after(std::chrono::hours(1), [] {}), 0u);
  EXPECT_NE(timers.after(std::chrono::hours(1), [] {}), 0u);
  EXPECT_EQ(timers.after(std::chrono::hours(1), [] {}), 0u);
  timers.stop();
  EXPECT_EQ(timers.size(), 0u);
  EXPECT_EQ(timers.after(std::chrono::hours(1), [] {}), 0u);
}

TEST(ApiBackground, RefusesWhenFullAndRunsWhatItTook) {
  Gate hold;
  Gate started;
  int done = 0;
  {
    Background pool("test", 1, 2, 1);
    ASSERT_TRUE(pool.post([&] {
      started.open();
      hold.wait();
      ++done;
    }));
    started.wait();
    EXPECT_TRUE(pool.post([&] { ++done; }));
    EXPECT_TRUE(pool.post([&] { ++done; }));
    EXPECT_FALSE(pool.post([&] { ++done; }));
    EXPECT_EQ(pool.waiting(), 2u);
    hold.open();
    pool.stop();
    EXPECT_FALSE(pool.post([&] { ++done; }));
  }
  EXPECT_EQ(done, 3);
}

Status read(std::string_view json, bool strict = true) {
  const auto value = parse_json(json);
  EXPECT_TRUE(value.ok());
  Fields fields(*value, "thing", strict);
  (void)fields.need_line("name", 4);
  (void)fields.number("count", 1, 0, 10);
  (void)fields.flag("on", false);
  (void)fields.sha256("hash");
  return fields.done();
}

TEST(ApiFields, MistakesNameTheField) {
  EXPECT_TRUE(read(R"({"name":"abc","count":10,"on":true,"hash":null})").ok());
  EXPECT_TRUE(read(R"({"name":"abc","more":1})", false).ok());
  const std::pair<const char*, const char*> wrong[] = {
      {R"({})", "thing.name: is missing or empty"},
      {R"({"name":"abcde"})", "thing.name: has 5 bytes; at most 4 are allowed"},
      {R"({"name":"a\n"})", "thing.name: must not contain control characters"},
      {R"({"name":7})", "thing.name: must be a string, not int"},
      {R"({"name":"a","count":11})", "thing.count: must be an integer from 0 to 10"},
      {R"({"name":"a","count":1.5})", "thing.count: must be an integer from 0 to 10"},
      {R"({"name":"a","on":1})", "thing.on: must be true or false"},
      {R"({"name":"a","hash":"AA"})", "thing.hash: must be a SHA-256 in 64 lower-case hexadecimal digits"},
      {R"({"name":"a","nmae":"b"})", "thing.nmae: there is no such field here"},
      {R"([])", "thing must be an object"},
  };
  for (const auto& [json, message] : wrong) {
    const Status status = read(json);
    ASSERT_FALSE(status.ok()) << json;
    EXPECT_EQ(status.error().message(), message) << json;
    EXPECT_EQ(status.error().code(), Code::RequestInvalid);
  }
}

TEST(ApiContentType, NamesAreOnlyNames) {
  EXPECT_EQ(content_type_of("a/b.MD"), "text/markdown; charset=utf-8");
  EXPECT_EQ(content_type_of("x.unknown"), "application/octet-stream");
  EXPECT_EQ(content_type_of(""), "application/octet-stream");
  EXPECT_EQ(content_disposition("../../etc/passwd", true), "attachment; filename=\"passwd\"");
  EXPECT_EQ(content_disposition("a\"b\r\nc", false), "inline; filename=\"a_b__c\"");
  EXPECT_EQ(content_disposition("", false), "inline; filename=\"artifact\"");
}

}  // namespace
}  // namespace ez::http::api
