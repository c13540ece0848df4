# Loss accounting in tests and in the daemon.
add_test(NAME integration/loss COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/test_loss.py)
set_tests_properties(integration/loss PROPERTIES TIMEOUT 300 ENVIRONMENT "HDW_BIN=${CMAKE_BINARY_DIR};HDW_SLOW=3")
