#include "workers.hpp"

#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace pyollama {

namespace {

// What the threads of one run share.
class Run {
  public:
    Run(size_t count, const Workers::Task & task) : count_(count), task_(task) {}

    // Makes calls until there are none left to make.
    void take_part(size_t worker) {
        std::unique_lock<std::mutex> lock(mutex_);
        while (next_ < count_) {
            const size_t index = next_++;
            lock.unlock();
            std::exception_ptr failure;
            try {
                task_(index, worker);
            } catch (...) {
                failure = std::current_exception();
            }
            lock.lock();
            if (failure != nullptr && (failure_ == nullptr || index < failed_index_)) {
                failure_ = failure;
                failed_index_ = index;
            }
        }
    }

    // After all have taken part.
    void rethrow() {
        if (failure_ != nullptr) {
            std::rethrow_exception(std::exchange(failure_, nullptr));
        }
    }

  private:
    const size_t count_;
    const Workers::Task & task_;
    std::mutex mutex_;
    size_t next_ = 0;
    std::exception_ptr failure_;
    size_t failed_index_ = 0;
};

} // namespace

#ifdef _OPENMP

class Workers::Pool {
  public:
    void run(Run & run, size_t threads) {
        const int size = static_cast<int>(threads);
#pragma omp parallel for num_threads(size) schedule(static, 1)
        for (int worker = 0; worker < size; ++worker) {
            run.take_part(static_cast<size_t>(worker));
        }
    }
};

#else

class Workers::Pool {
  public:
    ~Pool() {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            closing_ = true;
        }
        begin_.notify_all();
        for (std::thread & thread : threads_) {
            thread.join();
        }
    }

    void run(Run & run, size_t threads) {
        while (threads_.size() + 1 < threads) {
            threads_.emplace_back(&Pool::work, this, threads_.size() + 1);
        }
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            run_ = &run;
            ++number_;
            allowed_ = threads;
        }
        begin_.notify_all();
        run.take_part(0);
        std::unique_lock<std::mutex> lock(mutex_);
        allowed_ = 0; // who has not begun by now is not waited for
        end_.wait(lock, [this] { return running_ == 0; });
    }

  private:
    void work(size_t worker) {
        size_t seen = 0;
        std::unique_lock<std::mutex> lock(mutex_);
        while (true) {
            begin_.wait(lock, [&] { return closing_ || (number_ != seen && worker < allowed_); });
            if (closing_) {
                return;
            }
            seen = number_;
            ++running_;
            Run & run = *run_;
            lock.unlock();
            run.take_part(worker);
            lock.lock();
            if (--running_ == 0) {
                end_.notify_all();
            }
        }
    }

    std::vector<std::thread> threads_;
    std::mutex mutex_;
    std::condition_variable begin_;
    std::condition_variable end_;
    // what follows is guarded by mutex_
    Run * run_ = nullptr;
    size_t number_ = 0;  // of the run
    size_t allowed_ = 0; // threads that may take part
    size_t running_ = 0; // that do, without the caller's
    bool closing_ = false;
};

#endif

Workers::Workers() : pool_(std::make_unique<Pool>()) {}

Workers::~Workers() = default;

void Workers::run(size_t count, size_t threads, const Task & task) {
    Run run(count, task);
    if (threads > 1 && count > 1) {
        pool_->run(run, threads);
    } else {
        run.take_part(0);
    }
    run.rethrow();
}

} // namespace pyollama
