#include "queue/manager/copies.h"

#include <fcntl.h>
#include <openssl/sha.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>

#include "base/sha256.h"
#include "queue/manager/inlet.h"

namespace ez::queue {
namespace {

constexpr std::string_view kManifestMagic = "ez-queue-migration 1\n";
constexpr std::size_t kSealBytes = 64;

void add_text(std::string& out, std::string_view text) {
  out += std::to_string(text.size());
  out.push_back(':');
  out += text;
}

std::string_view bytes_of(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

Error file_failed(const char* what, const std::string& path) {
  return Error(Code::IoFailed, std::string(what) + " " + path + ": " + std::strerror(errno));
}

Status write_durably(const std::string& path, std::string_view bytes) {
  const std::string temporary = path + ".new";
  const int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) return file_failed("open", temporary);
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const Error error = file_failed("write", temporary);
      ::close(file);
      return error;
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  const bool synced = ::fsync(file) == 0;
  if (::close(file) != 0 || !synced) return file_failed("sync", temporary);
  if (::rename(temporary.c_str(), path.c_str()) != 0) return file_failed("rename", temporary);
  const std::string folder = path.substr(0, path.rfind('/') + 1);
  const int directory = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return file_failed("open", folder);
  const bool kept = ::fsync(directory) == 0;
  ::close(directory);
  return kept ? Status{} : Status(file_failed("sync", folder));
}

}  // namespace

Message tamed(Message message) {
  std::erase_if(message.headers, [](const auto& header) {
    return header.first == kJournalHeader || header.first.empty() || header.first.size() > 64 ||
           !std::all_of(header.first.begin(), header.first.end(), [](char c) {
             return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                    c == '-';
           });
  });
  if (message.headers.size() > kMaxHeaders) message.headers.resize(kMaxHeaders);
  const bool plain =
      std::all_of(message.id.begin(), message.id.end(), [](char c) { return c > ' ' && c < 127; });
  if (!plain || message.id.size() > kMaxIdBytes) message.id = "sha256-" + sha256_hex(message.id);
  message.key.resize(std::min(message.key.size(), kMaxKeyBytes));
  // The broker has waited for it already.
  message.delay_ms = 0;
  message.ttl_ms = std::clamp<std::int64_t>(message.ttl_ms, 0, kMaxDelayMs);
  return message;
}

Digest digest_of(const Message& message) {
  std::string text;
  text.reserve(message.payload.size() + 256);
  add_text(text, message.topic);
  add_text(text, message.id);
  add_text(text, message.key);
  add_text(text, to_text(message.priority));
  add_text(text, message.payload);
  Headers headers = message.headers;
  std::sort(headers.begin(), headers.end());
  for (const auto& [name, value] : headers) {
    add_text(text, name);
    add_text(text, value);
  }
  std::array<unsigned char, SHA256_DIGEST_LENGTH> whole{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), whole.data());
  Digest out;
  std::copy_n(whole.begin(), out.size(), out.begin());
  return out;
}

std::string digest_of(std::vector<Digest> all) {
  std::sort(all.begin(), all.end());
  Sha256 hash;
  for (const Digest& one : all) hash.update(bytes_of(one));
  return hash.finish_hex();
}

std::size_t DigestHash::operator()(const Digest& digest) const {
  std::size_t out = 0;
  std::memcpy(&out, digest.data(), sizeof(out));
  return out;
}

Copy copy_of(Lying lying, const std::string& journal, std::int64_t now_ms) {
  Copy out;
  Place place;
  bool stranger = false;
  if (read_journal_mark(lying.message, journal, place, stranger)) {
    out.kind = Copy::Kind::kOwn;
    return out;
  }
  const std::int64_t ttl_ms = lying.message.ttl_ms;
  std::int64_t left_ms = 0;
  if (ttl_ms > 0) {
    left_ms = lying.published_ms > 0 ? lying.published_ms + ttl_ms - now_ms : ttl_ms;
    if (left_ms <= 0) {
      out.kind = Copy::Kind::kExpired;
      return out;
    }
  }
  out.message = tamed(std::move(lying.message));
  out.message.ttl_ms = std::min(left_ms, kMaxDelayMs);
  out.message.delay_ms = std::clamp<std::int64_t>(lying.due_ms - now_ms, 0, kMaxDelayMs);
  out.delayed = out.message.delay_ms > 0;
  if (!check_message(out.message).ok() || out.message.id.empty()) {
    out.kind = Copy::Kind::kRefused;
    return out;
  }
  out.digest = digest_of(out.message);
  return out;
}

bool Manifest::contains(const Digest& digest) const {
  return std::binary_search(digests.begin(), digests.end(), digest);
}

Status Manifest::write(const std::string& path) const {
  std::string bytes(kManifestMagic);
  bytes.reserve(bytes.size() + digests.size() * sizeof(Digest) + kSealBytes);
  for (const Digest& one : digests) bytes += bytes_of(one);
  bytes += sha256_hex(bytes);
  return write_durably(path, bytes);
}

Result<Manifest> Manifest::read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error(Code::IoFailed, "read " + path);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const std::size_t around = kManifestMagic.size() + kSealBytes;
  const bool shaped = bytes.size() >= around && bytes.starts_with(kManifestMagic) &&
                      (bytes.size() - around) % sizeof(Digest) == 0;
  const std::string_view all(bytes);
  if (!shaped || sha256_hex(all.substr(0, all.size() - kSealBytes)) != all.substr(all.size() - kSealBytes)) {
    return Error(Code::IoFailed, path + " is damaged");
  }
  Manifest out;
  out.digests.resize((bytes.size() - around) / sizeof(Digest));
  for (std::size_t i = 0; i < out.digests.size(); ++i) {
    std::memcpy(out.digests[i].data(), bytes.data() + kManifestMagic.size() + i * sizeof(Digest),
                sizeof(Digest));
  }
  return out;
}

}  // namespace ez::queue
