# The branches of some files of tests/coverage.txt that few programs reach quickly: compiled once more, with counters. coverage/log fails when more are missed than the
# second number of the table allows. ./dev coverage looks at all files under nearly all tests.
set(counted_files ${PROJECT_SOURCE_DIR}/runtime/log_format.c ${PROJECT_SOURCE_DIR}/runtime/log_iter.c ${PROJECT_SOURCE_DIR}/runtime/log_scan.c ${PROJECT_SOURCE_DIR}/runtime/log_retain.c
  ${PROJECT_SOURCE_DIR}/runtime/dispatch_ack.c)
set_source_files_properties(${counted_files} PROPERTIES COMPILE_OPTIONS "-O0;--coverage;-fno-sanitize=undefined;-U_FORTIFY_SOURCE")
add_library(hdw_counted OBJECT ${counted_files})
target_link_libraries(hdw_counted PRIVATE hdw_runtime hdw_flags)
foreach(t log log_edges log_branches log_compacted dispatch_ack)
  add_executable(counted_${t} ${CMAKE_CURRENT_LIST_DIR}/unit/test_${t}.c $<TARGET_OBJECTS:hdw_counted>)
  target_link_libraries(counted_${t} PRIVATE hdw_test_support hdw_flags gcov)
  target_link_options(counted_${t} PRIVATE --coverage)
endforeach()
add_test(NAME coverage/log COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/coverage.py --build ${CMAKE_CURRENT_BINARY_DIR} --counted hdw_counted --fresh
  --programs counted_log counted_log_edges counted_log_branches counted_log_compacted counted_dispatch_ack WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
set_tests_properties(coverage/log PROPERTIES TIMEOUT 300)
