#include "device.hpp"

#include "attention/attention.hpp"
#include "error.hpp"
#include "log.hpp"

#include "ggml-backend.h"
#include "llama.h"

#include <mutex>

namespace pyollama {

namespace {

const char * kind_of(ggml_backend_dev_t device) {
    switch (ggml_backend_dev_type(device)) {
    case GGML_BACKEND_DEVICE_TYPE_CPU:
        return "cpu";
    case GGML_BACKEND_DEVICE_TYPE_GPU:
        return "gpu";
    case GGML_BACKEND_DEVICE_TYPE_IGPU:
        return "igpu";
    default:
        return "accel";
    }
}

} // namespace

void start_backends(const std::string & folder) {
    static std::once_flag once;
    std::call_once(once, [&folder] {
        install_log();
        install_assertion_handler();
#ifdef PYOLLAMA_BACKEND_DL
        ggml_backend_load_all_from_path(folder.c_str());
#else
        (void) folder;
        install_attention();
#endif
        llama_backend_init();
    });
}

std::vector<Device> devices() {
    std::vector<Device> out;
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        ggml_backend_dev_t device = ggml_backend_dev_get(i);
        size_t free = 0;
        size_t total = 0;
        ggml_backend_dev_memory(device, &free, &total);
        out.push_back({ggml_backend_dev_name(device), ggml_backend_dev_description(device),
                       kind_of(device), free, total});
    }
    return out;
}

std::string system_info() {
    return llama_print_system_info();
}

std::string llama_version() {
    const std::string version = ::llama_version();
#ifdef PYOLLAMA_LLAMA_COMMIT
    return version + " (" PYOLLAMA_LLAMA_COMMIT ")";
#else
    return version;
#endif
}

bool supports_gpu_offload() {
    return llama_supports_gpu_offload();
}

bool supports_mmap() {
    return llama_supports_mmap();
}

bool supports_mlock() {
    return llama_supports_mlock();
}

int max_devices() {
    return static_cast<int>(llama_max_devices());
}

int max_sequences() {
    return static_cast<int>(llama_max_parallel_sequences());
}

} // namespace pyollama
