# What gen_fhir.py generates for benchmarks, once for all; bench_with_data(TARGET): TARGET reads it from HDW_BENCH_DATA.
add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/bench-data/patients.ndjson
  COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/gen_fhir.py ${CMAKE_BINARY_DIR}/bench-data
  DEPENDS ${CMAKE_CURRENT_LIST_DIR}/gen_fhir.py VERBATIM)
add_custom_target(bench_data DEPENDS ${CMAKE_BINARY_DIR}/bench-data/patients.ndjson)
function(bench_with_data target)
  target_compile_definitions(${target} PRIVATE HDW_BENCH_DATA="${CMAKE_BINARY_DIR}/bench-data")
  add_dependencies(${target} bench_data)
endfunction()
