# cmake -D IN=file -D OUT=file.cc -P embed_prices.cmake: the text of a file as ez::models::prices_text().
file(READ "${IN}" text)
if(text MATCHES "\\)EZTEXT\"")
  message(FATAL_ERROR "${IN} contains the delimiter of the literal")
endif()
file(WRITE "${OUT}" "// Made by src/models/embed_prices.cmake from prices.json.\n#include <string_view>\n\n"
  "namespace ez::models {\nstd::string_view prices_text();\nstd::string_view prices_text() {\n"
  "  return R\"EZTEXT(${text})EZTEXT\";\n}\n}  // namespace ez::models\n")
