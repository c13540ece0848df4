# Load tools for tests and benchmarks: they stand outside of the product and use sockets directly.
foreach(tool mllpload httpload httpsink limit)
  add_executable(${tool} ${CMAKE_CURRENT_LIST_DIR}/${tool}.c)
  target_link_libraries(${tool} PRIVATE hdw_flags)
endforeach()
target_link_libraries(limit PRIVATE lmdb)
target_link_libraries(httpload PRIVATE ssl crypto)
# bench_net: the listeners without a store; bench_fill: a data folder with millions of duplicate keys.
foreach(tool bench_net bench_fill)
  add_executable(${tool} ${CMAKE_CURRENT_LIST_DIR}/${tool}.c)
  target_link_libraries(${tool} PRIVATE hdw_runtime hdw_flags)
endforeach()
