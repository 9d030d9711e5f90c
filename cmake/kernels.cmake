# padless_kernels(<target>): adds the kernels of sources.json, compiled by nvcc, to the target.
#
# Those of cuda/**/sm90/ use instructions that only sm_90a has. They are compiled for it in every CUDA build, whatever
# CMAKE_CUDA_ARCHITECTURES is, so that their launch functions always exist and DeviceProperties::runs_sm90a() is all
# that the host has to ask.
function(padless_kernels target)
  padless_sources(kernels cuda sources)
  list(TRANSFORM kernels PREPEND "${PADLESS_ROOT}/")
  target_sources(${target} PRIVATE ${kernels})
  padless_sources(sm90_kernels cuda sm90)
  list(TRANSFORM sm90_kernels PREPEND "${PADLESS_ROOT}/")
  if(sm90_kernels)
    add_library(${target}_sm90 OBJECT ${sm90_kernels})
    set_target_properties(${target}_sm90 PROPERTIES CUDA_ARCHITECTURES 90a-real POSITION_INDEPENDENT_CODE ON)
    target_include_directories(${target}_sm90 PRIVATE "${PADLESS_ROOT}")
    target_compile_options(${target}_sm90 PRIVATE $<TARGET_PROPERTY:${target},COMPILE_OPTIONS>)
    target_compile_definitions(${target}_sm90 PRIVATE PADLESS_CUDA_RUNTIME=1)
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:${target}_sm90>)
  endif()
endfunction()
