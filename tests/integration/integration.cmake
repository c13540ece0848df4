# The programs as users run them; loopback only.
add_test(NAME integration/daemon COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/test_daemon.py)
set_tests_properties(integration/daemon PROPERTIES TIMEOUT 300 ENVIRONMENT "HDW_BIN=${CMAKE_BINARY_DIR};HDW_SLOW=3")
add_test(NAME integration/examples COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/examples.py)
set_tests_properties(integration/examples PROPERTIES TIMEOUT 300 ENVIRONMENT "HDWC=${CMAKE_BINARY_DIR}/hdwc;HDWVM=${CMAKE_BINARY_DIR}/hdwvm")
add_test(NAME integration/tutorial COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/tutorial.py)
set_tests_properties(integration/tutorial PROPERTIES TIMEOUT 300 ENVIRONMENT "HDW_BIN=${CMAKE_BINARY_DIR}")
add_test(NAME integration/ops COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/test_ops.py)
set_tests_properties(integration/ops PROPERTIES TIMEOUT 300 ENVIRONMENT "HDW_BIN=${CMAKE_BINARY_DIR};HDW_SLOW=3")
