# bench_hl7: our HL7 reader beside the parsers of npm. The peers are looked for in the folder that PEERS_NPM names:
#   npm i --legacy-peer-deps --prefix build/peers hl7parser simple-hl7 hl7 @medplum/core hl7-standard node-hl7-client
add_executable(bench_hl7 ${CMAKE_CURRENT_LIST_DIR}/bench_hl7.c)
target_link_libraries(bench_hl7 PRIVATE hdw_stdlib hdw_vm hdw_flags)
target_compile_definitions(bench_hl7 PRIVATE HDW_BENCH_HL7_DATA="${CMAKE_CURRENT_LIST_DIR}/data" HDW_BENCH_HL7_SCRIPT="${CMAKE_CURRENT_LIST_DIR}/hl7_peers.mjs")
