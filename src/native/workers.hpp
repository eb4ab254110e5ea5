// A few threads for work that is the same for several sequences.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace pyollama {

// The threads sleep between runs, so that they never take time from a computation.
class Workers {
  public:
    using Task = std::function<void(size_t index, size_t worker)>;

    Workers() = default;
    ~Workers();
    Workers(const Workers &) = delete;
    Workers & operator=(const Workers &) = delete;

    // Calls `task` with every index below `count`, on this thread and up to `threads - 1` more, and
    // with the number of the thread that calls, which is below `threads`. Returns when all calls
    // were made; rethrows the exception of the smallest index that had one.
    void run(size_t count, size_t threads, const Task & task);

  private:
    void work(size_t worker);
    void take_part(std::unique_lock<std::mutex> & lock, size_t worker);

    std::vector<std::thread> threads_;
    std::mutex mutex_;
    std::condition_variable begin_;
    std::condition_variable end_;
    // what follows is guarded by mutex_
    const Task * task_ = nullptr; // null: nothing to do
    size_t count_ = 0;
    size_t next_ = 0;
    size_t unfinished_ = 0;
    size_t allowed_ = 0; // threads that may take part
    std::exception_ptr failure_;
    size_t failed_index_ = 0;
    bool closing_ = false;
};

} // namespace pyollama
