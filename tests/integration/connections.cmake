add_test(NAME integration/fhir COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/test_fhir.py)
set_tests_properties(integration/fhir PROPERTIES TIMEOUT 300 ENVIRONMENT "HDW_BIN=${CMAKE_BINARY_DIR};HDW_SLOW=3")
add_test(NAME integration/rest COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/test_rest.py)
set_tests_properties(integration/rest PROPERTIES TIMEOUT 300 ENVIRONMENT "HDW_BIN=${CMAKE_BINARY_DIR};HDW_SLOW=3")
