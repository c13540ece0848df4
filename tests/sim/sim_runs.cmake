# Random histories of ordered runs with branches. `sim_runs FIRST_SEED SEEDS` for more.
add_executable(sim_runs ${CMAKE_CURRENT_LIST_DIR}/sim_runs.c)
target_link_libraries(sim_runs PRIVATE hdw_test_support hdw_flags)
add_test(NAME sim/runs COMMAND sim_runs 1 25)
set_tests_properties(sim/runs PROPERTIES TIMEOUT 300)
