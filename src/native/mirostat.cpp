#include "mirostat.hpp"

#include <algorithm>
#include <cmath>

namespace pyollama {

namespace {

constexpr size_t estimate_from = 100; // tokens, as the paper has it

} // namespace

Mirostat::Mirostat(int32_t version, float tau, float eta, float temperature, int32_t n_vocab)
    : version_(version), tau_(tau), eta_(eta), temperature_(temperature),
      n_vocab_(static_cast<float>(n_vocab)), mu_(2.0f * tau) {}

int32_t Mirostat::draw(Row & row, std::vector<Candidate> & candidates, std::mt19937 & random) {
    if (version_ == 1) {
        row.best(keep_estimated(row, candidates), candidates);
    } else {
        keep_unsurprising(row, candidates);
    }
    std::vector<float> weights;
    float sum = 0.0f;
    for (const Candidate & candidate : candidates) {
        weights.push_back(std::exp((candidate.logit - row.highest()) / temperature_));
        sum += weights.back();
    }
    std::discrete_distribution<int> distribution(weights.begin(), weights.end());
    const auto chosen = static_cast<size_t>(distribution(random));
    mu_ -= eta_ * (-std::log2(weights[chosen] / sum) - tau_);
    return candidates[chosen].id;
}

// How many to keep, if the likeliest ones are a sign of how fast all fall off (Zipf's law).
size_t Mirostat::keep_estimated(Row & row, std::vector<Candidate> & candidates) const {
    row.best(estimate_from, candidates);
    float products = 0.0f;
    float squares = 0.0f;
    for (size_t i = 0; i + 1 < candidates.size(); ++i) {
        const float step = std::log(static_cast<float>(i + 2) / static_cast<float>(i + 1));
        const float fall = (candidates[i].logit - candidates[i + 1].logit) / temperature_;
        products += step * fall;
        squares += step * step;
    }
    const float exponent = products / squares;
    const float excess = exponent - 1.0f;
    const float count = std::pow(
        (excess * std::pow(2.0f, mu_)) / (1.0f - std::pow(n_vocab_, -excess)), 1.0f / exponent);
    return count > 1.0f ? static_cast<size_t>(std::min(count, n_vocab_)) : 1;
}

void Mirostat::keep_unsurprising(Row & row, std::vector<Candidate> & candidates) const {
    const double all = row.total(1.0f / temperature_, -std::numeric_limits<float>::infinity());
    const double depth = static_cast<double>(temperature_) *
                         (static_cast<double>(mu_) * std::log(2.0) - std::log(all));
    row.at_least(row.highest() - static_cast<float>(depth), candidates);
    std::sort(candidates.begin(), candidates.end(), better);
    if (candidates.empty()) {
        row.best(1, candidates);
    }
}

} // namespace pyollama
