# NVIDIA. Needs the CUDA toolkit; CMAKE_CUDA_ARCHITECTURES narrows what is compiled.
include(${CMAKE_CURRENT_LIST_DIR}/cpu.cmake)
set(PYOLLAMA_CUDA ON CACHE BOOL "")
