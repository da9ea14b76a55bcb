#include "storage/blob_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/sha256.h"
#include "storage/blob_file.h"

namespace ez::storage {
namespace {

constexpr int kSchemaVersion = 1;
constexpr char kSchema[] = R"sql(
  CREATE TABLE refs(owner TEXT NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY(owner, sha256))
    STRICT, WITHOUT ROWID;
  CREATE INDEX refs_by_blob ON refs(sha256);
  CREATE TABLE facts(name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
)sql";
constexpr std::size_t kMaxOwnerBytes = 256;
constexpr int kPrefixes = 256;

std::string prefix_name(int prefix) {
  static constexpr char kHex[] = "0123456789abcdef";
  return {kHex[prefix >> 4], kHex[prefix & 15]};
}

Result<std::vector<std::string>> list_names(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(path.c_str()), &::closedir);
  if (folder == nullptr) return file_error("open", path, errno);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(folder.get())) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  if (errno != 0) return file_error("read", path, errno);
  return names;
}

Status check_owner(std::string_view owner) {
  if (!owner.empty() && owner.size() <= kMaxOwnerBytes) return {};
  return Error(Code::InvalidArgument, "the owner of a blob needs a name of 1 to 256 bytes");
}

// Makes the folders, removes unfinished writes, adds up what is there.
Status scan(BlobStore::State& state) {
  EZ_TRY(make_folders(state.folder + "/new"));
  EZ_ASSIGN(const auto unfinished, list_names(state.folder + "/new"));
  for (const std::string& name : unfinished) {
    const std::string path = state.folder + "/new/" + name;
    if (::unlink(path.c_str()) != 0) return file_error("remove", path, errno);
  }
  bool made = false;
  for (int prefix = 0; prefix < kPrefixes; ++prefix) {
    const std::string path = state.prefix_path(prefix_name(prefix));
    if (::mkdir(path.c_str(), 0700) == 0) {
      made = true;
      continue;
    }
    if (errno != EEXIST) return file_error("mkdir", path, errno);
    EZ_ASSIGN(const auto names, list_names(path));
    for (const std::string& name : names) {
      struct stat info {};
      if (::lstat((path + "/" + name).c_str(), &info) != 0)
        return file_error("stat", path + "/" + name, errno);
      state.used_bytes += static_cast<std::uint64_t>(info.st_size);
      ++state.blobs;
    }
  }
  return made ? sync_folder(state.folder) : Status();
}

Status open_references(BlobStore::State& state, const std::string& path) {
  EZ_ASSIGN(state.references, Database::open(path, Database::Mode::kReadWrite, Code::BlobReferencesFailed));
  EZ_TRY(state.references->ensure_schema(kSchemaVersion, kSchema));
  EZ_ASSIGN(state.insert_ref, state.references->prepare("INSERT OR IGNORE INTO refs VALUES(?,?)"));
  EZ_ASSIGN(state.delete_owner, state.references->prepare("DELETE FROM refs WHERE owner=?"));
  EZ_ASSIGN(state.has_ref, state.references->prepare("SELECT 1 FROM refs WHERE sha256=? LIMIT 1"));
  EZ_ASSIGN(state.select_owner,
            state.references->prepare("SELECT sha256 FROM refs WHERE owner=? ORDER BY sha256"));
  // The fact is written when the store is first opened: a new blobs.db beside existing blobs knows nothing of
  // them.
  EZ_ASSIGN(Statement insert, state.references->prepare("INSERT OR IGNORE INTO facts VALUES('trusted',?)"));
  EZ_TRY(insert.bind(1, std::int64_t{state.blobs == 0}).run());
  EZ_ASSIGN(Statement select, state.references->prepare("SELECT value FROM facts WHERE name='trusted'"));
  EZ_ASSIGN(const bool row, select.step());
  state.trusted = row && select.integer(0) == 1;
  return {};
}

}  // namespace

BlobStore::BlobStore(std::unique_ptr<State> state) : state_(std::move(state)) {}
BlobStore::~BlobStore() = default;

Result<std::unique_ptr<BlobStore>> BlobStore::open(const std::string& folder, const BlobLimits& limits,
                                                   Clock& clock) {
  auto state = std::make_unique<State>();
  state->folder = folder + "/blobs";
  state->limits = limits;
  state->clock = &clock;
  EZ_TRY(scan(*state));
  EZ_TRY(open_references(*state, folder + "/blobs.db"));
  EZ_TRY(sync_folder(folder));
  return std::unique_ptr<BlobStore>(new BlobStore(std::move(state)));
}

Result<BlobInfo> BlobStore::put(std::string_view bytes) {
  if (bytes.size() > state_->limits.max_blob_bytes) {
    return Error(Code::PayloadTooLarge,
                 "a blob may have at most " + std::to_string(state_->limits.max_blob_bytes) + " bytes");
  }
  {
    const std::string sha256 = sha256_hex(bytes);
    std::lock_guard lock(state_->mutex);
    EZ_ASSIGN(auto found, state_->renew(sha256));
    if (found.has_value()) return std::move(*found);
  }
  EZ_ASSIGN(BlobWriter writer, begin_put(std::nullopt));
  EZ_TRY(writer.write(bytes));
  return writer.commit();
}

Result<BlobInfo> BlobStore::put_file(const std::string& path) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return file_error("open", path, errno);
  EZ_ASSIGN(BlobWriter writer, begin_put(std::nullopt));
  for (std::uint64_t offset = 0;;) {
    EZ_ASSIGN(const std::string bytes, read_at(file.get(), offset, 4 * kBlobChunkBytes, path));
    if (bytes.empty()) break;
    EZ_TRY(writer.write(bytes));
    offset += bytes.size();
  }
  return writer.commit();
}

Result<BlobInfo> BlobStore::stat(std::string_view sha256) const {
  if (!is_sha256_hex(sha256)) {
    return Error(Code::InvalidArgument, "not a SHA-256 in lower-case hexadecimal digits");
  }
  Fd fd;
  BlobHeader header;
  return state_->inspect(sha256, fd, header);
}

Result<std::string> BlobStore::get(std::string_view sha256, std::size_t max_bytes) const {
  EZ_ASSIGN(BlobReader reader, open_blob(sha256));
  if (reader.bytes() > max_bytes) {
    return Error(Code::PayloadTooLarge, "blob " + std::string(sha256) + " has " +
                                            std::to_string(reader.bytes()) + " bytes, at most " +
                                            std::to_string(max_bytes) + " are taken here");
  }
  std::string out;
  for (;;) {
    EZ_ASSIGN(const std::string bytes, reader.read(1 << 20));
    if (bytes.empty()) return out;
    out += bytes;
  }
}

Status BlobStore::add_refs(std::string_view owner, std::span<const std::string> sha256s) {
  EZ_TRY(check_owner(owner));
  std::lock_guard lock(state_->mutex);
  for (const std::string& sha256 : sha256s) {
    if (!is_sha256_hex(sha256))
      return Error(Code::InvalidArgument, "not a SHA-256 in lower-case hexadecimal digits");
    struct stat info {};
    if (::lstat(state_->path(sha256).c_str(), &info) == 0) continue;
    if (errno == ENOENT) return Error(Code::BlobNotFound, "no blob " + sha256);
    return file_error("stat", state_->path(sha256), errno);
  }
  EZ_ASSIGN(Transaction transaction, Transaction::begin(*state_->references));
  for (const std::string& sha256 : sha256s) {
    EZ_TRY(state_->insert_ref.bind(1, owner).bind(2, std::string_view(sha256)).run());
  }
  return transaction.commit();
}

Status BlobStore::add_ref(std::string_view owner, const std::string& sha256) {
  return add_refs(owner, std::span(&sha256, 1));
}

Status BlobStore::drop_owner(std::string_view owner) {
  EZ_TRY(check_owner(owner));
  std::lock_guard lock(state_->mutex);
  return state_->delete_owner.bind(1, owner).run();
}

Status BlobStore::drop_owners(std::span<const std::string> owners) {
  for (const std::string& owner : owners) EZ_TRY(check_owner(owner));
  std::lock_guard lock(state_->mutex);
  EZ_ASSIGN(Transaction transaction, Transaction::begin(*state_->references));
  for (const std::string& owner : owners) EZ_TRY(state_->delete_owner.bind(1, owner).run());
  return transaction.commit();
}

Result<std::vector<std::string>> BlobStore::refs(std::string_view owner) const {
  EZ_TRY(check_owner(owner));
  std::lock_guard lock(state_->mutex);
  std::vector<std::string> out;
  Statement& select = state_->select_owner;
  select.bind(1, owner);
  Result<bool> row = true;
  for (row = select.step(); row.ok() && *row; row = select.step()) out.emplace_back(select.text(0));
  select.reset();
  if (!row.ok()) return row.error();
  return out;
}

Result<CollectResult> BlobStore::collect(std::int64_t now_ms, std::int64_t grace_ms, std::size_t max_blobs) {
  State& s = *state_;
  std::lock_guard collecting(s.collect_mutex);
  if (!references_trusted()) {
    return Error(Code::WrongState,
                 "blobs.db was made new beside existing blobs: which ones are used is not known",
                 "Restore blobs.db from a backup, or start the server so that it adds the references again.");
  }
  const auto old_enough = [&](const struct stat& info) {
    return info.st_mtim.tv_sec * 1000 + info.st_mtim.tv_nsec / 1'000'000 + grace_ms < now_ms;
  };
  CollectResult result;
  while (result.examined < max_blobs) {
    const std::string prefix = prefix_name(s.collect_prefix);
    EZ_ASSIGN(auto names, list_names(s.prefix_path(prefix)));
    std::sort(names.begin(), names.end());
    auto name = std::upper_bound(names.begin(), names.end(), s.collect_after);
    for (; name != names.end() && result.examined < max_blobs; ++name) {
      ++result.examined;
      s.collect_after = *name;
      const std::string sha256 = prefix + *name;
      const std::string path = s.path(sha256);
      struct stat info {};
      if (!is_sha256_hex(sha256) || ::lstat(path.c_str(), &info) != 0 || !old_enough(info)) continue;
      std::lock_guard lock(s.mutex);
      if (::lstat(path.c_str(), &info) != 0 || !old_enough(info)) continue;  // put again meanwhile
      const auto used = s.has_ref.bind(1, std::string_view(sha256)).step();
      s.has_ref.reset();
      if (!used.ok()) return used.error();
      if (*used) continue;
      if (::unlink(path.c_str()) != 0) return file_error("remove", path, errno);
      s.release(static_cast<std::uint64_t>(info.st_size));
      s.blobs.fetch_sub(1);
      s.damaged.erase(sha256);
      ++result.removed;
      result.freed_bytes += static_cast<std::uint64_t>(info.st_size);
    }
    if (name != names.end()) break;
    s.collect_after.clear();
    s.collect_prefix = (s.collect_prefix + 1) % kPrefixes;
    if (s.collect_prefix == 0) {
      result.end = true;
      break;
    }
  }
  return result;
}

bool BlobStore::references_trusted() const {
  std::lock_guard lock(state_->mutex);
  return state_->trusted;
}

Status BlobStore::trust_references() {
  std::lock_guard lock(state_->mutex);
  EZ_TRY(state_->references->execute("UPDATE facts SET value=1 WHERE name='trusted'"));
  state_->trusted = true;
  return {};
}

std::uint64_t BlobStore::stored_bytes() const { return state_->used_bytes.load(); }
std::uint64_t BlobStore::count() const { return state_->blobs.load(); }

}  // namespace ez::storage
