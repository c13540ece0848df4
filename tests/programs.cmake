# Programs that are neither unit tests nor benchmarks: each folder lists its own.
file(GLOB program_lists CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/faults/*.cmake)
foreach(f ${program_lists})
  include(${f})
endforeach()
