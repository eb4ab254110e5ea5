# What has to be put right in the pinned tree, without touching it. Included by every build of it,
# ours and that of the programs we measure against; it takes effect at the end of the configuration.

# GCC's intrinsic that loads an AMX tile configuration names only its first bytes as what it reads,
# so the optimiser drops the stores that fill the rest, and the first tile instruction is illegal: on
# a processor with AMX every quantised model would end the process.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(ggml_sources ${CMAKE_CURRENT_LIST_DIR}/tree/ggml/src)
  cmake_language(EVAL CODE "
    cmake_language(DEFER CALL set_source_files_properties
      [[${ggml_sources}/ggml-cpu/amx/mmq.cpp]] DIRECTORY [[${ggml_sources}]]
      PROPERTIES COMPILE_OPTIONS [[-fno-tree-dse;-fno-dse]])")
endif()
