#include "telemetry/log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "base/json.h"

namespace ez::telemetry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
namespace fs = std::filesystem;

class ManualClock final : public Clock {
 public:
  std::int64_t now_ms() override { return ms; }
  std::int64_t monotonic_us() override { return ms * 1000; }
  std::atomic<std::int64_t> ms{1'795'366'080'000};
};

class LogTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "ez-log-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder = pattern;
    options.file = folder + "/ez.log";
  }
  void TearDown() override {
    logger.reset();
    fs::remove_all(folder);
  }
  void open() {
    logger.reset();
    auto opened = Logger::open(options, clock);
    ASSERT_TRUE(opened.ok()) << opened.error().to_string();
    logger = std::move(*opened);
  }
  static std::string file(const std::string& path) {
    std::ifstream in(path);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }
  std::vector<std::string> lines() {
    logger->flush();
    std::vector<std::string> out;
    std::istringstream in(file(options.file));
    for (std::string line; std::getline(in, line);) out.push_back(line);
    return out;
  }
  // Every line as JSON.
  std::vector<Value> events() {
    std::vector<Value> out;
    for (const std::string& line : lines()) {
      auto value = parse_json(line);
      EXPECT_TRUE(value.ok()) << line;
      if (value.ok()) out.push_back(*value);
    }
    return out;
  }

  std::string folder;
  ManualClock clock;
  LogOptions options;
  std::unique_ptr<Logger> logger;
};

TEST_F(LogTest, WritesExactJson) {
  open();
  logger->write(
      Level::kInfo, "engine", "run \"finished\"\n",
      {{"run", "r1"}, {"tasks", 5}, {"cost_usd", 0.25}, {"ok", true}, {"fence", ~0ULL}, {"delta", -3}});
  EXPECT_THAT(
      lines(),
      ElementsAre("{\"time\":\"2026-11-22T16:48:00.000Z\",\"level\":\"info\",\"component\":\"engine\","
                  "\"message\":\"run \\\"finished\\\"\\n\",\"run\":\"r1\",\"tasks\":5,\"cost_usd\":0.25,"
                  "\"ok\":true,\"fence\":18446744073709551615,\"delta\":-3}"));
}

TEST_F(LogTest, WritesTextForPeople) {
  options.format = LogFormat::kText;
  open();
  logger->write(Level::kWarning, "http", "slow\x1b[2Jrequest",
                {{"path", "/v1/runs"}, {"note", "two words"}, {"empty", ""}});
  EXPECT_THAT(lines(),
              ElementsAre("2026-11-22T16:48:00.000Z WARNING http: slow\\u001b[2Jrequest path=/v1/runs "
                          "note=\"two words\" empty=\"\""));
}

TEST_F(LogTest, OnlyLevelsThatAreOn) {
  open();
  set_process_logger(logger.get());
  int evaluated = 0;
  const auto costly = [&] { return ++evaluated; };
  EZ_LOG(kDebug, "test", "off", {"n", costly()});
  EZ_LOG(kInfo, "test", "on", {"n", costly()}, {"more", 1});
  EZ_LOG(kError, "test", "bare");
  logger->set_level(Level::kOff);
  EZ_LOG(kError, "test", "off", {"n", costly()});
  set_process_logger(nullptr);
  EXPECT_EQ(evaluated, 1);
  EXPECT_EQ(lines().size(), 2U);
  Level level = Level::kOff;
  EXPECT_TRUE(parse_level("warning", level));
  EXPECT_EQ(level, Level::kWarning);
  EXPECT_FALSE(parse_level("WARNING ", level));
}

TEST_F(LogTest, ValuesAndLinesAreBounded) {
  open();
  logger->write(Level::kInfo, "test", "big", {{"value", std::string(100'000, 'x')}, {"after", 1}});
  std::string many = std::string(8000, '\x01');  // six times as long in JSON
  logger->write(Level::kInfo, "test", many, {{"a", many}, {"b", many}, {"c", 1}});
  auto got = events();
  ASSERT_EQ(got.size(), 2U);
  EXPECT_EQ(got[0].find("value")->as_string(), std::string(8192, 'x') + "[cut 91808 bytes]");
  EXPECT_EQ(got[0].int_or("after", 0), 1);
  EXPECT_TRUE(got[1].bool_or("truncated", false));
  for (const std::string& line : lines()) EXPECT_LE(line.size(), options.max_line_bytes);
}

TEST_F(LogTest, InvalidUtf8AndReservedNames) {
  open();
  logger->write(Level::kInfo, "test", "m", {{"a", "x\xff\xc2\x9by\x7f"}, {"time", "mine"}, {"k\"ey\n", 1}});
  auto got = events();
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].string_or("a", ""), "x\xEF\xBF\xBD\xc2\x9by\x7f");
  EXPECT_EQ(got[0].string_or("field_time", ""), "mine");
  EXPECT_EQ(got[0].int_or("k\"ey\n", 0), 1);
  EXPECT_THAT(lines()[0], HasSubstr("\\u009by\\u007f"));
}

TEST_F(LogTest, SecretsDoNotGetOut) {
  open();
  const std::string secret = "s3cr3t/\"va lue";
  EXPECT_TRUE(logger->redactor().add_secret(secret));
  std::string json;
  append_json_string(json, secret);
  logger->write(Level::kInfo, "test", "with " + secret + " inside",
                {{"password", "hunter2"},
                 {"API-Key", "k"},
                 {"access_token", 12345},
                 {"input_tokens", 77},
                 {"tokens", "abc"},
                 {"body", "{\"x\":" + json + "}"},
                 {"url", "https://user:pa55@host/?q=s3cr3t%2F%22va%20lue"},
                 {"header", "Authorization: Bearer abcdef.ghijkl"},
                 {"padding", std::string(8190, 'x') + secret},
                 {secret, 1}});
  const std::string line = lines()[0];
  for (const char* leak : {"s3cr3t", "hunter2", "12345", "\"abc\"", "pa55", "abcdef", "ghijkl"}) {
    EXPECT_THAT(line, Not(HasSubstr(leak)));
  }
  EXPECT_THAT(line, HasSubstr("\"input_tokens\":77"));
  EXPECT_THAT(line, HasSubstr("with [redacted] inside"));
  EXPECT_THAT(line, HasSubstr("https://user:[redacted]@host/?q=[redacted]"));
  EXPECT_THAT(line, HasSubstr("Bearer [redacted]"));
  EXPECT_THAT(line, HasSubstr("x[redacted][cut "));
}

TEST(Redactor, CountsRegistrationsAndLimits) {
  Redactor redactor;
  EXPECT_FALSE(redactor.add_secret("short"));
  EXPECT_FALSE(redactor.add_secret(std::string(kMaxSecretBytes + 1, 'x')));
  EXPECT_TRUE(redactor.add_secret("abcdef"));
  EXPECT_TRUE(redactor.add_secret("abcdef"));
  EXPECT_TRUE(redactor.add_secret("abcdefghi"));
  EXPECT_EQ(redactor.redact("1abcdefghi2abcdef3"), "1[redacted]2[redacted]3");  // the longest first
  redactor.remove_secret("abcdef");
  EXPECT_EQ(redactor.redact("abcdef"), "[redacted]");
  redactor.remove_secret("abcdef");
  redactor.remove_secret("abcdef");
  EXPECT_EQ(redactor.redact("abcdef abcdefghi"), "abcdef [redacted]");
  for (std::size_t i = 1; i < kMaxSecrets; ++i)
    ASSERT_TRUE(redactor.add_secret("secret-number-" + std::to_string(i)));
  EXPECT_FALSE(redactor.add_secret("one too many"));
  EXPECT_EQ(redactor.redact("a cut: abcdefghi", 10), "a cut: [redacted]");
  EXPECT_EQ(redactor.redact("http://host:80/a@b basic Basic x ://a:b"),
            "http://host:80/a@b basic Basic x ://a:b");
}

TEST_F(LogTest, RepeatedMessagesAreHeldBackAndCounted) {
  options.max_repeats = 3;
  options.repeat_window_ms = 1000;
  open();
  for (int i = 0; i < 10; ++i) logger->write(Level::kWarning, "test", "again", {{"i", i}});
  logger->write(Level::kWarning, "test", "other");
  EXPECT_EQ(events().size(), 4U);
  EXPECT_EQ(logger->suppressed_lines(), 7U);
  clock.ms += 1001;
  logger->write(Level::kInfo, "test", "later");
  auto got = events();
  ASSERT_EQ(got.size(), 6U);
  EXPECT_EQ(got[4].string_or("message", ""), "again");
  EXPECT_EQ(got[4].int_or("held_back", 0), 7);
  for (int i = 0; i < 5; ++i) logger->write(Level::kWarning, "test", "again");
  logger.reset();  // what is still held back is said at the end
  EXPECT_THAT(file(options.file), HasSubstr("\"held_back\":2"));
}

TEST_F(LogTest, ManyDifferentMessagesStayBounded) {
  options.max_repeats = 1;
  open();
  for (int i = 0; i < 5000; ++i) logger->write(Level::kInfo, "test", "message " + std::to_string(i));
  EXPECT_EQ(lines().size(), 5000U);
}

TEST_F(LogTest, FilesRotateBySizeWithoutLosingLines) {
  options.max_file_bytes = 2000;
  options.max_files = 3;
  options.max_repeats = 0;
  open();
  for (int i = 0; i < 100; ++i) {
    logger->write(Level::kInfo, "test", "line", {{"i", i}});
    if (i % 7 == 0) logger->flush();
  }
  logger->flush();
  std::vector<std::int64_t> seen;
  for (const char* suffix : {".3", ".2", ".1", ""}) {
    const std::string path = options.file + suffix;
    ASSERT_TRUE(fs::exists(path)) << path;
    EXPECT_LE(fs::file_size(path), 2000U);
    std::istringstream in(file(path));
    for (std::string line; std::getline(in, line);) {
      auto value = parse_json(line);
      ASSERT_TRUE(value.ok()) << line;
      seen.push_back(value->int_or("i", -1));
    }
  }
  EXPECT_FALSE(fs::exists(options.file + ".4"));
  ASSERT_FALSE(seen.empty());
  EXPECT_EQ(seen.back(), 99);
  for (std::size_t i = 1; i < seen.size(); ++i) EXPECT_EQ(seen[i], seen[i - 1] + 1);
  const auto before = fs::file_size(options.file);
  open();  // appends to what is there
  logger->write(Level::kInfo, "test", "x");
  logger->flush();
  EXPECT_TRUE(fs::file_size(options.file) > before || fs::file_size(options.file) < 200);
}

TEST_F(LogTest, ManyThreadsWriteWholeLines) {
  options.max_repeats = 0;
  open();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) logger->write(Level::kInfo, "test", "line", {{"t", t}, {"i", i}});
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(events().size(), 2000U);
  EXPECT_EQ(logger->dropped_lines(), 0U);
}

// A reader that never reads: writers go on, lines are dropped and counted, the end is not held up for ever,
// and a reader that comes back gets whole lines again.
TEST_F(LogTest, ABlockedReaderBlocksNobody) {
  options.file = folder + "/pipe";
  options.max_pending_bytes = 20'000;
  options.max_repeats = 0;
  ASSERT_EQ(::mkfifo(options.file.c_str(), 0600), 0);
  const int reader = ::open(options.file.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  ASSERT_GE(reader, 0);
  open();
  for (int i = 0; i < 5000; ++i)
    logger->write(Level::kInfo, "test", "line", {{"padding", std::string(100, 'x')}});
  EXPECT_GT(logger->dropped_lines(), 1000U);
  std::string got;
  char buffer[65536];
  const auto drain = [&] {
    for (ssize_t n = ::read(reader, buffer, sizeof buffer); n > 0;
         n = ::read(reader, buffer, sizeof buffer)) {
      got.append(buffer, static_cast<std::size_t>(n));
    }
  };
  std::atomic<bool> flushed{false};
  std::thread flusher([&] {
    logger->flush();
    logger->write(Level::kInfo, "test", "back");
    logger->flush();
    flushed = true;
  });
  while (!flushed) drain();
  flusher.join();
  drain();
  EXPECT_THAT(got, HasSubstr("log lines dropped"));
  EXPECT_THAT(got, HasSubstr("\"back\""));
  std::istringstream in(got);
  for (std::string line; std::getline(in, line);) EXPECT_TRUE(parse_json(line).ok()) << line;
  for (int i = 0; i < 5000; ++i)
    logger->write(Level::kInfo, "test", "line", {{"padding", std::string(100, 'x')}});
  logger.reset();  // nobody reads: gives up after its bounded wait
  ::close(reader);
}

TEST_F(LogTest, OpenSaysWhatIsWrong) {
  options.file = folder + "/absent/ez.log";
  auto opened = Logger::open(options, clock);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code(), Code::IoFailed);
}

// What a call costs when its level is off; printed, and far below a microsecond anywhere.
TEST_F(LogTest, OffIsCheap) {
  open();
  set_process_logger(logger.get());
  constexpr int kCalls = 1'000'000;
  const std::int64_t start = system_clock().monotonic_us();
  for (int i = 0; i < kCalls; ++i) EZ_LOG(kDebug, "test", "off", {"i", i});
  const double each_ns = static_cast<double>(system_clock().monotonic_us() - start) * 1000.0 / kCalls;
  set_process_logger(nullptr);
  std::printf("log: %.1f ns a call when the level is off\n", each_ns);
  EXPECT_LT(each_ns, 1000.0);
  EXPECT_TRUE(lines().empty());
}

}  // namespace
}  // namespace ez::telemetry
