# bench_vm: the machine beside lua5.4, luajit and jq as processes, where they are installed.
add_executable(bench_vm ${CMAKE_CURRENT_LIST_DIR}/bench_vm.c)
target_link_libraries(bench_vm PRIVATE hdw_compiler hdw_stdlib hdw_vm hdw_flags)
target_compile_definitions(bench_vm PRIVATE HDW_BENCH_VM="${CMAKE_CURRENT_LIST_DIR}/vm")
bench_with_data(bench_vm)
