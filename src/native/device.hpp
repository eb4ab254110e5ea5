// Start-up of ggml's backends, and the devices they bring.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace pyollama {

struct Device {
    std::string name;
    std::string description;
    std::string kind; // cpu, gpu, igpu, accel
    uint64_t memory_free;
    uint64_t memory_total;
};

// Starts llama.cpp once per process; later calls do nothing. `folder` holds the loadable backends
// of a build that has them.
void start_backends(const std::string & folder);

std::vector<Device> devices();

std::string system_info();
std::string llama_version();
bool supports_gpu_offload();
bool supports_mmap();
bool supports_mlock();
int max_devices();
int max_sequences();

} // namespace pyollama
