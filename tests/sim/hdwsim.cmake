# The whole runtime in a simulated world (docs/internals/simulation.md). hdwsim needs the named places and breakages of HDW_POINTS: builds with sanitizers have
# them, others get a runtime of their own for it.
file(GLOB hdwsim_src CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/hdwsim*.c)
add_executable(hdwsim ${hdwsim_src})
if(HDW_ASAN)
  target_link_libraries(hdwsim PRIVATE hdw_runtime hdw_compiler hdw_grammar hdw_stdlib hdw_vm hdw_flags)
else()
  get_target_property(runtime_src hdw_runtime SOURCES)
  add_library(hdw_runtime_points STATIC EXCLUDE_FROM_ALL ${runtime_src})
  add_dependencies(hdw_runtime_points hdw_runtime) # for what is generated
  target_include_directories(hdw_runtime_points PUBLIC ${PROJECT_SOURCE_DIR}/runtime ${PROJECT_BINARY_DIR}/runtime)
  target_compile_definitions(hdw_runtime_points PUBLIC HDW_POINTS)
  target_link_libraries(hdw_runtime_points PUBLIC hdw_stdlib hdw_vm $<TARGET_PROPERTY:hdw_runtime,INTERFACE_LINK_LIBRARIES> PRIVATE hdw_flags)
  target_link_libraries(hdwsim PRIVATE hdw_runtime_points hdw_compiler hdw_grammar hdw_stdlib hdw_vm hdw_flags)
  set_target_properties(hdwsim PROPERTIES EXCLUDE_FROM_ALL ON)
endif()
add_test(NAME sim/world COMMAND hdwsim --seeds 1..12 --minutes 4 --jobs 2)
add_test(NAME sim/canaries COMMAND hdwsim --canaries --seeds 1..20 --minutes 3 --jobs 2)
set_tests_properties(sim/world sim/canaries PROPERTIES TIMEOUT 300)
