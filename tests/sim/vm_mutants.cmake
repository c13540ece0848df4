# The machine beside the slow one, for ./dev campaign verifier; tests/unit/test_differential.c is its share of ./dev test.
add_executable(vm_mutants ${CMAKE_CURRENT_LIST_DIR}/vm_mutants.c)
target_link_libraries(vm_mutants PRIVATE hdw_test_support hdw_flags)
