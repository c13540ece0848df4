# Memory that is not there, at every Nth allocation of every scenario; `oom` alone goes through all of them.
add_executable(oom ${CMAKE_CURRENT_LIST_DIR}/oom.c ${CMAKE_CURRENT_LIST_DIR}/oom_engine.c ${CMAKE_CURRENT_LIST_DIR}/oom_parts.c ${PROJECT_SOURCE_DIR}/vm/arena.c)
target_compile_definitions(oom PRIVATE HDW_STRESS=1) # its arena takes memory in small pieces: nearly each use of it can fail
target_link_libraries(oom PRIVATE hdw_test_support hdw_flags)
if(HDW_COVERAGE)
  set(oom_stride 3)
else()
  set(oom_stride 67)
endif()
add_test(NAME faults/oom COMMAND oom --stride ${oom_stride})
set_tests_properties(faults/oom PROPERTIES TIMEOUT 900)
