// Problem documents (RFC 9457): how an Error looks on the wire, in both directions.
//
//   {"type":"/errors/RUN_NOT_FOUND","title":"Run not found","status":404,"code":"RUN_NOT_FOUND",
//    "detail":"…",    "hint":"…","retry":false,"instance":"<request id>"}
//
// `code` is the stable name of base/error_catalog.def; `type` leads to its operator page.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "http/message.h"

namespace ez::http {

inline constexpr std::string_view kProblemType = "application/problem+json";

[[nodiscard]] std::string problem_json(const Error& error, std::string_view request_id);

// Retry-After where a retry helps, WWW-Authenticate where a token is missing.
void append_problem_headers(std::string& out, const Error& error);

// The Error behind an answer with a status of 400 and more. A code that this build does not know, or a body
// that is no problem document, gives INTERNAL with the text of the answer (at most 512 bytes of it).
[[nodiscard]] Error error_of_answer(int status, std::string_view content_type, std::string_view body);

}  // namespace ez::http
