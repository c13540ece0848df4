add_test(NAME integration/sinks COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/test_sinks.py)
set_tests_properties(integration/sinks PROPERTIES TIMEOUT 300 ENVIRONMENT "HDW_BIN=${CMAKE_BINARY_DIR};HDW_SLOW=3")
add_test(NAME integration/reprocess COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/test_reprocess.py)
set_tests_properties(integration/reprocess PROPERTIES TIMEOUT 300 ENVIRONMENT "HDW_BIN=${CMAKE_BINARY_DIR};HDW_SLOW=3")
