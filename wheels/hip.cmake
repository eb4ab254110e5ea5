# AMD. Needs ROCm; CMAKE_HIP_ARCHITECTURES narrows what is compiled.
include(${CMAKE_CURRENT_LIST_DIR}/cpu.cmake)
set(PYOLLAMA_HIP ON CACHE BOOL "")
