# ez_module(<name> TIER <n> [DEPS <module>...] [LIBS <lib>...] [PROTO <file.proto>...])
#
# One folder of src/ becomes one static library `ez_<name>`. Its sources are all *.cc of the folder, its tests all
# *_test.cc (one program `<name>_tests`). Each module has an include root of its own that holds only its own folder,
# and a module compiles with its own root and those of the DEPS it lists, nothing else: an include that is not
# declared, or that points upwards, does not compile. TIER is checked here: a module may list only lower tiers.
#
# ez_suite(<name> [MODULES <module>...] [LIBS <lib>...] SOURCES <file>...) is the same for programs in tests/ and bench/.
set(EZ_ROOTS "${CMAKE_BINARY_DIR}/roots")

function(ez_include_root out module)
  set(${out} "${EZ_ROOTS}/${module}" "${EZ_ROOTS}/${module}.gen" PARENT_SCOPE)
endfunction()

function(ez_use_modules target)
  foreach(module ${ARGN})
    ez_include_root(root ${module})
    target_include_directories(${target} PRIVATE ${root})
    target_link_libraries(${target} PRIVATE ez_${module})
  endforeach()
endfunction()

# Sets `out` to what a target compiles instead of its sources: files that include several of them each (the groups of
# cmake/unity_groups.py), so that headers are read and templates instantiated once. A name that is defined twice in a
# group, although it was not when the build was configured, is reported by the compiler: `cmake build/release` groups
# anew. EZ_UNITY=OFF compiles every source alone, as scripts/mutate's builds do.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
function(ez_unity out target)
  set(${out} ${ARGN} PARENT_SCOPE)
  if(NOT EZ_UNITY OR NOT ARGN)
    return()
  endif()
  execute_process(
    COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_SOURCE_DIR}/cmake/unity_groups.py ${CMAKE_SOURCE_DIR}
            ${CMAKE_CURRENT_BINARY_DIR}/unity/${target} ${ARGN}
    OUTPUT_VARIABLE units OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY
    WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
  set(${out} ${units} PARENT_SCOPE)
endfunction()

function(ez_module name)
  cmake_parse_arguments(M "" "TIER" "DEPS;LIBS;PROTO" ${ARGN})
  if(NOT DEFINED M_TIER)
    message(FATAL_ERROR "ez_module(${name}): TIER is missing")
  endif()
  set_property(GLOBAL PROPERTY EZ_TIER_${name} ${M_TIER})
  foreach(dep ${M_DEPS})
    get_property(dep_tier GLOBAL PROPERTY EZ_TIER_${dep})
    if(NOT DEFINED dep_tier OR dep_tier STREQUAL "")
      message(FATAL_ERROR "ez_module(${name}): ${dep} is not a module of a lower tier")
    endif()
    if(NOT dep_tier LESS M_TIER)
      message(FATAL_ERROR "ez_module(${name}): tier ${M_TIER} may not depend on ${dep} of tier ${dep_tier}")
    endif()
  endforeach()

  file(MAKE_DIRECTORY "${EZ_ROOTS}/${name}" "${EZ_ROOTS}/${name}.gen/${name}")
  if(NOT EXISTS "${EZ_ROOTS}/${name}/${name}")
    file(CREATE_LINK "${CMAKE_CURRENT_SOURCE_DIR}" "${EZ_ROOTS}/${name}/${name}" SYMBOLIC)
  endif()

  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.cc")
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  list(FILTER sources EXCLUDE REGEX "/main\\.cc$")

  set(generated)
  foreach(proto ${M_PROTO})
    get_filename_component(stem ${proto} NAME_WE)
    set(out "${EZ_ROOTS}/${name}.gen/${name}/${stem}.pb")
    add_custom_command(OUTPUT ${out}.cc ${out}.h
      COMMAND protobuf::protoc --cpp_out=${EZ_ROOTS}/${name}.gen -I ${EZ_ROOTS}/${name}
              ${EZ_ROOTS}/${name}/${name}/${proto}
      DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${proto} VERBATIM)
    list(APPEND generated ${out}.cc ${out}.h)
    set_source_files_properties(${out}.cc PROPERTIES COMPILE_OPTIONS "-w")
  endforeach()

  ez_unity(units ez_${name} ${sources})
  add_library(ez_${name} STATIC ${units} ${generated})
  ez_include_root(own ${name})
  target_include_directories(ez_${name} PRIVATE ${own})
  foreach(dep ${M_DEPS})
    ez_include_root(root ${dep})
    target_include_directories(ez_${name} PRIVATE ${root})
    target_link_libraries(ez_${name} PUBLIC ez_${dep})
  endforeach()
  target_link_libraries(ez_${name} PUBLIC ${M_LIBS} Threads::Threads)

  if(EZ_TESTS AND tests)
    ez_unity(units ${name}_tests ${tests})
    add_executable(${name}_tests ${units})
    ez_use_modules(${name}_tests ${name} ${M_DEPS})
    target_link_libraries(${name}_tests PRIVATE GTest::gmock GTest::gtest_main)
    # Unit tests run under the sanitizers; in the release build they only have to be built quickly.
    target_compile_options(${name}_tests PRIVATE $<$<CONFIG:RelWithDebInfo>:-O0;-g0>)
    ez_add_test(${name}_tests)
  endif()
endfunction()

add_custom_target(unit_tests)

# Registers a googletest program with ctest; scripts/test sums the XML reports that each run leaves behind.
function(ez_add_test target)
  add_dependencies(unit_tests ${target})
  add_test(NAME ${target} COMMAND ${target}
           --gtest_output=xml:${CMAKE_BINARY_DIR}/reports/${target}.xml
           WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${target} PROPERTIES TIMEOUT 900 ENVIRONMENT
    "EZ_BINARY=${CMAKE_BINARY_DIR}/bin/ez;EZ_SOURCE_DIR=${CMAKE_SOURCE_DIR};UBSAN_OPTIONS=print_stacktrace=1;ASAN_OPTIONS=detect_leaks=1")
endfunction()

function(ez_suite name)
  cmake_parse_arguments(S "NO_TEST" "" "MODULES;LIBS;SOURCES" ${ARGN})
  ez_unity(units ${name} ${S_SOURCES})
  add_executable(${name} ${units})
  ez_use_modules(${name} ${S_MODULES})
  target_link_libraries(${name} PRIVATE ${S_LIBS})
  if(NOT S_NO_TEST)
    target_link_libraries(${name} PRIVATE GTest::gmock GTest::gtest_main)
    ez_add_test(${name})
  endif()
endfunction()
