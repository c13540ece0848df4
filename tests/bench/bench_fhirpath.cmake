# bench_fhirpath: FHIRPath compiled once and evaluated many times; peers from npm when PEERS_NPM names a folder that has them.
add_executable(bench_fhirpath ${CMAKE_CURRENT_LIST_DIR}/bench_fhirpath.c)
target_link_libraries(bench_fhirpath PRIVATE hdw_compiler hdw_stdlib hdw_vm hdw_flags m)
target_compile_definitions(bench_fhirpath PRIVATE HDW_BENCH_PEERS="${CMAKE_CURRENT_LIST_DIR}/fhirpath_peers.mjs")
bench_with_data(bench_fhirpath)
