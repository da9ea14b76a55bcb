#include "http/chunked.h"

#include <algorithm>

#include "http/parser.h"

namespace ez::http {
namespace {

constexpr std::uint32_t kMaxDigits = 16;

int hex_value(char byte) {
  if (byte >= '0' && byte <= '9') return byte - '0';
  if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
  if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
  return -1;
}

bool is_text(char byte) { return byte == '\t' || (static_cast<unsigned char>(byte) >= 0x20 && byte != 0x7f); }

bool is_token(char byte) {
  const bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
  const bool digit = byte >= '0' && byte <= '9';
  return letter || digit ||
         (byte != 0 && std::string_view("!#$%&'*+-.^_`|~").find(byte) != std::string_view::npos);
}

}  // namespace

bool ChunkedReader::size_digit(char byte) {
  const int value = hex_value(byte);
  if (value < 0 || ++digits_ > kMaxDigits) return false;
  left_ = left_ << 4 | static_cast<std::uint64_t>(value);
  return true;
}

bool ChunkedReader::step(char byte) {
  const auto go = [this](At next) {
    at_ = next;
    return true;
  };
  switch (at_) {
    case At::kSize:
      if (digits_ > 0 && byte == '\r') return go(At::kSizeEnd);
      if (digits_ > 0 && (byte == ';' || byte == ' ' || byte == '\t')) return go(At::kExtension);
      return size_digit(byte);
    case At::kExtension:
      return byte == '\r' ? go(At::kSizeEnd) : is_text(byte);
    case At::kSizeEnd:
      line_ = 0;
      digits_ = 0;
      return byte == '\n' && go(left_ == 0 ? At::kTrailer : At::kData);
    case At::kDataCr:
      return byte == '\r' && go(At::kDataLf);
    case At::kDataLf:
      line_ = 0;
      return byte == '\n' && go(At::kSize);
    case At::kTrailer:
      if (byte == '\r') return go(At::kLastLf);
      return is_token(byte) && go(At::kName);
    case At::kName:
      return byte == ':' ? go(At::kValue) : is_token(byte);
    case At::kValue:
      return byte == '\r' ? go(At::kTrailerLf) : is_text(byte);
    case At::kTrailerLf:
      return byte == '\n' && go(At::kTrailer);
    case At::kLastLf:
      return byte == '\n' && go(At::kEnd);
    case At::kData:
    case At::kEnd:
      break;
  }
  return false;
}

Result<std::size_t> ChunkedReader::feed(std::string_view bytes, BodySink& sink) {
  std::size_t used = 0;
  while (used < bytes.size() && !done()) {
    if (at_ == At::kData) {
      const std::size_t piece = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size() - used));
      EZ_TRY(sink.body(bytes.substr(used, piece)));
      used += piece;
      left_ -= piece;
      if (left_ == 0) at_ = At::kDataCr;
      continue;
    }
    if (++line_ > kMaxChunkLineBytes) {
      return Error(Code::RequestInvalid, at_ >= At::kTrailer ? "the trailers of the body are too long"
                                                             : "a chunk's size line is too long");
    }
    if (!step(bytes[used])) {
      return Error(Code::RequestInvalid, at_ >= At::kTrailer ? "malformed HTTP: a bad trailer behind the body"
                                                             : "malformed HTTP: bad chunk");
    }
    ++used;
  }
  return used;
}

}  // namespace ez::http
