# Load tools for tests and benchmarks: they stand outside of the product and use sockets directly.
foreach(tool mllpload httpload httpsink limit)
  if(EXISTS ${CMAKE_CURRENT_LIST_DIR}/${tool}.c)
    add_executable(${tool} ${CMAKE_CURRENT_LIST_DIR}/${tool}.c)
    target_link_libraries(${tool} PRIVATE hdw_flags)
  endif()
endforeach()
target_link_libraries(limit PRIVATE lmdb)
# bench_net: the listeners without a store; bench_fill: a data folder with millions of duplicate keys.
foreach(tool bench_net bench_fill)
  add_executable(${tool} ${CMAKE_CURRENT_LIST_DIR}/${tool}.c)
  target_link_libraries(${tool} PRIVATE hdw_runtime hdw_flags)
endforeach()
