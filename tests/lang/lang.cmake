# Tests that drive hdwc from outside: golden tests of the language, the official suites of FHIRPath and SQL on FHIR, the commands as a user calls them.
foreach(t lang/run conformance/fhirpath/run conformance/sql-on-fhir/run integration/test_hdwc)
  string(REPLACE "/run" "" n ${t})
  string(REPLACE "/test_" "/" n ${n})
  add_test(NAME ${n} COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/../${t}.py WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${n} PROPERTIES ENVIRONMENT "HDWC=$<TARGET_FILE:hdwc>" TIMEOUT 600)
endforeach()
