# cmake -D IN=file -D OUT=file.cc -P embed_text.cmake: the text of a file as ez::http::api::openapi_text().
file(READ "${IN}" text)
if(text MATCHES "\\)EZTEXT\"")
  message(FATAL_ERROR "${IN} contains the delimiter of the literal")
endif()
file(WRITE "${OUT}" "// Made by src/http/api/embed_text.cmake from openapi.json.\n#include <string_view>\n\n"
  "namespace ez::http::api {\nstd::string_view openapi_text();\nstd::string_view openapi_text() {\n"
  "  return R\"EZTEXT(${text})EZTEXT\";\n}\n}  // namespace ez::http::api\n")
