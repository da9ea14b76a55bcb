// Media types by the ending of a file's name, and a Content-Disposition that no name can break out of.
#pragma once

#include <string>
#include <string_view>

namespace ez::http::api {

// application/octet-stream for what is not listed.
[[nodiscard]] std::string_view content_type_of(std::string_view name);

// RFC 6266: the last part of the name, as an ASCII fallback and, when it is not all ASCII, as RFC 8187 text.
[[nodiscard]] std::string content_disposition(std::string_view name, bool download);

}  // namespace ez::http::api
