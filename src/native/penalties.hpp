// Repetition penalties over the last tokens, applied to the few logits they concern.
#pragma once

#include <cstdint>
#include <deque>
#include <unordered_map>
#include <utility>
#include <vector>

namespace pyollama {

class Penalties {
  public:
    Penalties(int32_t last_n, float repeat, float frequency, float presence)
        : last_n_(last_n), repeat_(repeat), frequency_(frequency), presence_(presence) {}

    bool active() const {
        return last_n_ > 0 && (repeat_ != 1.0f || frequency_ != 0.0f || presence_ != 0.0f);
    }

    void accept(int32_t token) {
        if (!active()) {
            return;
        }
        if (window_.size() == static_cast<size_t>(last_n_)) {
            const auto oldest = counts_.find(window_.front());
            if (--oldest->second == 0) {
                counts_.erase(oldest);
            }
            window_.pop_front();
        }
        window_.push_back(token);
        ++counts_[token];
    }

    // Adds what was changed to `undo`: token and old value.
    void apply(float * logits, std::vector<std::pair<int32_t, float>> & undo) const {
        for (const auto & [token, count] : counts_) {
            float & logit = logits[token];
            undo.emplace_back(token, logit);
            // a division would make a negative logit likelier
            logit = logit <= 0.0f ? logit * repeat_ : logit / repeat_;
            logit -= static_cast<float>(count) * frequency_ + presence_;
        }
    }

    void reset() {
        window_.clear();
        counts_.clear();
    }

  private:
    int32_t last_n_;
    float repeat_;
    float frequency_;
    float presence_;
    std::deque<int32_t> window_;
    std::unordered_map<int32_t, int32_t> counts_;
};

} // namespace pyollama
