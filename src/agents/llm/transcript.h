// The transcript of one attempt: one JSON object a line, in order. docs/formats/transcript.md describes the
// lines. It never holds the gateway's key, which no part of the conversation knows.
//
// Bounds: kMaxTranscriptBytes, after which one line {"type":"cut"} stands at its end. A disk that refuses
// stops it quietly: the work goes on. One thread.
#pragma once

#include <string>

#include "agents/process.h"
#include "base/result.h"
#include "base/value.h"

namespace ez::agents {

inline constexpr std::size_t kMaxTranscriptBytes = 64 * 1024 * 1024;

class Transcript {
 public:
  // Creates the file. Without one (open() failed) add() does nothing.
  explicit Transcript(const std::string& path);
  void add(std::string_view type, Value line);
  [[nodiscard]] bool written() const { return bytes_ > 0; }

 private:
  UniqueFd file_;
  std::size_t bytes_ = 0;
  bool cut_ = false;
};

}  // namespace ez::agents
