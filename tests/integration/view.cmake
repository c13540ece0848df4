# hdwc view: lines that cannot be used, forms, memory, places of errors.
add_test(NAME integration/view COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/test_view.py)
set_tests_properties(integration/view PROPERTIES TIMEOUT 120 ENVIRONMENT "HDW_BIN=${CMAKE_BINARY_DIR}")
