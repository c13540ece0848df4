# bench_log: appends per second of the segment log, alone and with the store behind it, beside a raw append + fdatasync loop.
add_executable(bench_log ${CMAKE_CURRENT_LIST_DIR}/bench_log.c)
target_link_libraries(bench_log PRIVATE hdw_runtime hdw_flags)
