# Random histories of the engine on the simulated seam, checked against what was promised. `sim_engine FIRST_SEED SEEDS` for more.
add_executable(sim_engine ${CMAKE_CURRENT_LIST_DIR}/sim_engine.c)
target_link_libraries(sim_engine PRIVATE hdw_test_support hdw_flags)
add_test(NAME sim/engine COMMAND sim_engine 1 15)
set_tests_properties(sim/engine PROPERTIES TIMEOUT 300)
