#include "agents/llm/transcript.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/json.h"

namespace ez::agents {

Transcript::Transcript(const std::string& path)
    : file_(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)) {}

void Transcript::add(std::string_view type, Value line) {
  if (!file_.valid() || cut_) return;
  line.set("type", type);
  std::string text = to_json(line) + "\n";
  if (bytes_ + text.size() > kMaxTranscriptBytes) {
    cut_ = true;
    text = "{\"type\":\"cut\"}\n";
  }
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t wrote = ::write(file_.get(), text.data() + done, text.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) {
      cut_ = true;
      return;
    }
    done += static_cast<std::size_t>(wrote);
  }
  bytes_ += text.size();
}

}  // namespace ez::agents
