#include "models/upstream/http_client.h"

#include <curl/curl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "base/thread_name.h"
#include "base/thread_turns.h"

namespace ez::models {
namespace {

constexpr std::size_t kSpareHandles = 256;
constexpr int kEventsAtOnce = 256;
constexpr long kReadBytes = 64 * 1024;
constexpr std::int64_t kNever = INT64_MAX;

std::int64_t now_us() { return system_clock().monotonic_us(); }
std::int64_t in_us(std::chrono::milliseconds time) { return time.count() * 1000; }

// Proxies are those of the environment; what runs on this machine needs none.
std::string hosts_without_proxy() {
  std::string hosts = "localhost,127.0.0.1,::1";
  for (const char* name : {"no_proxy", "NO_PROXY"}) {
    if (const char* more = std::getenv(name); more != nullptr && *more != '\0') {
      hosts += ",";
      hosts += more;
      break;
    }
  }
  return hosts;
}

CURLcode global_init() {
  static const CURLcode done = curl_global_init(CURL_GLOBAL_DEFAULT);
  return done;
}

}  // namespace

struct HttpClient::Impl {
  struct Call {
    CallId id = 0;
    HttpCall request;
    std::shared_ptr<HttpSink> sink;
    Impl* owner = nullptr;
    CURL* easy = nullptr;
    curl_slist* headers = nullptr;
    std::array<char, CURL_ERROR_SIZE> error{};
    Headers answer_headers;
    std::size_t head_bytes = 0;
    int status = 0;
    bool has_head = false;  // given to the sink
    bool paused = false;
    HttpEnd reason = HttpEnd::kDone;  // why we ended it, when it was us
    std::int64_t due_us = kNever;
    std::int64_t listed_us = kNever;  // where it stands in deadlines_; moved lazily
  };

  explicit Impl(HttpClientOptions given) : options(std::move(given)) {}
  ~Impl() {
    for (CURL* easy : spare) curl_easy_cleanup(easy);
    if (multi != nullptr) curl_multi_cleanup(multi);
    if (epoll_fd >= 0) ::close(epoll_fd);
    if (wake_fd >= 0) ::close(wake_fd);
  }

  Status open() {
    if (global_init() != CURLE_OK) return Error(Code::Internal, "libcurl does not start");
    epoll_fd = ::epoll_create1(EPOLL_CLOEXEC);
    wake_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    multi = curl_multi_init();
    if (epoll_fd < 0 || wake_fd < 0 || multi == nullptr) {
      return system_error(Code::IoFailed, Code::IoFailed, "make the descriptors of a client", errno);
    }
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = wake_fd;
    if (::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, wake_fd, &event) != 0) {
      return system_error(Code::IoFailed, Code::IoFailed, "watch an eventfd", errno);
    }
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, &Impl::on_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, &Impl::on_timer);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, this);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, static_cast<long>(options.max_kept_connections));
    curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
    return {};
  }

  // ---- any thread ----

  bool on_thread_now() const { return thread_id.load() == std::this_thread::get_id(); }

  bool post(Task task) {
    bool wake = false;
    {
      std::lock_guard lock(mutex);
      if (stopping) return false;
      tasks.push_back(std::move(task));
      wake = sleeping;
      sleeping = false;
    }
    if (wake) {
      const std::uint64_t one = 1;
      (void)!::write(wake_fd, &one, sizeof one);
    }
    return true;
  }

  // ---- libcurl's callbacks, on the thread ----

  static int on_socket(CURL*, curl_socket_t fd, int what, void* self, void* known) {
    Impl& impl = *static_cast<Impl*>(self);
    if (what == CURL_POLL_REMOVE) {
      ::epoll_ctl(impl.epoll_fd, EPOLL_CTL_DEL, fd, nullptr);
      curl_multi_assign(impl.multi, fd, nullptr);
      return 0;
    }
    epoll_event event{};
    if ((what & CURL_POLL_IN) != 0) event.events |= EPOLLIN;
    if ((what & CURL_POLL_OUT) != 0) event.events |= EPOLLOUT;
    event.data.fd = fd;
    const int operation = known == nullptr ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (::epoll_ctl(impl.epoll_fd, operation, fd, &event) != 0 && errno == EEXIST) {
      ::epoll_ctl(impl.epoll_fd, EPOLL_CTL_MOD, fd, &event);
    }
    if (known == nullptr) curl_multi_assign(impl.multi, fd, self);
    return 0;
  }

  static int on_timer(CURLM*, long timeout_ms, void* self) {
    static_cast<Impl*>(self)->curl_due_us = timeout_ms < 0 ? kNever : now_us() + timeout_ms * 1000;
    return 0;
  }

  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self) {
    Call& call = *static_cast<Call*>(self);
    const std::size_t bytes = size * count;
    std::string_view line(data, bytes);
    call.head_bytes += bytes;
    if (call.head_bytes > call.owner->options.max_head_bytes) return 0;
    while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
    if (line.starts_with("HTTP/")) {  // also after a 100 Continue
      call.answer_headers.clear();
      call.status = 0;
      const std::size_t space = line.find(' ');
      if (space != std::string_view::npos) {
        std::from_chars(line.data() + space + 1, line.data() + line.size(), call.status);
      }
      return bytes;
    }
    if (line.empty()) {
      if (call.status >= 200 && !call.has_head) {
        call.has_head = true;
        call.owner->touch(call, call.request.timeouts.silence);
        call.sink->head(call.status, std::move(call.answer_headers));
      }
      return bytes;
    }
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || call.has_head) return bytes;
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
    call.answer_headers.emplace_back(std::string(line.substr(0, colon)), std::string(value));
    return bytes;
  }

  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self) {
    Call& call = *static_cast<Call*>(self);
    if (call.reason != HttpEnd::kDone) return 0;  // cancelled meanwhile
    if (!call.sink->body(std::string_view(data, size * count))) {
      call.paused = true;
      call.due_us = kNever;  // the silence is the sink's now
      return CURL_WRITEFUNC_PAUSE;
    }
    call.owner->touch(call, call.request.timeouts.silence);
    return size * count;
  }

  // ---- the thread ----

  void touch(Call& call, std::chrono::milliseconds patience) {
    call.due_us = time_us + in_us(patience);
    if (call.listed_us <= call.due_us) return;  // looked at earlier than that anyway
    if (call.listed_us != kNever) deadlines.erase({call.listed_us, call.id});
    call.listed_us = call.due_us;
    deadlines.insert({call.listed_us, call.id});
  }

  void begin(std::unique_ptr<Call> given) {
    Call& call = *given;
    call.owner = this;
    if (spare.empty()) {
      call.easy = curl_easy_init();
    } else {
      call.easy = spare.back();
      spare.pop_back();
    }
    if (call.easy == nullptr) {
      --open_count;
      return call.sink->ended(HttpEnd::kRefused, "libcurl has no handle");
    }
    CURL* easy = call.easy;
    const bool secure = call.request.url.starts_with("https://");
    curl_easy_setopt(easy, CURLOPT_PRIVATE, &call);
    curl_easy_setopt(easy, CURLOPT_URL, call.request.url.c_str());
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, no_proxy.c_str());
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call.error.data());
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                     static_cast<long>(call.request.timeouts.connect.count()));
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, kReadBytes);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, options.user_agent.c_str());
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, secure ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1);
    if (secure) curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
    if (!options.ca_file.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, options.ca_file.c_str());
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Impl::on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, &call);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Impl::on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &call);
    call.headers = curl_slist_append(call.headers, "Expect:");  // no waiting for 100 Continue
    for (const auto& [name, value] : call.request.headers) {
      call.headers = curl_slist_append(call.headers, (name + ": " + value).c_str());
    }
    if (call.request.method == "POST") {
      curl_easy_setopt(easy, CURLOPT_POST, 1L);
      curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(call.request.body.size()));
      curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call.request.body.data());
    }
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call.headers);
    const CallId id = call.id;
    touch(call, call.request.timeouts.first_byte);
    calls.emplace(id, std::move(given));
    if (curl_multi_add_handle(multi, easy) != CURLM_OK) finish(call, HttpEnd::kRefused, "not added");
  }

  void finish(Call& call, HttpEnd end, const std::string& detail) {
    const auto found = calls.find(call.id);
    EZ_CHECK(found != calls.end(), "a call ended twice");
    const std::unique_ptr<Call> owned = std::move(found->second);
    calls.erase(found);
    if (call.listed_us != kNever) deadlines.erase({call.listed_us, call.id});
    curl_multi_remove_handle(multi, call.easy);
    curl_slist_free_all(call.headers);
    if (spare.size() < kSpareHandles) {
      curl_easy_reset(call.easy);
      spare.push_back(call.easy);
    } else {
      curl_easy_cleanup(call.easy);
    }
    --open_count;
    call.sink->ended(end, detail);
  }

  // libcurl may be inside this call's own callback; it is only marked there and ended afterwards.
  void end_soon(CallId id, HttpEnd reason) {
    const auto found = calls.find(id);
    if (found == calls.end()) return;
    Call& call = *found->second;
    if (call.reason != HttpEnd::kDone) return;
    call.reason = reason;
    ending.push_back(id);
  }

  void end_marked() {
    for (const CallId id : std::exchange(ending, {})) {
      const auto found = calls.find(id);
      if (found != calls.end()) finish(*found->second, found->second->reason, "");
    }
  }

  HttpEnd end_of(const Call& call, CURLcode code) const {
    if (call.reason != HttpEnd::kDone) return call.reason;
    switch (code) {
      case CURLE_OK:
        return call.has_head ? HttpEnd::kDone : HttpEnd::kCut;
      case CURLE_URL_MALFORMAT:
      case CURLE_UNSUPPORTED_PROTOCOL:
        return HttpEnd::kRefused;
      case CURLE_COULDNT_RESOLVE_PROXY:
      case CURLE_COULDNT_RESOLVE_HOST:
      case CURLE_COULDNT_CONNECT:
      case CURLE_SSL_CONNECT_ERROR:
      case CURLE_PEER_FAILED_VERIFICATION:
        return HttpEnd::kNoConnect;
      case CURLE_OPERATION_TIMEDOUT:  // ours are the others: this is the connection's
        return HttpEnd::kNoConnect;
      default:
        return HttpEnd::kCut;
    }
  }

  void take_messages() {
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      void* at = nullptr;
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &at);
      Call& call = *static_cast<Call*>(at);
      const CURLcode code = message->data.result;
      std::string detail;
      if (code != CURLE_OK) detail = call.error[0] != '\0' ? call.error.data() : curl_easy_strerror(code);
      finish(call, end_of(call, code), detail);
    }
  }

  void expire() {
    while (!deadlines.empty() && deadlines.begin()->first <= time_us) {
      const auto [listed_us, id] = *deadlines.begin();
      deadlines.erase(deadlines.begin());
      Call& call = *calls.at(id);
      call.listed_us = kNever;
      if (call.due_us <= time_us) {
        end_soon(id, call.has_head ? HttpEnd::kSilence : HttpEnd::kFirstByte);
      } else if (call.due_us != kNever) {
        call.listed_us = call.due_us;
        deadlines.insert({call.due_us, id});
      }
    }
  }

  void run_timers() {
    while (!timers.empty() && timers.begin()->first <= time_us) {
      Task task = std::move(timers.begin()->second);
      timers.erase(timers.begin());
      task();
    }
  }

  bool run_tasks() {
    std::vector<Task> taken;
    bool stop = false;
    {
      std::lock_guard lock(mutex);
      taken.swap(tasks);
      sleeping = false;
      stop = stopping;
    }
    for (Task& task : taken) task();
    return !stop;
  }

  std::int64_t next_due_us() const {
    std::int64_t due = curl_due_us;
    if (!deadlines.empty()) due = std::min(due, deadlines.begin()->first);
    if (!timers.empty()) due = std::min(due, timers.begin()->first);
    return due;
  }

  int wait_ms() {
    std::int64_t wait = -1;
    if (const std::int64_t due = next_due_us(); due != kNever) {
      wait = std::max<std::int64_t>(0, (due - now_us() + 999) / 1000);
    }
    std::lock_guard lock(mutex);
    if (!tasks.empty() || stopping) return 0;
    sleeping = wait != 0;
    return static_cast<int>(std::min<std::int64_t>(wait, 60'000));
  }

  void act(curl_socket_t fd, int mask) {
    int running = 0;
    in_curl = true;
    curl_multi_socket_action(multi, fd, mask, &running);
    in_curl = false;
  }

  void run() {
    thread_id = std::this_thread::get_id();
    std::array<epoll_event, kEventsAtOnce> events{};
    while (run_tasks()) {
      end_marked();
      const int count = ::epoll_wait(epoll_fd, events.data(), kEventsAtOnce, wait_ms());
      time_us = now_us();
      for (int i = 0; i < count; ++i) {
        const epoll_event& event = events[static_cast<std::size_t>(i)];
        if (event.data.fd == wake_fd) {
          std::uint64_t drained = 0;
          (void)!::read(wake_fd, &drained, sizeof drained);
          continue;
        }
        int mask = 0;
        if ((event.events & EPOLLIN) != 0) mask |= CURL_CSELECT_IN;
        if ((event.events & EPOLLOUT) != 0) mask |= CURL_CSELECT_OUT;
        if ((event.events & (EPOLLERR | EPOLLHUP)) != 0) mask |= CURL_CSELECT_ERR | CURL_CSELECT_IN;
        act(event.data.fd, mask);
      }
      while (curl_due_us <= now_us()) {
        curl_due_us = kNever;
        act(CURL_SOCKET_TIMEOUT, 0);
      }
      take_messages();
      expire();
      run_timers();
      end_marked();
    }
    end_marked();
    while (!calls.empty()) finish(*calls.begin()->second, HttpEnd::kCancelled, "stopped");
    // What waits may own calls that have to be settled; whatever it begins is refused.
    while (!timers.empty()) {
      Task task = std::move(timers.begin()->second);
      timers.erase(timers.begin());
      task();
    }
  }

  HttpClientOptions options;
  const std::string no_proxy = hosts_without_proxy();
  int epoll_fd = -1, wake_fd = -1;
  CURLM* multi = nullptr;
  std::thread thread;
  std::atomic<std::thread::id> thread_id{};
  std::atomic<std::uint64_t> next_id{1};
  std::atomic<std::size_t> open_count{0};
  std::mutex mutex;
  std::vector<Task> tasks;  // guarded by mutex, as are the two below
  bool sleeping = false;
  bool stopping = false;
  // The thread's own:
  std::unordered_map<CallId, std::unique_ptr<Call>> calls;
  std::set<std::pair<std::int64_t, CallId>> deadlines;
  std::multimap<std::int64_t, Task> timers;
  std::vector<CallId> ending;
  std::vector<CURL*> spare;
  std::int64_t curl_due_us = kNever;
  std::int64_t time_us = now_us();
  bool in_curl = false;
};

HttpClient::HttpClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpClient::~HttpClient() { stop(); }

Result<std::unique_ptr<HttpClient>> HttpClient::start(HttpClientOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  EZ_TRY(impl->open());
  Impl* const raw = impl.get();
  std::unique_ptr<HttpClient> client(new HttpClient(std::move(impl)));
  raw->thread = std::thread([raw] {
    name_thread("ez-upstream");
    take_short_turns();
    raw->run();
  });
  return client;
}

HttpClient::CallId HttpClient::call(HttpCall request, std::shared_ptr<HttpSink> sink) {
  Impl* const impl = impl_.get();
  const CallId id = impl->next_id.fetch_add(1);
  if (impl->open_count.fetch_add(1) >= impl->options.max_calls) {
    --impl->open_count;
    if (!impl->post([sink] { sink->ended(HttpEnd::kRefused, "too many calls to providers at a time"); }))
      sink->ended(HttpEnd::kRefused, "stopped");
    return id;
  }
  auto call = std::make_unique<Impl::Call>();
  call->id = id;
  call->request = std::move(request);
  call->sink = sink;
  // Shared only because a task is copyable.
  auto held = std::make_shared<std::unique_ptr<Impl::Call>>(std::move(call));
  // libcurl adds no handle while one of its own callbacks is running.
  if (impl->on_thread_now() && !impl->in_curl) {
    impl->begin(std::move(*held));
  } else if (!impl->post([impl, held] { impl->begin(std::move(*held)); })) {
    --impl->open_count;
    sink->ended(HttpEnd::kRefused, "stopped");
  }
  return id;
}

void HttpClient::cancel(CallId id) {
  Impl* const impl = impl_.get();
  (void)impl->post([impl, id] { impl->end_soon(id, HttpEnd::kCancelled); });
}

void HttpClient::resume(CallId id) {
  Impl* const impl = impl_.get();
  (void)impl->post([impl, id] {
    const auto found = impl->calls.find(id);
    if (found == impl->calls.end() || !found->second->paused) return;
    found->second->paused = false;
    impl->touch(*found->second, found->second->request.timeouts.silence);
    impl->in_curl = true;
    curl_easy_pause(found->second->easy, CURLPAUSE_CONT);
    impl->in_curl = false;
  });
}

bool HttpClient::post(Task task) { return impl_->post(std::move(task)); }

bool HttpClient::post_after(std::chrono::milliseconds delay, Task task) {
  Impl* const impl = impl_.get();
  const std::int64_t due_us = now_us() + in_us(delay);
  auto held = std::make_shared<Task>(std::move(task));
  return impl->post([impl, due_us, held] {
    if (impl->timers.size() >= impl->options.max_calls) return (*held)();
    impl->timers.emplace(due_us, std::move(*held));
  });
}

bool HttpClient::on_thread() const { return impl_->on_thread_now(); }
std::size_t HttpClient::open_calls() const { return impl_->open_count.load(); }

void HttpClient::stop() {
  {
    std::lock_guard lock(impl_->mutex);
    if (impl_->stopping) return;
    impl_->stopping = true;
  }
  const std::uint64_t one = 1;
  (void)!::write(impl_->wake_fd, &one, sizeof one);
  if (impl_->thread.joinable()) impl_->thread.join();
}

}  // namespace ez::models
