# The table of misbehaving peers, against the real daemon. `peers.py --protocol P --row NAME` for one of them, `--repeat N` for growth.
add_test(NAME faults/peers COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/peers.py)
set_tests_properties(faults/peers PROPERTIES TIMEOUT 300 ENVIRONMENT "HDW_BIN=${CMAKE_BINARY_DIR};HDW_SLOW=2")
# The clock jumps, signals come under load, memory is short.
add_test(NAME faults/hardship COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/hardship.py)
set_tests_properties(faults/hardship PROPERTIES TIMEOUT 300 ENVIRONMENT "HDW_BIN=${CMAKE_BINARY_DIR};HDW_SLOW=3")
