# What the device tests are linked with.

# The emulator. Under ThreadSanitizer it is not instrumented, and a shared library bound to its own copies of inline
# functions: the kernels' instrumented copies would report the scheduler's data.
file(GLOB emulator_sources CONFIGURE_DEPENDS "${ROOT}/cuda/emulator/*.cc" "${ROOT}/cuda/emulator/runtime/*.cc")
if(PADLESS_SANITIZER STREQUAL "thread")
  add_library(device_emulator SHARED ${emulator_sources})
  target_compile_definitions(device_emulator PRIVATE PADLESS_EMULATOR_TSAN=1)
  target_compile_options(device_emulator PRIVATE -O2 -fno-tree-loop-distribute-patterns)
  target_link_options(device_emulator PRIVATE -Wl,-Bsymbolic-functions)
else()
  add_library(device_emulator STATIC ${emulator_sources})
  target_compile_options(device_emulator PRIVATE ${sanitize})
endif()
target_compile_options(device_emulator PRIVATE ${debug_information} ${warnings})
target_include_directories(device_emulator PUBLIC "${ROOT}")

padless_sources(kernel_sources cuda sources)
padless_sources(sm90_sources cuda sm90)
list(APPEND kernel_sources ${sm90_sources})
list(TRANSFORM kernel_sources PREPEND "${ROOT}/")
add_library(padless_core STATIC "${ROOT}/lib/core/status.cc" "${ROOT}/lib/core/dtype.cc")
target_compile_options(padless_core PRIVATE ${sanitize})
target_include_directories(padless_core PUBLIC "${ROOT}")
add_library(padless_kernels STATIC ${kernel_sources})
compile_as_device_code(padless_kernels)
target_link_libraries(padless_kernels PUBLIC padless_core)

# The engine. Under ThreadSanitizer its own threads are instrumented, the emulator that they call is not.
file(GLOB engine_sources CONFIGURE_DEPENDS "${ROOT}/lib/engine/cuda/*.cc")
file(GLOB encoder_sources CONFIGURE_DEPENDS "${ROOT}/lib/encoder/*.cc")
list(APPEND engine_sources ${encoder_sources})
list(FILTER engine_sources EXCLUDE REGEX "/(absent|cache|file_weights|max_sim).cc$")
list(APPEND engine_sources "${ROOT}/lib/core/convert.cc" "${ROOT}/lib/core/guard.cc" "${ROOT}/lib/core/packed_batch.cc"
     "${ROOT}/lib/engine/engine.cc" "${ROOT}/lib/engine/row_program.cc" "${ROOT}/lib/engine/task_queue.cc"
     "${ROOT}/lib/engine/weights.cc" "${ROOT}/lib/io/mapped_file.cc")
add_library(padless_engine STATIC ${engine_sources})
target_compile_options(padless_engine PRIVATE ${debug_information} ${warnings} ${sanitize})
find_package(Threads REQUIRED)
target_link_libraries(padless_engine PUBLIC padless_kernels Threads::Threads)
