"""Questions beyond the model, so that it learns to say so instead of inventing something."""

from __future__ import annotations

import random
import string

from training.grammar import Exchange, expand

_REPLY = (
    "I am sorry, I do not know that. I am a very small model.",
    "I am sorry, I do not know.",
)
_NOW = "I do not know that, because I can not look outside of this conversation."
_CANNOT = "I am sorry, I can not do that. I am a very small model."
_FIELDS = {
    "adjective": "ancient modern famous secret electric digital royal national hidden broken "
    "economic chemical quantum nuclear purple foreign ordinary strange golden wooden".split(),
    "noun": "engine treaty protein theorem algorithm orchestra parliament reactor senator "
    "galaxy molecule company championship volcano contract novel festival satellite "
    "processor kernel market currency battle temple sculpture bacteria virus equation "
    "camera helicopter submarine philosophy democracy inflation economy law court "
    "sonnet opera ballet marathon museum airport tunnel statue vaccine".split(),
    "verb": "repair build explain compare install calculate design invent measure translate "
    "summarize analyze improve replace configure review debug optimize".split(),
    "person": "Napoleon,Cleopatra,Mozart,Beethoven,Marie Curie,Julius Caesar,Gandhi,Picasso,"
    "Charles Darwin,Aristotle,Galileo,Columbus,Van Gogh,the president,the prime minister,"
    "my uncle,your neighbor,the inventor,John Smith,Peter Miller,Mary Jones".split(","),
    "place": "Paris,Tokyo,Berlin,my town,Atlantis,Texas,Bavaria,Siberia,California,Rome,"
    "London,Australia,the village,Springfield,Hamburg,Chicago".split(","),
    "language": "Python JavaScript Rust Java Haskell SQL C++ Go Bash".split(),
    "tongue": "German French Spanish Latin Chinese Greek Russian Italian".split(),
    "sport": "world cup,Olympic games,tennis final,football match,race,chess tournament,"
    "election,song contest".split(","),
}
_ASK = [
    "(Who|When did someone) (invented|discovered|founded|destroyed) the {adjective} {noun}?",
    "(What is|Explain|Describe|Define) the {adjective} {noun}(|?)",
    "(What is|Explain|Define) (a|the) {noun}(|?)",
    "(How do I|How can I|How does one) {verb} (a|the|an old|my) {noun}?",
    "(Why|How) does the {noun} (work|fail|grow|matter|change)?",
    "(Who won|When was|Where was) the {sport} (in|of) {year}?",
    "What happened in {year}?",
    "(When|Where) was {person} born?",
    "(When|Where|How) did {person} (die|live|work|travel)?",
    "(Who is|Who was|Tell me about|What do you know about) {person}(|?)",
    "(What is the population of|How many people live in|How high is|How old is) {place}?",
    "How far is it from {place} to {place}?",
    "What did {person} say about the {noun}?",
    "(Tell me|What do you know) about the {adjective} {noun}(| of {place})(|.)",
    "Is the {noun} (better|older|larger|cheaper) than the {noun}?",
    "(What|Which) is the best {noun}( in {place}| for me|)?",
    "How much does (a|the) {noun} (cost|weigh)?",
    "What is the capital of {madeup}?",
    "(What is|Define|Explain|What does it mean to) (a |){madeup}(|?)",
    "What (sound|color) (does|is) a {madeup}( make|)?",
    "(What is|What's) the (phone number|address|email) of {person}?",
    "Who is the (king|president|mayor|boss) of {place}?",
    "{babble}",
]
_ASK_NOW = [
    "(What time is it|What is the time|How late is it)( now| please|)?",
    "(What day is it|What is the date|What day is today|What is today's date)( today|)?",
    "(How is|What is) the weather( today| in {place}| like|)?",
    "Will it rain (today|tomorrow)?",
    "(What is|Tell me|What's in) the (latest |)news( today|)?",
    "What year is it( now|)?",
    "(Where am I|What am I doing|What do I look like|What am I thinking)?",
    "How much is a (share|ticket|dollar) (today|now)?",
]
_ASK_CANNOT = [
    "(Write|Give me|Show me) (a|some) {language} (program|code|script)( that sorts {noun}s|)(|.)",
    '(Translate|Please translate) (this|"the {noun}"|hello|good morning) (in|)to {tongue}(|.)',
    '(What is|How do you say) "{noun}" in {tongue}?',
    "(Summarize|Review|Analyze|Correct|Improve) (this|my|the) (text|report|essay|code|{noun})(|.)",
    "(Draw|Paint|Send|Print) (me |)(a picture|an image|an email|a letter)( of a {noun}|)(|.)",
    "(Search|Look up|Open|Browse|Download) (the web|the internet|a website|the {noun})(|.)",
    "(Book|Order|Buy) (me |)(a flight|a pizza|a ticket|a table)( to {place}|)(|.)",
    "(Call|Text|Email) {person}(|.)",
    "(Write|Compose) (an essay|a letter|a song|a novel|a report) about (the |){noun}(|.)",
]


def _madeup(rng: random.Random) -> str:
    syllables = "bl fr gl kr pl st tr v z m n d sk w".split()
    word = "".join(
        rng.choice(syllables) + rng.choice("aeiou") + rng.choice(["", "r", "n", "b", "x", "lk"])
        for _ in range(rng.randint(1, 3))
    )
    return word if rng.random() < 0.5 else word.capitalize()


def _babble(rng: random.Random) -> str:
    def word() -> str:
        if rng.random() < 0.8:
            return "".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 8)))
        return rng.choice([str(rng.randrange(10000)), "?!", "...", "{}", "x=1", "#", "é", "中文",
                           "привет", "🙂", "<b>"])  # fmt: skip

    return " ".join(word() for _ in range(rng.randint(1, 8)))


def draw(rng: random.Random) -> Exchange:
    """A question and a polite "I do not know"."""
    row = {slot: rng.choice(words) for slot, words in _FIELDS.items()}
    row |= {"year": str(rng.randint(1200, 2030)), "madeup": _madeup(rng)}
    row["babble"] = _babble(rng)
    kind = rng.random()
    if kind < 0.15:
        return Exchange(expand(rng.choice(_ASK_NOW), row, rng), _NOW, "I do not know.")
    if kind < 0.35:
        return Exchange(expand(rng.choice(_ASK_CANNOT), row, rng), _CANNOT, "I can not do that.")
    return Exchange(expand(rng.choice(_ASK), row, rng), rng.choice(_REPLY), "I do not know.")
