"""Is a model with its recipe fit for use? Directions, steered comments, and options read: figures with verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from vispa.files.visible import is_blank
from vispa.generation.rows import Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.modes.refusals import refuses
from vispa.modes.repeats import repeated
from vispa.pipeline import Vispa
from vispa.request import EMBEDDED
from vispa.steering.fitting import Progress
from vispa.steering.separating import LEAST_ACCURACY, separation
from vispa.study.checks import Check, Fitness, checked
from vispa.study.expression import Expression, asked_situations, measure_expressions
from vispa.study.plain_reading import PlainReading, plain_questions, read_plainly
from vispa.study.value_judge import ValueJudge
from vispa.taxonomy import Taxonomy

#: Longest comment, in tokens, and number of values that are steered toward.
TOKENS, VALUES = 28, 10
_CONFIDENCE = 0.95

FloatGrid = npt.NDArray[np.float64]


def fitness(
    vispa: Vispa,
    judge: ValueJudge,
    situations: Sequence[str],
    values: Sequence[str],
    *,
    progress: Progress | None = None,
) -> Fitness:
    """Check a pipeline's recipe and its reader of options.

    Args:
        vispa: the pipeline.
        judge: of comments, which knows the values.
        situations: to comment on; few suffice.
        values: slugs of at least two values to comment for; see `balanced_values`.
        progress: told of comments.

    Raises:
        InputError: a value that bank or judge does not have.
        NumericalError: a logit, activation or shift is not finite.
    """
    total = len(situations) * (len(values) + 1)

    def done(count: int) -> None:
        if progress is not None:
            progress("writing comments", count, total)

    plain, steered = measure_expressions(
        TransformersEngine(vispa.model, vispa.bank, vispa.recipe),
        judge,
        asked_situations(vispa.model, situations),
        values,
        (None, vispa.recipe),
        sampling=Sampling(TOKENS),
        progress=done,
    )
    own = vispa.model.is_embedded and vispa.reader is vispa.own_reader
    read = read_plainly(vispa.reader, plain_questions(EMBEDDED if own else vispa.reader.name), vispa.prompts)
    return Fitness((
        direction_check(vispa),
        *comment_checks(steered, plain, judge, vispa.model.name),
        *reader_checks(read, vispa.reader.name),
    ))  # fmt: skip


def balanced_values(taxonomy: Taxonomy, most: int = VALUES) -> tuple[str, ...]:
    """Values of all families, as evenly as can be: the first of each, then the second, and so on."""
    families: dict[str, list[str]] = {}
    for value in taxonomy.values:
        families.setdefault(value.family, []).append(value.slug)
    places = {slug: place for own in families.values() for place, slug in enumerate(own)}
    return tuple(sorted(places, key=places.__getitem__)[:most])


def direction_check(vispa: Vispa) -> Check:
    """Whether the bank's directions tell the values apart at the blocks that the recipe uses."""
    found = separation(vispa.bank, vispa.recipe)
    middle = f"mean accuracy {np.mean(list(found.accuracy.values())):.0%}"
    missing = f", below {LEAST_ACCURACY:.0%}: {', '.join(found.unseparated)}" if found.unseparated else ""
    return checked("separation", found.share, vispa.model.name, middle + missing)


def comment_checks(steered: Expression, plain: Expression, judge: ValueJudge, model: str) -> list[Check]:
    """What steering does to comments, and whether they are fit to be read.

    Args:
        steered: measures of the steered comments.
        plain: of the unsteered ones on the same situations.
        judge: whose encoder says which comments are alike.
        model: that advice is about.
    """
    ranks = ranks_among(steered)
    low, high = interval_of_mean(ranks.mean(0))
    lost = [value for value, own in zip(steered.values, ranks.mean(0), strict=True) if own <= 0.5]
    unheard = f"; not heard: {', '.join(lost)}" if lost else ""
    scores = {name: float(np.mean(own)) for name, own in steered.scores(plain).items()}
    texts = [[None if is_blank(text) else text for text in own] for own in steered.texts]
    doubles = [one is not None for own in repeated(texts, judge.encoder.encode) for one in own]
    useless = [text is None or refuses(text) for own in texts for text in own]
    held = partial(checked, model=model)
    return [
        held("value", low, detail=f"AUC {ranks.mean():.2f} [{low:.2f}, {high:.2f}]{unheard}"),
        held("side", scores["promotes"]),
        held("fluency", scores["fluency"]),
        held("relation", scores["relation"]),
        held("similarity", scores["similarity"]),
        held("repeated", float(np.mean(doubles))),
        held("unusable", float(np.mean(useless))),
    ]


def reader_checks(read: PlainReading, reader: str) -> list[Check]:
    """Whether plain questions were read.

    Args:
        read: what the reader made of them.
        reader: name of the model that advice is about.
    """
    held = partial(checked, model=reader)
    # Where nothing was read, no letter was favoured.
    letters = [held("letter", read.letter_share, detail=read.letter)] if read.letter else []
    return [
        held("right", read.right, detail=f"chance {read.chance:.0%}"),
        held("moves", read.moves),
        *letters,
        held("unread", read.unread, detail=read.problem),
    ]


def ranks_among(steered: Expression) -> FloatGrid:
    """[S, V] share of the other V - 1 values that the judge finds less likely than the meant one; half for a draw.

    Its mean is an AUC, and 1/2 where a situation has the same comment for every value, as unsteered.
    """
    likely = steered.likelihood
    own = np.diagonal(likely, axis1=1, axis2=2)[..., None]
    ahead = (own > likely).sum(-1) + 0.5 * ((own == likely).sum(-1) - 1)
    return np.asarray(ahead / max(1, likely.shape[-1] - 1), dtype=np.float64)


def interval_of_mean(figures: FloatGrid) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of several figures."""
    from scipy.stats import bootstrap

    if len(set(figures.tolist())) == 1:
        return float(figures[0]), float(figures[0])
    found = bootstrap(
        (figures,), np.mean, confidence_level=_CONFIDENCE, method="percentile", n_resamples=2000, rng=0
    ).confidence_interval
    return float(found.low), float(found.high)
