# bench_fhirpath: FHIRPath compiled once and evaluated many times; peers from npm when PEERS_NPM names a folder that has them.
add_executable(bench_fhirpath ${CMAKE_CURRENT_LIST_DIR}/bench_fhirpath.c)
target_link_libraries(bench_fhirpath PRIVATE hdw_compiler hdw_stdlib hdw_vm hdw_flags m)
target_compile_definitions(bench_fhirpath PRIVATE HDW_BENCH_DATA="${CMAKE_BINARY_DIR}/bench-data" HDW_BENCH_PEERS="${CMAKE_CURRENT_LIST_DIR}/fhirpath_peers.mjs")
if(NOT TARGET bench_data)
  add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/bench-data/patients.ndjson
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/gen_fhir.py ${CMAKE_BINARY_DIR}/bench-data
    DEPENDS ${CMAKE_CURRENT_LIST_DIR}/gen_fhir.py VERBATIM)
  add_custom_target(bench_data DEPENDS ${CMAKE_BINARY_DIR}/bench-data/patients.ndjson)
endif()
add_dependencies(bench_fhirpath bench_data)
