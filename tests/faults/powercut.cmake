# Between a program and its files (LD_PRELOAD), and disks as they look after a power cut. tests/faults/disk.py drives both.
add_library(iofault MODULE ${CMAKE_CURRENT_LIST_DIR}/iofault.c) # without sanitizers: it stands below them
target_compile_definitions(iofault PRIVATE _GNU_SOURCE)
target_compile_options(iofault PRIVATE -Wall -Wextra -Wshadow -Werror -fPIC)
target_link_libraries(iofault PRIVATE ${CMAKE_DL_LIBS} pthread)
add_executable(powercut ${CMAKE_CURRENT_LIST_DIR}/powercut.c)
target_link_libraries(powercut PRIVATE hdw_runtime hdw_flags)
set(disk_env "HDW_BIN=${CMAKE_BINARY_DIR};HDW_SLOW=3")
add_test(NAME faults/powercut COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/disk.py powercut --images 300)
add_test(NAME faults/powercut_canary COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/disk.py powercut --images 40 --scenario killed --canary)
add_test(NAME faults/iofaults COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/iofaults.py --points 14)
set_tests_properties(faults/powercut_canary PROPERTIES WILL_FAIL TRUE)
set_tests_properties(faults/powercut faults/powercut_canary faults/iofaults PROPERTIES TIMEOUT 300 ENVIRONMENT "${disk_env}")
