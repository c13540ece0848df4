# kill -9 against the segment log. `kill_log DIR KILLS SEED` for more; the canary ack.early must turn it red.
add_executable(kill_log ${CMAKE_CURRENT_LIST_DIR}/kill_log.c)
target_link_libraries(kill_log PRIVATE hdw_runtime hdw_flags)
add_test(NAME faults/kill_log COMMAND kill_log)
set_tests_properties(faults/kill_log PROPERTIES TIMEOUT 120)
