# Any GPU with a Vulkan driver. Needs the Vulkan headers and glslc.
include(${CMAKE_CURRENT_LIST_DIR}/cpu.cmake)
set(PYOLLAMA_VULKAN ON CACHE BOOL "")
