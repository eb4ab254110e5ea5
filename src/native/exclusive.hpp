// A guard for objects that one thread at a time may use.
#pragma once

#include "error.hpp"

#include <atomic>

namespace pyollama {

// Turns a data race into an error: the second thread that enters is told so, and nothing happens.
class Exclusive {
  public:
    Exclusive(std::atomic<bool> & busy, const char * what) : busy_(busy) {
        if (busy_.exchange(true, std::memory_order_acquire)) {
            throw Error(Code::native_error,
                        std::string(what) + " is in use by another thread; use one at a time");
        }
    }
    ~Exclusive() { busy_.store(false, std::memory_order_release); }
    Exclusive(const Exclusive &) = delete;
    Exclusive & operator=(const Exclusive &) = delete;

  private:
    std::atomic<bool> & busy_;
};

} // namespace pyollama
