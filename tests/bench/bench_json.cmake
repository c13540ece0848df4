# bench_json: our JSON reader and writer beside rapidjson, simdjson and cJSON (Debian: rapidjson-dev libsimdjson-dev libcjson-dev).
find_library(SIMDJSON_LIB simdjson)
find_library(CJSON_LIB cjson)
find_path(RAPIDJSON_DIR rapidjson/document.h)
if(NOT TARGET bench_data)
  add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/bench-data/patients.ndjson
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/gen_fhir.py ${CMAKE_BINARY_DIR}/bench-data
    DEPENDS ${CMAKE_CURRENT_LIST_DIR}/gen_fhir.py VERBATIM)
  add_custom_target(bench_data DEPENDS ${CMAKE_BINARY_DIR}/bench-data/patients.ndjson)
endif()
if(SIMDJSON_LIB AND CJSON_LIB AND RAPIDJSON_DIR)
  add_executable(bench_json ${CMAKE_CURRENT_LIST_DIR}/bench_json.c ${CMAKE_CURRENT_LIST_DIR}/bench_json_peers.cc)
  target_link_libraries(bench_json PRIVATE hdw_stdlib hdw_vm hdw_flags ${SIMDJSON_LIB} ${CJSON_LIB})
  target_compile_definitions(bench_json PRIVATE HDW_BENCH_DATA="${CMAKE_BINARY_DIR}/bench-data")
  add_dependencies(bench_json bench_data)
else()
  message(STATUS "bench_json is left out: rapidjson-dev, libsimdjson-dev or libcjson-dev is missing")
endif()
