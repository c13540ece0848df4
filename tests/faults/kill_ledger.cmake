# kill -9 against the daemon, with a ledger of what was sent, acknowledged and delivered. `kill_ledger.py --kills N --seed S` for more.
add_test(NAME faults/kill_ledger COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/kill_ledger.py --kills 40)
if(HDW_ASAN)
  add_test(NAME faults/kill_points COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/kill_ledger.py --kills 15 --points --senders 2)
  set_tests_properties(faults/kill_points PROPERTIES TIMEOUT 300 ENVIRONMENT "HDW_BIN=${CMAKE_BINARY_DIR};HDW_SLOW=3")
endif()
set_tests_properties(faults/kill_ledger PROPERTIES TIMEOUT 300 ENVIRONMENT "HDW_BIN=${CMAKE_BINARY_DIR};HDW_SLOW=3")
