# The whole runtime in a simulated world (docs/internals/simulation.md). hdwsim needs the named places and breakages of HDW_POINTS: builds with sanitizers have
# them, others get a runtime of their own for it (runtime/CMakeLists.txt).
file(GLOB hdwsim_src CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/hdwsim*.c)
add_executable(hdwsim ${hdwsim_src})
if(HDW_ASAN)
  target_link_libraries(hdwsim PRIVATE hdw_runtime hdw_compiler hdw_grammar hdw_stdlib hdw_vm hdw_flags)
  add_test(NAME sim/world COMMAND hdwsim --seeds 1..12 --minutes 4 --jobs 2)
  add_test(NAME sim/canaries COMMAND hdwsim --canaries --seeds 1..80 --minutes 3 --jobs 2)
  add_test(NAME sim/same COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/sim_same.py $<TARGET_FILE:hdwsim> --seeds 1..4 --minutes 2)
  set_tests_properties(sim/world sim/canaries sim/same PROPERTIES TIMEOUT 300)
else()
  target_link_libraries(hdwsim PRIVATE hdw_runtime_points hdw_compiler hdw_grammar hdw_stdlib hdw_vm hdw_flags)
  set_target_properties(hdwsim PROPERTIES EXCLUDE_FROM_ALL ON)
endif()
