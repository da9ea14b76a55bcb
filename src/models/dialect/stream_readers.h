// The makers of the readers and writers. Internal to models/dialect.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "models/dialect/stream.h"
#include "models/dialect/stream_reader.h"

namespace ez::models {

std::unique_ptr<StreamReader> make_anthropic_reader(const StreamLimits& limits);
std::unique_ptr<StreamReader> make_chat_reader(const StreamLimits& limits);
std::unique_ptr<StreamReader> make_responses_reader(const StreamLimits& limits);

std::unique_ptr<StreamWriter> make_anthropic_writer(Echo echo, std::string seed);
std::unique_ptr<StreamWriter> make_chat_writer(Echo echo, std::string seed, std::int64_t now_s);
std::unique_ptr<StreamWriter> make_responses_writer(Echo echo, std::string seed, std::int64_t now_s);
std::unique_ptr<StreamWriter> make_gemini_writer(Echo echo, std::string seed);

}  // namespace ez::models
