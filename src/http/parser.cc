#include "http/parser.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>

#include "base/check.h"
#include "http/chunked.h"

namespace ez::http {
namespace {

namespace beast_http = boost::beast::http;
using boost::beast::error_code;
using BeastView = boost::beast::string_view;

std::string_view view(BeastView text) { return {text.data(), text.size()}; }

// What both directions share. Beast asks for one class per direction.
template <bool kIsRequest>
class Grammar final : public beast_http::basic_parser<kIsRequest> {
 public:
  explicit Grammar(Head& head) : head_(head) {
    this->body_limit(boost::none);  // counted by whoever owns the sink
    this->header_limit(kMaxHeadBytes);
  }
  void use(BodySink* sink) { sink_ = sink; }
  [[nodiscard]] const std::optional<Error>& failure() const { return failure_; }

 private:
  void on_request_impl(beast_http::verb, BeastView method, BeastView target, int version,
                       error_code& ec) override {
    head_.method = parse_method(view(method));
    head_.target.assign(target.data(), target.size());
    head_.http11 = version == 11;
    ec = {};
  }
  void on_response_impl(int status, BeastView, int version, error_code& ec) override {
    head_.status = status;
    head_.http11 = version == 11;
    ec = {};
  }
  void on_field_impl(beast_http::field, BeastView name, BeastView value, error_code& ec) override {
    ec = {};
    if (head_.headers.size() == kMaxHeaders) {
      return fail(Error(Code::HeaderTooLarge, "the message has more than 100 headers"), ec);
    }
    head_.headers.add(view(name), view(value));
  }
  void on_header_impl(error_code& ec) override {
    ec = {};
    if (const auto coding = head_.headers.find("transfer-encoding"); coding) {
      const bool plain = same_name(*coding, "chunked") && head_.headers.count("transfer-encoding") == 1;
      if (!plain || !head_.http11) {
        return fail(
            Error(Code::RequestInvalid, "the only transfer coding known here is chunked, once, in HTTP/1.1"),
            ec);
      }
    }
  }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code& ec) override { ec = {}; }
  std::size_t on_body_impl(BeastView piece, error_code& ec) override { return take(piece, ec); }
  // Chunked bodies are read by ChunkedReader: these are never called.
  void on_chunk_header_impl(std::uint64_t, BeastView, error_code& ec) override { ec = {}; }
  std::size_t on_chunk_body_impl(std::uint64_t, BeastView piece, error_code&) override {
    return piece.size();
  }
  void on_finish_impl(error_code& ec) override { ec = {}; }

  std::size_t take(BeastView piece, error_code& ec) {
    ec = {};
    EZ_CHECK(sink_ != nullptr, "a body without a sink");
    if (Status status = sink_->body(view(piece)); !status.ok()) fail(status.error(), ec);
    return piece.size();
  }
  void fail(const Error& error, error_code& ec) {
    failure_ = error;
    ec = beast_http::error::bad_value;
  }

  Head& head_;
  BodySink* sink_ = nullptr;
  std::optional<Error> failure_;
};

Error invalid(const std::string& what) { return Error(Code::RequestInvalid, what); }

}  // namespace

struct Parser::Impl {
  explicit Impl(Kind which) : kind(which) {}

  template <typename Use>
  auto with(Use use) {
    return kind == Kind::kRequest ? use(*request) : use(*response);
  }

  const Kind kind;
  Head head;
  std::size_t head_bytes = 0;
  bool started = false;
  std::optional<Grammar<true>> request;
  std::optional<Grammar<false>> response;
  std::optional<ChunkedReader> chunked;  // once the head says so
};

Parser::Parser(Kind kind) : impl_(std::make_unique<Impl>(kind)) { reset(); }
Parser::~Parser() = default;

void Parser::reset(bool no_body) {
  Impl& impl = *impl_;
  impl.head.headers.clear();
  impl.head.target.clear();
  impl.head.method = Method::kOther;
  impl.head.status = 0;
  impl.head.has_body = false;
  impl.head.content_length.reset();
  impl.head_bytes = 0;
  impl.started = false;
  impl.chunked.reset();
  if (impl.kind == Kind::kRequest) {
    impl.request.emplace(impl.head);
  } else {
    impl.response.emplace(impl.head);
    impl.response->skip(no_body);
  }
}

bool Parser::started() const { return impl_->started; }
bool Parser::head_done() const {
  return impl_->with([](auto& grammar) { return grammar.is_header_done(); });
}
bool Parser::done() const {
  if (impl_->chunked) return impl_->chunked->done();
  return impl_->with([](auto& grammar) { return grammar.is_done(); });
}
Head& Parser::head() { return impl_->head; }
const Head& Parser::head() const { return impl_->head; }

Result<std::size_t> Parser::feed(std::string_view bytes, BodySink* sink) {
  Impl& impl = *impl_;
  if (impl.chunked) {
    EZ_CHECK(sink != nullptr, "a body without a sink");
    return impl.chunked->feed(bytes, *sink);
  }
  return impl.with([&](auto& grammar) -> Result<std::size_t> {
    std::size_t used = 0;
    grammar.use(sink);
    while (!grammar.is_done() && used < bytes.size()) {
      const bool in_head = !grammar.is_header_done();
      error_code ec;
      const std::size_t n =
          grammar.put(boost::asio::const_buffer(bytes.data() + used, bytes.size() - used), ec);
      used += n;
      impl.started = impl.started || !bytes.empty();
      if (in_head) {
        impl.head_bytes += n;
        const bool over =
            impl.head_bytes + (grammar.is_header_done() ? 0 : bytes.size() - used) > kMaxHeadBytes;
        if (ec == beast_http::error::header_limit || ((!ec || ec == beast_http::error::need_more) && over)) {
          return Error(Code::HeaderTooLarge, "the start line and the headers are longer than 16 KiB");
        }
      }
      if (ec == beast_http::error::need_more) break;
      if (ec) return grammar.failure() ? *grammar.failure() : invalid("malformed HTTP: " + ec.message());
      if (in_head && grammar.is_header_done()) {
        impl.head.keep_alive = grammar.keep_alive();
        impl.head.has_body = !grammar.is_done();
        if (impl.head.has_body && grammar.chunked()) impl.chunked.emplace();
        if (const auto length = grammar.content_length(); length) impl.head.content_length = *length;
        break;
      }
    }
    return used;
  });
}

Status Parser::finish() {
  if (done()) return {};
  if (impl_->chunked) return invalid("the connection ended inside a message");
  return impl_->with([&](auto& grammar) -> Status {
    if (!impl_->started) return invalid("the connection ended before a message began");
    error_code ec;
    grammar.put_eof(ec);
    if (ec) return invalid("the connection ended inside a message");
    return {};
  });
}

}  // namespace ez::http
