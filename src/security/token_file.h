// The token file <data>/token: the credential of the embedded default. 256 random bits from the kernel as
// base64url (43 characters, RFC 4648 section 5 without padding) and a newline; mode 0600.
//
// A token file that its group or others can read or write is refused: a secret that leaked once is not
// trusted.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ez::security {

// Reads the token; makes the file first when it is absent. The file appears with its whole content and its
// final mode or not at all, and of several processes that start together all get the same token. Errors:
// TOKEN_FILE_UNSAFE (mode, owner, not a regular file, content), IO_FAILED, DISK_FULL.
[[nodiscard]] Result<std::string> load_or_create_token(const std::filesystem::path& file);

// Reads it, never makes it. Errors as above; IO_FAILED when it is absent.
[[nodiscard]] Result<std::string> read_token(const std::filesystem::path& file);

// Equality in a time that depends on the lengths only.
[[nodiscard]] bool same_secret(std::string_view a, std::string_view b);

// RFC 4648 base64url without padding.
[[nodiscard]] std::string base64url(std::string_view bytes);

}  // namespace ez::security
