add_test(NAME integration/damage COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/test_damage.py)
set_tests_properties(integration/damage PROPERTIES TIMEOUT 300 ENVIRONMENT "HDW_BIN=${CMAKE_BINARY_DIR};HDW_SLOW=3")
