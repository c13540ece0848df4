# hdw_layer(NAME DEPENDS a b): a static library of every .c in the current folder and its sub-folders (but lib/),
# with include paths to itself and to the layers it may know. An include of anything else does not compile.
function(hdw_layer name)
  cmake_parse_arguments(L "" "" "DEPENDS;EXCLUDE" ${ARGN})
  file(GLOB_RECURSE src CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
  foreach(x ${L_EXCLUDE})
    list(FILTER src EXCLUDE REGEX "/${x}$")
  endforeach()
  add_library(${name} STATIC ${src})
  target_include_directories(${name} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR} ${CMAKE_CURRENT_BINARY_DIR})
  target_link_libraries(${name} PUBLIC ${L_DEPENDS} PRIVATE hdw_flags)
endfunction()
