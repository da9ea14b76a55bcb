#include "storage/zstd_stream.h"

#include <zstd.h>

#include "base/check.h"

namespace ez::storage {
namespace {

struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};
using Compress = std::unique_ptr<ZSTD_CCtx, FreeContext>;
using Decompress = std::unique_ptr<ZSTD_DCtx, FreeContext>;

Compress new_compress() {
  Compress context(ZSTD_createCCtx());
  EZ_CHECK(context != nullptr, "out of memory");
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, kZstdLevel);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);
  return context;
}

Decompress new_decompress() {
  Decompress context(ZSTD_createDCtx());
  EZ_CHECK(context != nullptr, "out of memory");
  // A frame may not ask for more window than level 3 ever uses (2 MiB); so damage cannot ask for gigabytes.
  ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, 23);
  return context;
}

}  // namespace

std::string zstd_pack(std::string_view bytes) {
  static thread_local Compress context = new_compress();  // making one costs more than packing a small record
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  const std::size_t size = ZSTD_compress2(context.get(), out.data(), out.size(), bytes.data(), bytes.size());
  EZ_CHECK(!ZSTD_isError(size), "zstd refused to compress into a buffer of its own bound");
  out.resize(size);
  return out;
}

Result<std::string> zstd_unpack(std::string_view frame, std::size_t max_bytes, Code failure) {
  static thread_local Decompress context = new_decompress();
  const unsigned long long plain = ZSTD_getFrameContentSize(frame.data(), frame.size());
  if (plain == ZSTD_CONTENTSIZE_ERROR || plain == ZSTD_CONTENTSIZE_UNKNOWN)
    return Error(failure, "not a zstd frame");
  if (plain > max_bytes)
    return Error(failure, "a zstd frame says that it holds " + std::to_string(plain) + " bytes");
  std::string out(static_cast<std::size_t>(plain), '\0');
  const std::size_t size =
      ZSTD_decompressDCtx(context.get(), out.data(), out.size(), frame.data(), frame.size());
  if (ZSTD_isError(size)) return Error(failure, std::string("zstd: ") + ZSTD_getErrorName(size));
  if (size != out.size()) return Error(failure, "a zstd frame ends early");
  return out;
}

struct ZstdPacker::State {
  Compress context = new_compress();
};
ZstdPacker::ZstdPacker() : state_(std::make_unique<State>()) {}
ZstdPacker::~ZstdPacker() = default;

void ZstdPacker::pack(std::string_view bytes, bool end, std::string& out) {
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  for (;;) {
    char buffer[64 * 1024];
    ZSTD_outBuffer to{buffer, sizeof buffer, 0};
    const std::size_t left =
        ZSTD_compressStream2(state_->context.get(), &to, &in, end ? ZSTD_e_end : ZSTD_e_continue);
    EZ_CHECK(!ZSTD_isError(left), "zstd refused to compress");
    out.append(buffer, to.pos);
    if (end ? left == 0 : in.pos == in.size) return;
  }
}

struct ZstdUnpacker::State {
  Decompress context = new_decompress();
  bool ended = false;
};
ZstdUnpacker::ZstdUnpacker() : state_(std::make_unique<State>()) {}
ZstdUnpacker::~ZstdUnpacker() = default;

bool ZstdUnpacker::unpack(std::string_view& frame, std::size_t limit, std::string& out) {
  const std::size_t before = out.size();
  out.resize(before + limit);
  ZSTD_inBuffer in{frame.data(), frame.size(), 0};
  ZSTD_outBuffer to{out.data() + before, limit, 0};
  bool good = true;
  while (good && !state_->ended && to.pos < to.size) {
    const std::size_t in_before = in.pos;
    const std::size_t out_before = to.pos;
    const std::size_t left = ZSTD_decompressStream(state_->context.get(), &to, &in);
    good = !ZSTD_isError(left);
    state_->ended = good && left == 0;
    if (in.pos == in_before && to.pos == out_before) break;  // needs more input
  }
  out.resize(before + to.pos);
  frame.remove_prefix(in.pos);
  return good;
}

bool ZstdUnpacker::ended() const { return state_->ended; }

}  // namespace ez::storage
