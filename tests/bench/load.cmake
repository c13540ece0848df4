# Load tools for tests and benchmarks: they stand outside of the product and use sockets directly.
foreach(tool mllpload httpsink)
  add_executable(${tool} ${CMAKE_CURRENT_LIST_DIR}/${tool}.c)
  target_link_libraries(${tool} PRIVATE hdw_flags)
endforeach()
