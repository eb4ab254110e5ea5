// pyollama's own attention for ggml's processor backend.
#pragma once

namespace pyollama {

// From now on, ggml computes GGML_OP_FLASH_ATTN_EXT on the processor with it, unless the values of
// a head do not fill vectors. To be called once, before the first model is loaded.
void install_attention();

} // namespace pyollama
