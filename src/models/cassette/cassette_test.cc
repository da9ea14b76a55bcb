#include "models/cassette/cassette.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/json.h"
#include "models/cassette/codec.h"
#include "telemetry/redact.h"

namespace ez::models {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

RecordedRequest ask(std::string_view text, std::string_view more = "") {
  RecordedRequest request;
  request.path = "/v1/messages?beta=true";
  request.body = R"({"model":"m","max_tokens":5,"messages":[{"role":"user","content":)" +
                 to_json(Value(text)) + "}]" + std::string(more) + "}";
  return request;
}

RecordedAnswer answer(std::vector<std::string> chunks, bool stream = false) {
  RecordedAnswer out;
  out.headers = {{"Content-Type", stream ? "text/event-stream" : "application/json"}};
  out.chunks = std::move(chunks);
  out.stream = stream;
  return out;
}

std::unique_ptr<Cassette> make(std::string_view rules = "null") {
  Result<std::unique_ptr<Cassette>> made = Cassette::create(*parse_json(rules));
  EXPECT_TRUE(made.ok());
  return std::move(made).value();
}

std::string add(Cassette& cassette, const RecordedRequest& request, const RecordedAnswer& recorded,
                const Substitutions& substitutions = {}, const telemetry::Redactor* redactor = nullptr) {
  Result<std::string> line = cassette.record(request, recorded, substitutions, redactor);
  EXPECT_TRUE(line.ok()) << (line.ok() ? "" : line.error().to_string());
  return line.ok() ? *line : std::string();
}

TEST(Cassette, ReplaysWithItsChunks) {
  const auto cassette = make();
  const std::vector<std::string> chunks{"event: a\nda", "ta: {\"x\":\"w\xc3", "\xb6rld\"}\n\n", ""};
  std::string file = cassette->header_line() + add(*cassette, ask("hi"), answer(chunks, true));
  const auto read = Cassette::parse(file);
  ASSERT_TRUE(read.ok()) << read.error().to_string();
  for (Cassette* each : {cassette.get(), read->get()}) {
    const Result<Replay> replay = each->play("run-1", ask("hi"), {});
    ASSERT_TRUE(replay.ok()) << replay.error().to_string();
    EXPECT_TRUE(replay->replayed);
    EXPECT_TRUE(replay->answer->stream);
    EXPECT_EQ(replay->answer->chunks, chunks);
    EXPECT_EQ(find_header(replay->answer->headers, "content-type"), "text/event-stream");
    EXPECT_EQ(replay->entry, 1U);
  }
}

TEST(Cassette, RepeatsAreOrderedAndEnd) {
  const auto cassette = make();
  add(*cassette, ask("poll"), answer({"1"}));
  add(*cassette, ask("other"), answer({"x"}));
  add(*cassette, ask("poll"), answer({"2"}));
  const auto next = [&](std::string_view scope) {
    const Result<Replay> replay = cassette->play(scope, ask("poll"), {});
    return replay.ok() ? replay->answer->chunks[0] : replay.error().to_string();
  };
  EXPECT_EQ(next("a"), "1");
  EXPECT_EQ(next("b"), "1");
  EXPECT_EQ(next("a"), "2");
  EXPECT_THAT(next("a"), HasSubstr("CASSETTE_MISS"));
  EXPECT_THAT(next("a"), HasSubstr("2 times"));
  EXPECT_EQ(next("b"), "2");
  cassette->forget("a");
  EXPECT_EQ(next("a"), "1");
}

TEST(Cassette, IgnoresWhatIsVolatile) {
  const auto cassette =
      make(R"({"ignore":["tools.*.description","seed"],"patterns":["[0-9]+ms","/tmp/[a-z0-9]+"]})");
  add(*cassette,
      ask("took 12ms in /tmp/abc",
          R"(,"seed":1,"metadata":{"user_id":"a"},"tools":[{"name":"f","description":"old"}])"),
      answer({"ok"}));
  const RecordedRequest same =
      ask("took 900ms in /tmp/zz9", R"(,"stream_options":{"include_usage":true},"seed":2,
          "tools":[{"description":"new","name":"f","cache_control":{"type":"ephemeral"}}])");
  EXPECT_TRUE(cassette->play("r", same, {}).ok());
  EXPECT_FALSE(cassette->play("r", ask("took 12s", R"(,"tools":[{"name":"f"}])"), {}).ok());
  EXPECT_FALSE(cassette->play("r", ask("took 12ms in /tmp/abc", R"(,"tools":[{"name":"g"}])"), {}).ok());
}

TEST(Cassette, WordsOfARunAreExchangedBothWays) {
  const auto cassette = make();
  const Substitutions first{
      {"/data/w1", "{{data}}"}, {"/data/w1/repo", "{{workspace}}"}, {"ab", "{{short}}"}};
  const std::string line = add(*cassette, ask("Look into /data/w1/repo/a.c and ab"),
                               answer({R"({"path":"/data/w1/repo/a.c"})"}), first);
  EXPECT_THAT(line, Not(HasSubstr("/data/w1")));
  EXPECT_THAT(line, HasSubstr("{{workspace}}/a.c and ab"));
  const Substitutions second{{"/elsewhere/9", "{{workspace}}"}};
  const Result<Replay> replay = cassette->play("r", ask("Look into /elsewhere/9/a.c and ab"), second);
  ASSERT_TRUE(replay.ok()) << replay.error().to_string();
  EXPECT_EQ(replay->answer->chunks[0], R"({"path":"/elsewhere/9/a.c"})");
}

TEST(Cassette, AMissSaysWhatDiffers) {
  const auto cassette = make();
  const auto miss = [&](const RecordedRequest& request) {
    const Result<Replay> replay = cassette->play("r", request, {});
    EXPECT_FALSE(replay.ok());
    return replay.ok() ? std::string() : replay.error().to_string();
  };
  EXPECT_THAT(miss(ask("a")), HasSubstr("it is empty"));
  add(*cassette, ask(std::string(200, 'q') + " one"), answer({"1"}));
  add(*cassette, ask("far away", R"(,"temperature":1,"top_k":3)"), answer({"2"}));
  const std::string text = miss(ask(std::string(200, 'q') + " two"));
  EXPECT_THAT(text, HasSubstr("CASSETTE_MISS"));
  EXPECT_THAT(text, HasSubstr("entry 1"));
  EXPECT_THAT(text, HasSubstr("messages[0].content from byte 201"));
  EXPECT_THAT(text, HasSubstr("two"));
  EXPECT_THAT(text, HasSubstr("one"));
  EXPECT_THAT(miss(ask("far away", R"(,"temperature":1,"top_p":0.5)")),
              HasSubstr("top_p: 0.5 is new; top_k: 3 is missing"));
  RecordedRequest other = ask("a");
  other.path = "/v1/responses";
  EXPECT_THAT(miss(other), HasSubstr("none of its requests went to /v1/responses"));
}

// Neither headers nor registered secrets ever reach the file.
TEST(Cassette, KeysAreNeverRecorded) {
  telemetry::Redactor redactor;
  ASSERT_TRUE(redactor.add_secret("sk-ant-secret-0123456789"));
  const auto cassette = make();
  RecordedAnswer recorded = answer({"{\"echo\":\"sk-ant-sec", "ret-0123456789\"}"});
  recorded.headers = {{"content-type", "application/json"},
                      {"set-cookie", "session=abcdef"},
                      {"x-api-key", "sk-ant-secret-0123456789"},
                      {"authorization", "Bearer zzz"},
                      {"request-id", "req_1"},
                      {"openai-organization", "acme"},
                      {"retry-after", "3"}};
  RecordedRequest request = ask("my key is sk-ant-secret-0123456789");
  request.path = "/v1/messages?key=sk-ant-secret-0123456789";
  const std::string line = add(*cassette, request, recorded, {}, &redactor);
  for (const char* secret :
       {"sk-ant", "0123456789", "session", "zzz", "acme", "req_1", "x-api-key", "authorization"}) {
    EXPECT_THAT(line, Not(HasSubstr(secret))) << secret;
  }
  EXPECT_THAT(line, HasSubstr("retry-after"));
  // The replay has no key, and asks without it.
  EXPECT_TRUE(cassette->play("r", ask("my key is [redacted]"), {}).ok());
}

TEST(Cassette, DamageIsNamedWithItsLine) {
  const auto cassette = make();
  const std::string header = cassette->header_line(), line = add(*cassette, ask("hi"), answer({"ok"}));
  const auto damage = [](const std::string& text) {
    const auto read = Cassette::parse(text);
    EXPECT_FALSE(read.ok()) << text;
    return read.ok() ? std::string() : read.error().to_string();
  };
  EXPECT_TRUE(Cassette::parse(header + line + line).ok());
  EXPECT_THAT(damage(""), HasSubstr("CASSETTE_DAMAGED"));
  EXPECT_THAT(damage("{}\n"), HasSubstr("no header"));
  EXPECT_THAT(damage("{\"ez_cassette\":2}\n"), HasSubstr("newer"));
  EXPECT_THAT(damage("{\"ez_cassette\":1,\"match\":{\"patterns\":[\"(\"]}}\n"), HasSubstr("pattern"));
  EXPECT_THAT(damage("{\"ez_cassette\":1,\"rules\":{}}\n"), HasSubstr("rules"));
  EXPECT_THAT(damage(header + line + line.substr(0, line.size() - 1)), HasSubstr("line 3 is cut"));
  EXPECT_THAT(damage(header + "<<<<<<< HEAD\n" + line), HasSubstr("line 2"));
  std::string edited = line;
  edited.replace(edited.find("\"hi\""), 4, "\"ho\"");
  EXPECT_THAT(damage(header + line + edited), HasSubstr("line 3: the request does not match its hash"));
  EXPECT_THAT(damage(header + "{\"request\":{},\"answer\":{}}\n"), HasSubstr("request.method"));
  for (std::size_t at = 1; at + 1 < line.size(); at += 7) {  // cut anywhere, it is never taken for whole
    EXPECT_FALSE(Cassette::parse(header + line.substr(0, at) + "\n").ok()) << at;
  }
}

TEST(Cassette, LimitsHold) {
  CassetteLimits limits;
  limits.max_entries = 1;
  limits.max_scopes = 1;
  auto small = std::move(Cassette::create({}, limits)).value();
  add(*small, ask("a"), answer({"1"}));
  EXPECT_EQ(small->record(ask("b"), answer({"2"}), {}, nullptr).error().code(), Code::PayloadTooLarge);
  EXPECT_TRUE(small->play("one", ask("a"), {}).ok());
  EXPECT_EQ(small->play("two", ask("a"), {}).error().code(), Code::PayloadTooLarge);
  limits = {};
  limits.max_entry_bytes = 300;
  auto narrow = std::move(Cassette::create({}, limits)).value();
  EXPECT_EQ(narrow->record(ask(std::string(400, 'x')), answer({"1"}), {}, nullptr).error().code(),
            Code::PayloadTooLarge);
  RecordedRequest broken = ask("x");
  broken.body = "{";
  EXPECT_EQ(narrow->record(broken, answer({"1"}), {}, nullptr).error().code(), Code::JsonInvalid);
}

TEST(Cassette, Base64) {
  for (const std::string& bytes : {std::string(), std::string("f"), std::string("fo"), std::string("foo"),
                                   std::string("\0\xff\x80z", 4)}) {
    EXPECT_EQ(from_base64(base64(bytes)), bytes);
  }
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
  for (const char* bad : {"A", "AAA", "AA=A", "====", "AA==AAAA", "A*AA"})
    EXPECT_EQ(from_base64(bad), std::nullopt) << bad;
}

class CassetteOnDisk : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/ez-cassette-XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    folder_ = pattern;
  }
  void TearDown() override {
    unlink((folder_ + "/a.cassette").c_str());
    rmdir(folder_.c_str());
  }
  [[nodiscard]] std::string path() const { return folder_ + "/a.cassette"; }
  [[nodiscard]] std::string text() const {
    std::ifstream in(path());
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }

 private:
  std::string folder_;
};

TEST_F(CassetteOnDisk, IsAppendedAndReadAgain) {
  {
    auto file = CassetteFile::open(path(), CassetteMode::kRecord);
    ASSERT_TRUE(file.ok()) << file.error().to_string();
    ASSERT_TRUE((*file)->record(ask("one"), answer({"1"}), {}, nullptr).ok());
  }
  {
    auto file = CassetteFile::open(path(), CassetteMode::kReplay);
    ASSERT_TRUE(file.ok()) << file.error().to_string();
    EXPECT_TRUE((*file)->cassette().play("r", ask("one"), {}).ok());
    ASSERT_TRUE((*file)->record(ask("two"), answer({"2"}), {}, nullptr).ok());
  }
  const std::string before = text();
  auto strict = CassetteFile::open(path(), CassetteMode::kStrict);
  ASSERT_TRUE(strict.ok()) << strict.error().to_string();
  EXPECT_EQ((*strict)->cassette().size(), 2U);
  EXPECT_EQ((*strict)->record(ask("three"), answer({"3"}), {}, nullptr).error().code(), Code::WrongState);
  EXPECT_EQ(text(), before);
}

TEST_F(CassetteOnDisk, WhatCannotBeOpenedSaysSo) {
  EXPECT_EQ(CassetteFile::open(path(), CassetteMode::kStrict).error().code(), Code::IoFailed);
  EXPECT_EQ(CassetteFile::open(path(), CassetteMode::kOff).error().code(), Code::InvalidArgument);
  std::ofstream(path()) << "rubbish\n";
  const auto damaged = CassetteFile::open(path(), CassetteMode::kReplay);
  ASSERT_FALSE(damaged.ok());
  EXPECT_THAT(damaged.error().to_string(), HasSubstr(path()));
  EXPECT_EQ(text(), "rubbish\n");
}

TEST(CassetteMode, Names) {
  for (const CassetteMode mode :
       {CassetteMode::kOff, CassetteMode::kRecord, CassetteMode::kReplay, CassetteMode::kStrict}) {
    EXPECT_EQ(find_cassette_mode(cassette_mode_name(mode)), mode);
  }
  EXPECT_EQ(find_cassette_mode("auto"), std::nullopt);
}

}  // namespace
}  // namespace ez::models
