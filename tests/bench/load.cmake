# Load tools for tests and benchmarks: they stand outside of the product and use sockets directly.
foreach(tool mllpload httpsink)
  add_executable(${tool} ${CMAKE_CURRENT_LIST_DIR}/${tool}.c)
  target_link_libraries(${tool} PRIVATE hdw_flags)
endforeach()
add_executable(bench_net ${CMAKE_CURRENT_LIST_DIR}/bench_net.c)
target_link_libraries(bench_net PRIVATE hdw_runtime hdw_flags)
