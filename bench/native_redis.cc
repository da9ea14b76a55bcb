// native_redis: how fast a stream is read that somebody fills (redis-benchmark), as a loop over Redis' own
// client library: reads in a consumer group, acknowledges and removes what it has read (without that the
// stream grows for ever). Nothing is looked up.
//
//   native_redis HOST PORT USER PASSWORD STREAM MESSAGES BATCH keep|forget
//
// `forget`: reads with NOACK and neither acknowledges nor removes. Makes the stream, says `ready`, ends when
// all messages were read, and prints how many came in a second. `bench/queue_backends.py` runs it beside
// redis-benchmark.
#include <hiredis/hiredis.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Words = std::vector<std::string_view>;

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "native_redis: %s\n", what);
  std::exit(1);
}

struct Wanted {
  std::string host;
  int port = 0;
  std::string user, password, stream;
  long messages = 0;
  long batch = 0;
  bool keep = true;
};

class Link {
 public:
  explicit Link(const Wanted& wanted) : context_(::redisConnect(wanted.host.c_str(), wanted.port)) {
    if (context_ == nullptr || context_->err != 0) fail("no connection");
    append({"AUTH", wanted.user, wanted.password});
    read();
  }
  ~Link() { ::redisFree(context_); }
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  void append(const Words& words) {
    std::vector<const char*> data;
    std::vector<std::size_t> sizes;
    for (const std::string_view word : words) {
      data.push_back(word.data());
      sizes.push_back(word.size());
    }
    ::redisAppendCommandArgv(context_, static_cast<int>(words.size()), data.data(), sizes.data());
  }
  void send() {
    for (int done = 0; done == 0;) {
      if (::redisBufferWrite(context_, &done) != REDIS_OK) fail("the connection broke");
    }
  }
  // The caller frees it.
  redisReply* read() {
    void* reply = nullptr;
    if (::redisGetReply(context_, &reply) != REDIS_OK) fail("the connection broke");
    auto* out = static_cast<redisReply*>(reply);
    if (out->type == REDIS_REPLY_ERROR) fail(out->str);
    return out;
  }
  void skip(long replies) {
    for (; replies > 0; --replies) ::freeReplyObject(read());
  }

 private:
  redisContext* context_;
};

// Seconds from the first message to the last.
double consume_all(Link& link, const Wanted& wanted) {
  const std::string count = std::to_string(wanted.batch);
  Clock::time_point began;
  long got = 0;
  long settling = 0;
  bool all = false;
  while (got < wanted.messages) {
    // A moment for more to come: many small reads cost the server more than few large ones.
    if (!all) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    Words words{"XREADGROUP", "GROUP", "g", "c", "COUNT", count};
    if (!wanted.keep) words.push_back("NOACK");
    for (const char* word : {"STREAMS", wanted.stream.c_str(), ">"}) words.emplace_back(word);
    link.append(words);
    link.skip(settling);
    settling = 0;
    redisReply* const reply = link.read();
    all = false;
    if (reply->type == REDIS_REPLY_ARRAY) {
      const redisReply* const entries = reply->element[0]->element[1];
      if (got == 0) began = Clock::now();
      all = static_cast<long>(entries->elements) == wanted.batch;
      got += static_cast<long>(entries->elements);
      if (wanted.keep) {
        Words acknowledge{"XACK", wanted.stream, "g"};
        Words remove{"XDEL", wanted.stream};
        for (std::size_t i = 0; i < entries->elements; ++i) {
          const redisReply* const id = entries->element[i]->element[0];
          acknowledge.emplace_back(id->str, id->len);
          remove.emplace_back(id->str, id->len);
        }
        link.append(acknowledge);
        link.append(remove);
        settling = 2;
      }
    }
    ::freeReplyObject(reply);
  }
  link.skip(settling);
  return std::chrono::duration<double>(Clock::now() - began).count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 9) fail("HOST PORT USER PASSWORD STREAM MESSAGES BATCH keep|forget");
  const Wanted wanted{argv[1],
                      std::atoi(argv[2]),
                      argv[3],
                      argv[4],
                      argv[5],
                      std::atol(argv[6]),
                      std::atol(argv[7]),
                      std::string_view(argv[8]) == "keep"};
  Link link(wanted);
  link.append({"XGROUP", "CREATE", wanted.stream, "g", "0", "MKSTREAM"});
  link.skip(1);
  std::puts("ready");
  std::fflush(stdout);
  const double seconds = consume_all(link, wanted);
  link.append({"DEL", wanted.stream});
  link.skip(1);
  std::printf("%.0f\n", static_cast<double>(wanted.messages) / seconds);
  return 0;
}
