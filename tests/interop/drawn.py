"""What the worlds of random_calls.py draw with: chances, calls at a random version, and what they take from earlier answers."""
import uuid

from wire import SCHEMAS

# Kafka 4.3.1 and ours list less of these than the schemas have.
NEWEST = {"InitProducerId": 5}


class Chance(Exception):
    """From here on the two differ by chance, and rightly so."""


class Learned:
    """What an earlier answer gave, put in when it is asked: the newest, or an older one; `otherwise` if there was none."""

    def __init__(self, *key, age=0, otherwise="", plus=0):
        self.key, self.age, self.otherwise, self.plus = key, age, otherwise, plus

    def __call__(self, kept):
        history = kept.get(self.key, [])
        found = history[self.age] if len(history) > self.age else self.otherwise
        return found + self.plus if isinstance(found, int) else found

    def __repr__(self):
        more = f"{self.plus:+}" if self.plus else ""
        return f"<{' '.join(map(str, self.key))}{f' {self.age} before' if self.age else ''}{more}>"


class Named:
    """A name that no other run has."""

    def __init__(self, name):
        self.name = name

    def __call__(self, kept):
        return kept["run"] + self.name

    def __repr__(self):
        return self.name


class Made:
    """A value that is made of others when it is asked."""

    def __init__(self, make, **parts):
        self.make, self.parts = make, parts

    def __call__(self, kept):
        return self.make(**{name: part(kept) if callable(part) else part for name, part in self.parts.items()})

    def __repr__(self):
        return f"{self.make.__name__}({', '.join(f'{name}={part!r}' for name, part in self.parts.items())})"


def learned(side, value, *key, name=None):
    """Notes the newest value under its key, and by which name both sides call it."""
    history = side.kept.setdefault(key, [])
    if not history or history[0] != value:
        history.insert(0, value)
        if name:
            side.learned.setdefault(("ProducerId", value) if isinstance(value, int) else value, f"<{name} {len(history)}>")


def names_of(answer, names):
    """The answer with names in place of what was drawn."""
    if isinstance(answer, dict):
        return {key: names.get((key, inner), inner) if key == "ProducerId" else names_of(inner, names) for key, inner in answer.items()}
    if isinstance(answer, list):
        return [names_of(inner, names) for inner in answer]
    return names.get(answer, answer) if isinstance(answer, (str, uuid.UUID)) else answer


def chosen(random, *chances):
    """One of (weight, value)."""
    return random.choices([value for _, value in chances], [weight for weight, _ in chances])[0]


def call(random, api, body, low=0, high=99, **more):
    """A call at a version drawn from those that both list and that lie within these."""
    first, _, last = SCHEMAS[api + "Request"]["validVersions"].partition("-")
    last = min(int(last or first), NEWEST.get(api, 99), high)
    return {"api": api, "body": body, "version": random.randint(max(int(first), low), last), **more}
