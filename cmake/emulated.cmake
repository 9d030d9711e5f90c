# CUDA C++ for the host compiler: kernels that run in cuda/emulator.
set(PADLESS_EMULATED_WARNINGS -Wall -Wextra -Wno-unknown-pragmas -Wno-psabi)

# padless_emulated_code(<target> <option>...): the target's .cu files are C++; register arrays start as a pattern.
function(padless_emulated_code target)
  get_target_property(files ${target} SOURCES)
  foreach(file IN LISTS files)
    if(file MATCHES "\\.cu$")
      set_source_files_properties("${file}" PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-xc++")
    endif()
  endforeach()
  target_compile_options(${target} PRIVATE ${PADLESS_EMULATED_WARNINGS} ${ARGN} -ftrivial-auto-var-init=pattern
                         -fno-strict-aliasing)
endfunction()
