# The demo is a test too: with the sanitized programs.
if(TARGET hdwvm AND TARGET hdwc)
  add_test(NAME integration/demo COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/demo.py --bin ${PROJECT_BINARY_DIR} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(integration/demo PROPERTIES TIMEOUT 120)
endif()
