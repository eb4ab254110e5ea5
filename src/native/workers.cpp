#include "workers.hpp"

#include <algorithm>
#include <utility>

namespace pyollama {

Workers::~Workers() {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        closing_ = true;
    }
    begin_.notify_all();
    for (std::thread & thread : threads_) {
        thread.join();
    }
}

void Workers::run(size_t count, size_t threads, const Task & task) {
    threads = std::min(count, threads);
    while (threads_.size() + 1 < threads) {
        threads_.emplace_back(&Workers::work, this, threads_.size() + 1);
    }
    std::unique_lock<std::mutex> lock(mutex_);
    task_ = &task;
    count_ = count;
    next_ = 0;
    unfinished_ = count;
    allowed_ = threads;
    failure_ = nullptr;
    if (threads > 1) {
        begin_.notify_all();
    }
    take_part(lock, 0);
    end_.wait(lock, [this] { return unfinished_ == 0; });
    task_ = nullptr;
    if (failure_ != nullptr) {
        std::rethrow_exception(std::exchange(failure_, nullptr));
    }
}

void Workers::work(size_t worker) {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
        begin_.wait(lock, [this, worker] {
            return closing_ || (task_ != nullptr && worker < allowed_ && next_ < count_);
        });
        if (closing_) {
            return;
        }
        take_part(lock, worker);
    }
}

void Workers::take_part(std::unique_lock<std::mutex> & lock, size_t worker) {
    while (next_ < count_) {
        const size_t index = next_++;
        const Task & task = *task_;
        std::exception_ptr failure;
        lock.unlock();
        try {
            task(index, worker);
        } catch (...) {
            failure = std::current_exception();
        }
        lock.lock();
        if (failure != nullptr && (failure_ == nullptr || index < failed_index_)) {
            failure_ = failure;
            failed_index_ = index;
        }
        if (--unfinished_ == 0) {
            end_.notify_all();
        }
    }
}

} // namespace pyollama
