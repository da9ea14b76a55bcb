// Ports of this room over a temporary folder and memory, with the behaviour that the interfaces promise. Used
// by *_test.cc only.
#pragma once

#include <unistd.h>

#include <fstream>
#include <mutex>
#include <string>

#include "agents/artifacts.h"
#include "agents/log_spool.h"
#include "agents/test_support.h"
#include "base/sha256.h"

namespace ez::agents {

class FolderArtifacts : public virtual ArtifactPort {
 public:
  explicit FolderArtifacts(std::string folder) : folder_(std::move(folder)) {
    EXPECT_TRUE(make_folders(folder_).ok());
  }
  Status fetch(const std::string& sha256, const std::string& path) override {
    auto bytes = read_file(folder_ + "/" + sha256, 64 << 20);
    if (!bytes.ok()) return Error(Code::BlobNotFound, sha256);
    return write_file(path, *bytes);
  }
  Result<ArtifactRef> store(const std::string& path) override {
    const std::string bytes = slurp(path);
    return ArtifactRef{"", put(bytes), static_cast<std::int64_t>(bytes.size())};
  }
  std::string put(const std::string& bytes) {
    const std::string digest = sha256_hex(bytes);
    std::ofstream(folder_ + "/" + digest + "." + std::to_string(::gettid())) << bytes;
    std::rename((folder_ + "/" + digest + "." + std::to_string(::gettid())).c_str(),
                (folder_ + "/" + digest).c_str());
    return digest;
  }
  [[nodiscard]] std::string get(const std::string& digest) const { return slurp(folder_ + "/" + digest); }

 private:
  std::string folder_;
};

class MemoryLog final : public LogPort {
 public:
  Result<std::uint64_t> size() override {
    std::lock_guard lock(mutex_);
    return text_.size();
  }
  Status append(std::uint64_t offset, std::string_view bytes) override {
    std::lock_guard lock(mutex_);
    EXPECT_LE(bytes.size(), kMaxLogChunk);
    if (failures_ > 0) {
      --failures_;
      return Error(Code::ServerUnreachable, "the wire is cut");
    }
    if (offset > text_.size()) return Error(Code::RequestInvalid, "a gap in the log");
    text_ = text_.substr(0, offset) + std::string(bytes);
    return {};
  }
  [[nodiscard]] std::string text() const {
    std::lock_guard lock(mutex_);
    return text_;
  }
  void fail_next(int times) { failures_ = times; }

 private:
  mutable std::mutex mutex_;
  std::string text_;
  int failures_ = 0;
};

}  // namespace ez::agents
