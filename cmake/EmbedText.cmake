# cmake -D IN=file -D OUT=file.cc -D SPACE=ez::x -D NAME=f -P EmbedText.cmake: the text of a file as SPACE::NAME().
file(READ "${IN}" text)
if(text MATCHES "\\)EZTEXT\"")
  message(FATAL_ERROR "${IN} contains the delimiter of the literal")
endif()
get_filename_component(from "${IN}" NAME)
file(WRITE "${OUT}" "// Made by cmake/EmbedText.cmake from ${from}.\n#include <string_view>\n\n"
  "namespace ${SPACE} {\nstd::string_view ${NAME}();\nstd::string_view ${NAME}() {\n"
  "  return R\"EZTEXT(${text})EZTEXT\";\n}\n}  // namespace ${SPACE}\n")
