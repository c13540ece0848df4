# Branch coverage of the verifier and the loader of modules: both compiled once more, with counters and without the checks that would add branches, under their tests. 100 % or it fails.
foreach(t verify verify_edges escape)
  add_executable(cover_${t} ${CMAKE_CURRENT_LIST_DIR}/../unit/test_${t}.c ${PROJECT_SOURCE_DIR}/vm/verify.c ${PROJECT_SOURCE_DIR}/vm/module.c)
  target_link_libraries(cover_${t} PRIVATE hdw_test_support hdw_flags gcov)
  target_link_options(cover_${t} PRIVATE --coverage)
endforeach()
set_source_files_properties(${PROJECT_SOURCE_DIR}/vm/verify.c ${PROJECT_SOURCE_DIR}/vm/module.c PROPERTIES COMPILE_OPTIONS "-O0;--coverage;-fno-sanitize=undefined;-U_FORTIFY_SOURCE")
add_test(NAME coverage/verifier COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/cover.py --build ${CMAKE_CURRENT_BINARY_DIR} --sources vm/verify.c vm/module.c --programs cover_verify cover_verify_edges cover_escape
  WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
set_tests_properties(coverage/verifier PROPERTIES TIMEOUT 300)
add_test(NAME escape/programs COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/run.py WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
set_tests_properties(escape/programs PROPERTIES TIMEOUT 300 ENVIRONMENT "HDWC=$<TARGET_FILE:hdwc>")
