# Breakages that tests must notice (tests/canaries.txt): those that are quick; sim/canaries has the simulation's. `./dev campaign canaries` goes through all of them.
if(HDW_ASAN)
  add_test(NAME faults/canaries COMMAND ${Python3_EXECUTABLE} -B ${PROJECT_SOURCE_DIR}/tests/campaign.py canaries --bin ${CMAKE_BINARY_DIR} --debug ${CMAKE_BINARY_DIR} --quick WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(faults/canaries PROPERTIES TIMEOUT 1200)
endif()
