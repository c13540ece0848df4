# bench_vm: the machine beside lua5.4, luajit and jq as processes, where they are installed.
add_executable(bench_vm ${CMAKE_CURRENT_LIST_DIR}/bench_vm.c)
target_link_libraries(bench_vm PRIVATE hdw_compiler hdw_stdlib hdw_vm hdw_flags)
target_compile_definitions(bench_vm PRIVATE HDW_BENCH_DATA="${CMAKE_BINARY_DIR}/bench-data" HDW_BENCH_VM="${CMAKE_CURRENT_LIST_DIR}/vm")
if(NOT TARGET bench_data)
  add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/bench-data/patients.ndjson
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/gen_fhir.py ${CMAKE_BINARY_DIR}/bench-data
    DEPENDS ${CMAKE_CURRENT_LIST_DIR}/gen_fhir.py VERBATIM)
  add_custom_target(bench_data DEPENDS ${CMAKE_BINARY_DIR}/bench-data/patients.ndjson)
endif()
add_dependencies(bench_vm bench_data)
