# hdwc gen connector, and connections that are checked against a server's statement. HDW_CONNECTOR_CORPUS names a folder with more documents.
add_test(NAME integration/gen COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/test_gen.py)
set_tests_properties(integration/gen PROPERTIES TIMEOUT 600 ENVIRONMENT "HDWC=${CMAKE_BINARY_DIR}/hdwc")
