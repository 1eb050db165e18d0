"""A set of values with their contrastive pairs."""

from __future__ import annotations

import difflib
import hashlib
import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from vispa.errors import InputError, TaxonomyError, check_choice
from vispa.once import once_property
from vispa.taxonomy.pairs import PUBLISHED_SUFFIX, ContrastivePair, read_pairs
from vispa.taxonomy.value import Names, Value

BUILT_IN = Path(__file__).parent


class Taxonomy:
    """Values in a fixed order, found by slug, label or alias.

    Pairs are read from disk when they are first asked for. A taxonomy in another language than English has names and
    definitions for readers in it (`shown`), and is found by them too; what models and encoders read (values, pairs)
    is the same, and so is its fingerprint.

    Example:
        >>> taxonomy = Taxonomy.built_in()
        >>> taxonomy["benevolence"].family
        'Schwartz basic human values'
        >>> len(taxonomy.pairs("benevolence"))
        100
    """

    def __init__(
        self,
        values: Iterable[Value],
        pair_files: Mapping[str, Path],
        language: str | None = None,
        names: Mapping[str, Names] | None = None,
    ) -> None:
        """Use `Taxonomy.built_in()` or `Taxonomy.load(path)` instead, as a rule."""
        self._values = {value.slug: value for value in values}
        self._pair_files = dict(pair_files)
        #: Of texts and of names for readers, such as `de`; None where nobody said.
        self.language = language
        self._names = {slug: told for slug, told in (names or {}).items() if slug in self._values}
        self._pairs: dict[str, tuple[ContrastivePair, ...]] = {}

    # ---------------------------------------------------------------- making

    @classmethod
    def built_in(cls, language: str | None = None) -> Taxonomy:
        """The 31 values of the paper (section 3.1) with 100 authored pairs each.

        Args:
            language: of names for readers: en, or one of `vispa.taxonomy.languages.built_in_languages`.

        Raises:
            InputError: there are no names in that language.

        Example:
            >>> Taxonomy.built_in(language="fr").shown("benevolence").label
            'bienveillance'
        """
        return cls._load_own(BUILT_IN, language)

    @classmethod
    def load(cls, path: str | Path, language: str | None = None) -> Taxonomy:
        """Read a taxonomy from a folder, with all its pairs.

        Two layouts are read: `values.toml` beside a folder `pairs/` with `{slug}.csv` (this
        package's own), and a folder of `{slug}_context_controlled.csv` files (the published
        pairs; what is known of a built-in slug is filled in).

        Args:
            path: of the folder.
            language: of names for readers, which stand in `values.LANGUAGE.toml`; none are needed for `en`.

        Raises:
            InputError: there are no names in that language.
            TaxonomyError: the folder or a file in it cannot be used; the message names it.
        """
        folder = Path(path)
        if not folder.is_dir():
            raise TaxonomyError(str(folder), "is not a folder.", "Name a folder with values.toml or published pairs.")
        if (folder / "values.toml").exists():
            return cls._load_own(folder, language)._read_all_pairs()
        published = sorted(folder.glob("*" + PUBLISHED_SUFFIX))
        if published:
            return cls._load_published(published, language)._read_all_pairs()
        raise TaxonomyError(
            str(folder),
            f"holds neither values.toml nor *{PUBLISHED_SUFFIX}.",
            "Begin one with `vispa taxonomy new DIR`.",
        )

    @classmethod
    def _load_own(cls, folder: Path, language: str | None = None) -> Taxonomy:
        from vispa.taxonomy.languages import read_names
        from vispa.taxonomy.values_file import read_values

        path = folder / "values.toml"
        values = read_values(path)
        files = {value.slug: folder / "pairs" / f"{value.slug}.csv" for value in values}
        for slug, file in files.items():
            if not file.exists():
                raise TaxonomyError(
                    str(file), "is missing.", f"Add the pairs of {slug}, or remove it from values.toml."
                )
        taxonomy = cls(values, files, language, read_names(folder, language, tuple(files)))
        taxonomy._check_names(
            {slug: f"{path} [{slug}]" for slug in files},
            {slug: f"{folder / f'values.{language}.toml'} [{slug}]" for slug in files},
        )
        return taxonomy

    @classmethod
    def _load_published(cls, files: list[Path], language: str | None = None) -> Taxonomy:
        from vispa.taxonomy.values_file import checked_slug

        built_in = cls.built_in(language)
        known = {_key(value.slug): value for value in built_in.values}
        values: list[Value] = []
        pair_files: dict[str, Path] = {}
        for file in files:
            slug = checked_slug(file.name.removesuffix(PUBLISHED_SUFFIX), str(file))
            label = slug.replace("_", " ").replace("-", " ")
            value = known.get(_key(slug)) or Value(slug, label, "published pairs", f"The value of {label}.")
            if value.slug in pair_files:
                raise _same_value(pair_files[value.slug], file)
            values.append(value)
            pair_files[value.slug] = file
        taxonomy = cls(values, pair_files, language, built_in._names)
        places = {slug: str(file) for slug, file in pair_files.items()}
        taxonomy._check_names(places, places)
        return taxonomy

    def _check_names(self, places: Mapping[str, str], shown: Mapping[str, str]) -> None:
        """Refuse a name by which two values would be found.

        Args:
            places: slug → where its names stand.
            shown: slug → where its name for readers in the taxonomy's language stands.

        Raises:
            TaxonomyError: names both places.
        """
        named = [
            (name, value.slug, places[value.slug])
            for value in self._values.values()
            for name in (value.slug, value.label, *value.aliases)
        ]
        named += [(told.label, slug, shown[slug]) for slug, told in self._names.items()]
        owners: dict[str, tuple[str, str]] = {}
        for name, slug, place in named:
            owner, other = owners.setdefault(_key(name), (slug, place))
            if owner != slug:
                problem = f"the name {name!r} also belongs to {other}."
                raise TaxonomyError(place, problem, "Give every value names of its own.")

    def _read_all_pairs(self) -> Taxonomy:
        """Read every file of pairs now, so that a fault is found before any model is loaded."""
        for slug in self:
            self.pairs(slug)
        return self

    # ---------------------------------------------------------------- reading

    def __iter__(self) -> Iterator[str]:
        """Slugs in order."""
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _key(name) in self._slug_by_name

    def __getitem__(self, name: str) -> Value:
        """The value of a slug, label or alias.

        Raises:
            InputError: there is none; the message offers the nearest names.
        """
        slug = self._slug_by_name.get(_key(name))
        if slug is None:
            near = difflib.get_close_matches(_key(name), self._slug_by_name, n=3, cutoff=0.6)
            nearest = sorted({self._slug_by_name[match] for match in near})
            hint = f"Did you mean {' or '.join(nearest)}?" if nearest else "`vispa values` lists them all."
            raise InputError("value", f"{name!r} is not in the taxonomy.", hint)
        return self._values[slug]

    @property
    def values(self) -> tuple[Value, ...]:
        """All values in order."""
        return tuple(self._values.values())

    def shown(self, name: str) -> Value:
        """A value with label and definition in the taxonomy's language, as readers are shown it.

        Raises:
            InputError: there is no such value.
        """
        value = self[name]
        told = self._names.get(value.slug)
        return value if told is None else replace(value, label=told.label, definition=told.definition)

    def name_of(self, slug: str) -> str:
        """What a reader is shown for a value: its slug, before it the label where there is one in another language."""
        return f"{self._names[slug].label} ({slug})" if slug in self._names else slug

    def pairs(self, name: str) -> tuple[ContrastivePair, ...]:
        """The contrastive pairs of a value, as they are in its file."""
        slug = self[name].slug
        if slug not in self._pairs:
            self._pairs[slug] = read_pairs(self._pair_files[slug])
        return self._pairs[slug]

    def record(self, name: str) -> dict[str, Any]:
        """A value as readers are shown it, with its pairs, as JSON can say it."""
        return {**asdict(self.shown(name)), "pairs": [asdict(pair) for pair in self.pairs(name)]}

    def has_pairs(self, name: str) -> bool:
        """Whether there is a file of contrastive pairs for a value."""
        return self[name].slug in self._pair_files

    def sentences(self, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(expressing, opposing) sentences of a value, with its polarity taken into account.

        For a value with polarity `avoid` the expressing sentences are the pairs' negative ones.
        """
        positive = tuple(pair.positive for pair in self.pairs(name))
        negative = tuple(pair.negative for pair in self.pairs(name))
        return (negative, positive) if self[name].polarity == "avoid" else (positive, negative)

    def sentences_fingerprint(self, name: str) -> str:
        """SHA-256 in hex over `sentences`: all that a value's activations and directions are read from."""
        return hashlib.sha256(json.dumps(self.sentences(name)).encode()).hexdigest()

    def with_polarity(self, polarity: Literal["paper", "own"]) -> Taxonomy:
        """The same taxonomy with every value promoted, as in the paper, or as it is.

        Raises:
            InputError: neither `paper` nor `own`.
        """
        check_choice("polarity", polarity, ("own", "paper"))
        if polarity == "own":
            return self
        values = [replace(value, polarity="promote") for value in self._values.values()]
        return Taxonomy(values, self._pair_files, self.language, self._names)

    @once_property
    def fingerprint(self) -> str:
        """SHA-256 over the values (slugs, labels, definitions, polarity) and all pairs, in hex."""
        digest = hashlib.sha256()
        for slug, value in self._values.items():
            digest.update(json.dumps(asdict(value), sort_keys=True).encode())
            for pair in self.pairs(slug):
                digest.update(json.dumps([pair.positive, pair.negative]).encode())
        return digest.hexdigest()

    @once_property
    def _slug_by_name(self) -> dict[str, str]:
        names: dict[str, str] = {}
        for value in self._values.values():
            for name in (value.slug, value.label, *value.aliases):
                names[_key(name)] = value.slug
        for slug, told in self._names.items():
            names.setdefault(_key(told.label), slug)
        return names


def _key(name: str) -> str:
    """What all ways of writing a name have in common: its letters, whatever their case, form or dots on an i.

    Turkish has an i with and one without a dot, each with a capital of its own, which other languages' case mixes up.
    """
    folded = unicodedata.normalize("NFKC", name).casefold().replace("i\u0307", "i").replace("ı", "i")
    return " ".join(folded.replace("_", " ").replace("-", " ").split())


def _same_value(first: Path, second: Path) -> TaxonomyError:
    return TaxonomyError(
        str(second), f"is the same value as {first}.", "Keep one of the two files, or give the other another name."
    )
