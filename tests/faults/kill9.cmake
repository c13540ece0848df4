# kill -9 of the whole daemon while senders keep a ledger: few kills here, many by ./dev campaign kill9.
if(TARGET hdwvm AND TARGET hdwc)
  add_test(NAME faults/kill9 COMMAND ${Python3_EXECUTABLE} -B ${PROJECT_SOURCE_DIR}/tests/campaign.py kill9 --bin ${PROJECT_BINARY_DIR} --count 10 --seed 7
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(faults/kill9 PROPERTIES TIMEOUT 300)
endif()
