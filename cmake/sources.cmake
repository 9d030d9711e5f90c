# sources.json is the one list of source files; binding.gyp reads the same.
file(READ ${CMAKE_CURRENT_SOURCE_DIR}/sources.json PADLESS_SOURCES_JSON)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/sources.json)

# padless_sources(<out> <key>...): the strings of the array at that path.
function(padless_sources out)
  string(JSON count LENGTH "${PADLESS_SOURCES_JSON}" ${ARGN})
  set(items)
  if(count GREATER 0)
    math(EXPR last "${count} - 1")
    foreach(index RANGE ${last})
      string(JSON item GET "${PADLESS_SOURCES_JSON}" ${ARGN} ${index})
      list(APPEND items ${item})
    endforeach()
  endif()
  set(${out} ${items} PARENT_SCOPE)
endfunction()

# padless_isa_names(<out>): the keys of "isa".
function(padless_isa_names out)
  string(JSON count LENGTH "${PADLESS_SOURCES_JSON}" isa)
  math(EXPR last "${count} - 1")
  set(names)
  foreach(index RANGE ${last})
    string(JSON name MEMBER "${PADLESS_SOURCES_JSON}" isa ${index})
    list(APPEND names ${name})
  endforeach()
  set(${out} ${names} PARENT_SCOPE)
endfunction()
