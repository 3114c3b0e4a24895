"""Generated Japanese text, without a network: names and formats of CLDR, and numbers in words.

Babel provides the names and formats, and num2words the numbers.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, time, timedelta
from random import Random

N_LINES = 16
"""The number of lines of a record."""


def generate_japanese() -> Iterator[str]:
    """Yield records without end; lines list names, dates, amounts, durations, numbers in words."""
    writers = _japanese_writers()
    for index in range(10**9):
        draw = Random(f"japanese {index}")  # a text gives the same seed on every machine
        yield "\n".join(draw.choice(writers)(draw) for _ in range(N_LINES))


def _japanese_writers() -> list[Callable[[Random], str]]:
    """Return functions from a random generator to a line; time zones are only names in it."""
    from babel import Locale, dates, lists, numbers, units
    from num2words import num2words

    ja = Locale.parse("ja")
    zones = [z["long"] for _, z in sorted(ja.meta_zones.items()) if "long" in z]
    zone_names = sorted({str(name) for zone in zones for name in zone.values()})
    cities = sorted({str(z["city"]) for z in ja.time_zones.values() if "city" in z})
    groups = (ja.territories, ja.languages, ja.scripts, ja.currencies, ja.unit_display_names)
    names = [_names(group.values()) for group in groups]
    names += [cities, zone_names]
    currencies = sorted(ja.currencies)
    # Where CLDR has no Japanese name, Babel writes the identifier instead.
    measures = [
        name
        for name in sorted(ja.unit_display_names)
        if name not in str(units.format_unit(1, name, locale=ja))
    ]

    def number(draw: Random) -> int:
        return draw.randrange(10 ** draw.randint(1, 9))

    def day(draw: Random) -> date:
        return date(1900, 1, 1) + timedelta(days=draw.randrange(60_000))

    def listed(draw: Random) -> str:
        return lists.format_list(draw.sample(draw.choice(names), draw.randint(3, 7)), locale=ja)

    def moment(draw: Random) -> str:
        clock = time(draw.randrange(24), draw.randrange(60), draw.randrange(60))
        stamp = dates.format_time(clock, "H時mm分ss秒", locale=ja)
        return (
            f"{dates.format_date(day(draw), 'full', locale=ja)} {stamp} {draw.choice(zone_names)}"
        )

    def amount(draw: Random) -> str:
        price = numbers.format_currency(
            number(draw), draw.choice(currencies), locale=ja, format_type="name"
        )
        return (
            f"{price} {units.format_unit(number(draw) % 10**4, draw.choice(measures), locale=ja)}"
        )

    def compact(draw: Random) -> str:
        short = numbers.format_compact_decimal(number(draw), locale=ja, fraction_digits=1)
        delta = timedelta(seconds=draw.choice((-1, 1)) * number(draw))
        when = dates.format_timedelta(delta, add_direction=True, threshold=1.1, locale=ja)
        return f"{short} {when} {dates.format_skeleton('yMMMEd', day(draw), locale=ja)}"

    def words(draw: Random) -> str:
        return str(num2words(draw.randrange(10 ** draw.randint(2, 16)), lang="ja"))

    def era(draw: Random) -> str:
        return f"{num2words(draw.randint(1900, 2060), lang='ja', to='year')} {draw.choice(cities)}"

    return [listed, listed, moment, amount, compact, words, era]


def _names(values: Iterable[object]) -> list[str]:
    """Return distinct names in a fixed order; of a unit's names, the long one."""
    texts = (value.get("long", "") if isinstance(value, Mapping) else value for value in values)
    return sorted({str(text) for text in texts if text})
