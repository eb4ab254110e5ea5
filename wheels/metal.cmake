# Apple silicon. The shaders are part of the library, so the wheel needs no Xcode where it runs.
include(${CMAKE_CURRENT_LIST_DIR}/cpu.cmake)
set(PYOLLAMA_METAL ON CACHE BOOL "")
set(GGML_METAL_EMBED_LIBRARY ON CACHE BOOL "")
