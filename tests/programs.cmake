# Tests that drive the built programs: Python scripts, the binary in HDWC.
function(hdw_program_test name script)
  add_test(NAME ${name} COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_SOURCE_DIR}/${script} ${ARGN} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES ENVIRONMENT "HDWC=$<TARGET_FILE:hdwc>" TIMEOUT 600)
endfunction()
hdw_program_test(conformance/fhirpath conformance/fhirpath/run.py)
hdw_program_test(lang/golden lang/run.py)
hdw_program_test(integration/hdwc integration/test_hdwc.py)
