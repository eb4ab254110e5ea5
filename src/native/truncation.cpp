#include "truncation.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace pyollama {

namespace {

double weight(float logit, float highest, float scale) {
    return std::exp(static_cast<double>((logit - highest) * scale));
}

// Puts the fewest of the first items whose weights reach `target` in front, without sorting all of
// them, and returns how many these are. `first` is their order.
template <typename Item, typename First, typename Weight>
size_t cut_at(std::vector<Item> & items, double target, First first, Weight weigh) {
    size_t begin = 0;
    size_t end = items.size();
    double before = 0.0;
    const auto at = [&items](size_t i) { return items.begin() + static_cast<std::ptrdiff_t>(i); };
    while (end - begin > 1) {
        const size_t middle = begin + (end - begin) / 2;
        std::nth_element(at(begin), at(middle), at(end), first);
        double half = 0.0;
        for (size_t i = begin; i < middle; ++i) {
            half += weigh(items[i]);
        }
        if (before + half >= target) {
            end = middle;
        } else {
            before += half;
            begin = middle;
        }
    }
    return std::min(begin + 1, items.size());
}

} // namespace

float Candidates::highest() const {
    if (list.empty()) {
        no_token_left();
    }
    return sorted ? list.front().logit : std::min_element(list.begin(), list.end(), better)->logit;
}

void Candidates::sort() {
    if (!sorted) {
        std::sort(list.begin(), list.end(), better);
        sorted = true;
    }
}

double Candidates::total(float scale) const {
    const float top = highest();
    double sum = 0.0;
    for (const Candidate & candidate : list) {
        sum += weight(candidate.logit, top, scale);
    }
    return sum;
}

void Candidates::keep_top_p(double p, size_t min_keep, double total) {
    const float top = highest();
    const auto weigh = [top](const Candidate & one) { return weight(one.logit, top, 1.0f); };
    const double target = p * total;
    if (!sorted) {
        const size_t count = std::max(cut_at(list, target, better, weigh), min_keep);
        if (count < list.size()) {
            const auto end = list.begin() + static_cast<std::ptrdiff_t>(count);
            std::nth_element(list.begin(), end, list.end(), better);
            list.erase(end, list.end());
        }
        sort();
        return;
    }
    double sum = 0.0;
    for (size_t i = 0; i < list.size(); ++i) {
        sum += weigh(list[i]);
        if (sum >= target && i + 1 >= min_keep) {
            list.resize(i + 1);
            return;
        }
    }
}

void Candidates::keep_min_p(float p, size_t min_keep) {
    const float floor = highest() + std::log(p);
    min_keep = std::max(min_keep, size_t{1});
    const auto too_low = [floor](const Candidate & one) { return one.logit < floor; };
    const auto kept =
        list.size() - static_cast<size_t>(std::count_if(list.begin(), list.end(), too_low));
    if (kept < min_keep) {
        sort();
        list.resize(std::min(list.size(), min_keep));
        return;
    }
    std::erase_if(list, too_low);
}

void Candidates::keep_typical(double p, size_t min_keep) {
    const float top = highest();
    const double sum = total(1.0f);
    const double log_sum = std::log(sum);
    double mean = 0.0; // of the surprise: the entropy
    for (const Candidate & one : list) {
        const double surprise = log_sum - static_cast<double>(one.logit - top);
        mean += weight(one.logit, top, 1.0f) / sum * surprise;
    }
    const auto distance = [=](const Candidate & one) {
        return std::fabs(log_sum - static_cast<double>(one.logit - top) - mean);
    };
    const auto nearer = [&](const Candidate & a, const Candidate & b) {
        const double to_a = distance(a);
        const double to_b = distance(b);
        return to_a < to_b || (to_a == to_b && a.id < b.id);
    };
    const auto weigh = [=](const Candidate & one) { return weight(one.logit, top, 1.0f); };
    // more than p, unlike the other steps
    const double target = std::nextafter(p * sum, std::numeric_limits<double>::max());
    const size_t count = std::min(std::max(cut_at(list, target, nearer, weigh), min_keep), size());
    const auto end = list.begin() + static_cast<std::ptrdiff_t>(count);
    std::partial_sort(list.begin(), end, list.end(), nearer);
    list.erase(end, list.end());
    sorted = false;
}

void Candidates::drop_top(double threshold, size_t min_keep) {
    sort();
    const float top = highest();
    const double sum = total(1.0f);
    size_t last = 0; // the least likely one above the threshold
    while (last + 1 < list.size() && weight(list[last + 1].logit, top, 1.0f) / sum >= threshold) {
        ++last;
    }
    if (list.size() - last >= min_keep) {
        list.erase(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(last));
    }
}

int32_t Candidates::pick(double fraction, float scale) const {
    const float top = highest();
    const double target = fraction * total(scale);
    double sum = 0.0;
    for (const Candidate & one : list) {
        sum += weight(one.logit, top, scale);
        if (sum >= target) {
            return one.id;
        }
    }
    return list.back().id;
}

} // namespace pyollama
