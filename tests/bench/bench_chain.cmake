add_executable(fhirstub ${CMAKE_CURRENT_LIST_DIR}/fhirstub.c)
target_link_libraries(fhirstub PRIVATE hdw_flags)
add_executable(curlloop ${CMAKE_CURRENT_LIST_DIR}/curlloop.c)
target_link_libraries(curlloop PRIVATE curl hdw_flags)
