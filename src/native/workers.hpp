// A few threads for work that is the same for several sequences.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace pyollama {

// The threads are those that ggml computes with, where it uses OpenMP: they wait for work in a loop
// for a while after a computation, and other threads would have to share the cores with them.
// Otherwise they are threads of our own, which sleep between runs.
class Workers {
  public:
    using Task = std::function<void(size_t index, size_t worker)>;

    Workers();
    ~Workers();
    Workers(const Workers &) = delete;
    Workers & operator=(const Workers &) = delete;

    // Calls `task` with every index below `count`, on `threads` threads including this one, and
    // with the number of the thread that calls, which is below `threads`. Returns when all calls
    // were made; rethrows the exception of the smallest index that had one.
    void run(size_t count, size_t threads, const Task & task);

  private:
    class Pool;
    std::unique_ptr<Pool> pool_;
};

} // namespace pyollama
