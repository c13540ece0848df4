# Tests that drive hdwc from outside: golden tests of the language, the official suites of FHIRPath and SQL on FHIR, the commands as a user calls them.
foreach(t lang/run conformance/fhirpath/run conformance/sql-on-fhir/run conformance/v2-to-fhir/run integration/test_hdwc)
  string(REPLACE "/run" "" n ${t})
  string(REPLACE "/test_" "/" n ${n})
  add_test(NAME ${n} COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/../${t}.py WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${n} PROPERTIES ENVIRONMENT "HDWC=$<TARGET_FILE:hdwc>" TIMEOUT 600)
endforeach()
# Generated expressions beside fhirpath.js; skipped where node or fhirpath.js (build/peers, which ./dev bench and ./dev campaign fhirpath fetch) are not there.
add_test(NAME conformance/fhirpath_differential COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/../conformance/fhirpath/differential.py --count 250 WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
set_tests_properties(conformance/fhirpath_differential PROPERTIES ENVIRONMENT "HDWC=$<TARGET_FILE:hdwc>" TIMEOUT 600 SKIP_RETURN_CODE 77)
