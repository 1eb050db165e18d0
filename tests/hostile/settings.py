"""Recipes, prompts, mixtures, tasks and configuration files that cannot be used, and the commands that read them."""

from __future__ import annotations

from hostile.cases import Case, File, Out, done, refused
from hostile.files import Maker

#: Lines of a recipe, and words of the refusal.
RECIPES: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "blocks-text": (b'blocks = "a"', ("field blocks", "'a'")),
    "blocks-whole": (b"blocks = 3", ("field blocks", "3")),
    "blocks-mixed": (b'blocks = [1, "2"]', ("field blocks[1]", "'2'")),
    "blocks-half": (b"blocks = [1.5]", ("field blocks[0]", "1.5")),
    "blocks-true": (b"blocks = [true]", ("field blocks[0]", "True")),
    "blocks-none": (b"blocks = []", ("field blocks", "nothing would be steered")),
    "blocks-below": (b"blocks = [-1]", ("field blocks", "-1")),
    "blocks-beyond": (b"blocks = [99999999999999999999]", ("field blocks", "no")),
    "depth-one": (b"depth = [0.3]", ("field depth",)),
    "depth-three": (b"depth = [0.1, 0.2, 0.3]", ("field depth",)),
    "depth-down": (b"depth = [0.9, 0.1]", ("field depth", "ascending")),
    "depth-beyond": (b"depth = [0, 1.0001]", ("field depth",)),
    "best-half": (b"best = 1.5", ("field best", "1.5")),
    "best-none": (b"best = 0", ("field best",)),
    "best-true": (b"best = true", ("field best", "True")),
    "quality-nan": (b"minimal_quality = nan", ("minimal_quality", "finite")),
    "quality-two": (b"minimal_quality = 2", ("minimal_quality", "nothing would be steered")),
    "quality-below": (b"minimal_quality = -0.5", ("minimal_quality",)),
    "amount-text": (b'amount = "0.9"', ("field amount", "'0.9'")),
    "amount-none": (b'magnitude = "residual"\namount = 0', ("field amount", "nothing would be steered")),
    "amount-sure": (b"amount = 1.0", ("field amount", "between 0 and 1")),
    "amount-infinite": (b'magnitude = "residual"\namount = inf', ("field amount", "finite")),
    "amounts-list": (b"amounts = [0.9]", ("field amounts", "[0.9]")),
    "amounts-text": (b'[amounts]\nkarma = "much"', ("field amounts.karma", "'much'")),
    "amounts-sure": (b"[amounts]\nkarma = 1.0", ("field amounts.karma", "between 0 and 1")),
    "amounts-path": (b'[amounts]\n"../karma" = 0.9', ("field amounts", "not a name")),
    "amounts-markup": (b'[amounts]\n"[/bold]\\u001b[31m" = 0.9', ("field amounts", r"\x1b[31m", "not a name")),
    "divergence-none": (b'magnitude = "kl"\namount = 0', ("field amount", "above 0 nats")),
    "divergence-below": (b'magnitude = "kl"\namount = -0.5', ("field amount", "above 0 nats")),
    "divergence-nan": (b'magnitude = "kl"\namount = nan', ("field amount", "finite")),
    "magnitude": (b'magnitude = "loud"', ("field magnitude", "'loud'", "residual")),
    "scope": (b"scope = 1", ("field scope", "prompt")),
    "table": (b'table = "gpt-9"', ("field table", "gpt-9", "alpha")),
    "table-path": (b'table = "../../etc"', ("field table",)),
    "cap": (b"cap = 0", ("field cap",)),
    "gate": (b"gate = 1", ("field gate",)),
    "both-ways": (b'both_ways = "yes"', ("field both_ways", "'yes'")),
    "estimator-number": (b"estimator = 7", ("field estimator", "7")),
    "estimator-list": (b'estimator = ["probe"]', ("field estimator",)),
    "unknown": (b"blokcs = [1]", ("blokcs", "unknown", "blocks")),
    "section": (b"[steering]\nblocks = [1]", ("steering", "unknown")),
    "markup": (b'"[/bold]\\u001b[31m" = 1', (r"\x1b[31m", "unknown")),
}

PROMPTS: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "no-such": (b'commnet = "{text}"', ("commnet", "unknown", "comment")),
    "number": (b"comment = 3", ("field comment", "3")),
    "list": (b'comment = ["{text}"]', ("field comment",)),
    "lacks": (b'comment = "Say something."', ("field comment", "placeholders", "text")),
    "surplus": (b'comment = "{text} {secret}"', ("field comment", "secret")),
    "attribute": (b'comment = "{text.__class__}"', ("field comment", "plain name")),
    "index": (b'comment = "{text[0]}"', ("field comment", "plain name")),
    "width": (b'comment = "{text:>999999999999}"', ("field comment", "plain name")),
    "conversion": (b'comment = "{text!r}"', ("field comment", "plain name")),
    "empty-braces": (b'comment = "{}"', ("field comment", "plain name")),
    "position": (b'comment = "{0}"', ("field comment", "plain name")),
    "open-brace": (b'comment = "{text} {"', ("field comment", "plain name")),
    "close-brace": (b'comment = "{text} }"', ("field comment", "plain name")),
    "blank": (b'comment = "  "', ("field comment",)),
}

#: Mixtures as JSON; the same are given on the command line and as files.
WEIGHTS: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "text": (b'{"karma": "1"}', ("karma", "'1'")),
    "null": (b'{"karma": null}', ("karma", "None")),
    "list": (b'{"karma": [1]}', ("karma", "[1]")),
    "true": (b'{"karma": true}', ("karma", "True")),
    "below": (b'{"karma": -0.1}', ("karma", "-0.1")),
    "nan": (b'{"karma": NaN}', ("karma", "finite")),
    "infinite": (b'{"karma": Infinity}', ("karma", "finite")),
    "overflow": (b'{"karma": 1e308, "honor": 1e308}', ("1e+12",)),
    "digits": (b'{"karma": 1' + b"0" * 400 + b"}", ("karma", "finite")),
    "very-many-digits": (b'{"karma": ' + b"1" * 9000 + b"}", ("too many digits",)),
    "zero": (b'{"karma": 0, "honor": 0.0}', ("all 0",)),
    "none": (b"{}", ("weight",)),
    "twice": (b'{"karma": 1, "karma": 2}', ("'karma' twice",)),
    "unknown": (b'{"../../x": 1}', ("../../x", "taxonomy")),
    "escape": (b'{"\\u001b[31m": 1}', (r"x1b[31m", "taxonomy")),
    "surrogate": (b'{"\\ud800": 1}', ("half a surrogate",)),
    "deep": (b'{"a":' * 50_000, ("nested too deeply",)),
    "cut": (b'{"karma": 1', ("not valid JSON",)),
    "format": (b'{"format": "vispa-mixture-9", "kind": "mean"}', ("format", "vispa-mixture-9")),
    "kind": (b'{"format": "vispa-mixture-1", "kind": "median"}', ("kind", "'median'")),
    "no-shares": (b'{"format": "vispa-mixture-1", "kind": "given"}', ("kind given needs shares",)),
    "idle-shares": (
        b'{"format": "vispa-mixture-1", "kind": "mean", "shares": {"karma": 1}}',
        ("kind mean has no shares",),
    ),
    "temperature": (b'{"format": "vispa-mixture-1", "kind": "mean", "temperature": 0}', ("temperature",)),
    "group": (b'{"format": "vispa-mixture-1", "kind": "fitted", "groups": {"g": [1]}}', ("groups.g",)),
}

TASKS: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "nothing": (b"", ("name", "is missing")),
    "name-path": (b'name = "../x"', ("field name", "'../x'")),
    "metric": (b'name = "a"\nfile = "b"\nmode = "overton"\nmetric = "joy"', ("field metric", "'joy'")),
    "mode": (b'name = "a"\nfile = "b"\nmode = 4', ("field mode", "4")),
    "pair": (
        b'name = "a"\nfile = "b"\nmode = "overton"\nmetric = "agreement"\nsource = "s"\nlicence = "l"',
        ("agreement does not judge overton",),
    ),
    "fields": (
        b'name = "a"\nfile = "b"\nmode = "overton"\nmetric = "coverage"\nsource = "s"\nlicence = "l"\n'
        b'[fields]\ntexxt = "case"',
        ("texxt",),
    ),
    "items": (
        b'name = "a"\nfile = "b"\nmode = "overton"\nmetric = "coverage"\nsource = "s"\nlicence = "l"\nitems = 0',
        ("field items",),
    ),
    "budget": (
        b'name = "a"\nfile = "b"\nmode = "overton"\nmetric = "coverage"\nsource = "s"\nlicence = "l"\nbudget = 0',
        ("field budget",),
    ),
    "no-file": (
        b'name = "a"\nfile = "nowhere.json"\nmode = "overton"\nmetric = "coverage"\nsource = "ours"\nlicence = "l"',
        ("nowhere.json", "is missing", "ours"),
    ),
}

CONFIGS: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "unknown": (b'modell = "x"', ("modell", "unknown", "model")),
    "number": (b"model = 1", ("field model", "1")),
    "blank": (b'model = ""', ("field model",)),
    "polarity": (b'polarity = "evil"', ("field polarity", "'evil'")),
    "k": (b"k = 0", ("field k",)),
    "k-half": (b"k = 2.5", ("field k",)),
    "tokens": (b"max_new_tokens = 100000", ("max_new_tokens", "100000")),
    "tokens-text": (b'max_new_tokens = "9"', ("max_new_tokens", "'9'")),
    "section": (b'[model]\nname = "x"', ("field model",)),
}

_SOUND_TASK = b'name = "a"\nfile = "task.json"\nmode = "overton"\nmetric = "coverage"\nsource = "s"\nlicence = "l"\n'

SETTINGS: dict[str, Maker] = {
    **{f"recipe-{name}.toml": text for name, (text, _) in RECIPES.items()},
    **{f"prompts-{name}.toml": text for name, (text, _) in PROMPTS.items()},
    **{f"weights-{name}.json": text for name, (text, _) in WEIGHTS.items()},
    **{f"task-{name}.toml": text for name, (text, _) in TASKS.items()},
    **{f"config-{name}.toml": text for name, (text, _) in CONFIGS.items()},
    "task.toml": _SOUND_TASK,
    "task.json": b'[{"situation": "a", "input": "b", "vrd": ["x"], "explanations": ["y"], "id": 1}]',
    "survey.json": b'[{"question": "Ducks?", "options": ["Yes", "No"], "gold_distribution": [0.5, 0.5]}]',
    "survey-bare.json": b'[{"question": "Ducks?", "options": ["Yes", "No"]}]',
    "survey-short.json": b'[{"question": "D?", "options": ["Yes", "No"], "gold_distribution": [1]}]',
    "survey-zero.json": b'[{"question": "D?", "options": ["Yes", "No"], "gold_distribution": [0, 0]}]',
    "survey-below.json": b'[{"question": "D?", "options": ["Yes", "No"], "gold_distribution": [-1, 2]}]',
    "survey-text.json": b'[{"question": "D?", "options": ["Yes", "No"], "gold_distribution": "1:1"}]',
}

_RESPOND = ("respond", "Feeding ducks")
_WEIGHTED = ("respond", "Feeding ducks", "--mode", "distributional", "--weights")

STEERING: tuple[Case, ...] = tuple(
    refused(*_RESPOND, "--recipe", File(f"recipe-{name}.toml"), say=(f"recipe-{name}.toml", *words))
    for name, (_, words) in RECIPES.items()
)

WORDING: tuple[Case, ...] = tuple(
    refused(*_RESPOND, "--prompts", File(f"prompts-{name}.toml"), say=(f"prompts-{name}.toml", *words))
    for name, (_, words) in PROMPTS.items()
)

MIXTURES: tuple[Case, ...] = (
    *(
        refused(*_WEIGHTED, File(f"weights-{name}.json"), say=words)
        for name, (_, words) in WEIGHTS.items()
    ),
    *(
        refused(*_WEIGHTED, text.decode(), say=words)
        for name, (text, words) in WEIGHTS.items()
        if not text.startswith(b'{"format"')
    ),
    refused(*_WEIGHTED, "medium", say=("medium", "mean or relevance")),
    refused(*_WEIGHTED, "[1, 2]", say=("[1, 2]", "mean or relevance")),
    refused(*_WEIGHTED, File("a-list.json", "numbers.json"), say="a-list.json"),
    refused(*_WEIGHTED, '{"karma": 1}', "--k", "3", say=("--k", "no effect")),
    refused("mixture", File("survey.json"), say=("--output",)),
    refused("mixture", File("survey.json"), "-o", File("survey.json"), say="read by this command"),
    refused("mixture", File("survey.json"), "-o", File("its.json", "object.json"), say=("its.json", "no mixture")),
    refused("mixture", File("survey.json"), "-o", File("half.json", "cut.json"), say=("half.json", "no mixture")),
    refused("mixture", File("survey.json"), "-o", "/dev/full", say=("/dev/full", "no ordinary file")),
    refused("mixture", File("survey.json"), "-o", File("d", "empty-folder"), say="is a folder"),
    refused("mixture", File("survey.json"), "-o", Out("m.json"), "--folds", "1", say="--folds"),
    refused("mixture", File("survey.json"), "-o", Out("m.json"), say=("examples", "are 1", "at least 5")),
    refused("mixture", File("survey.json"), "-o", "/proc/m.json", say=("/proc/m.json", "cannot be written")),
    *(
        refused("mixture", File("survey.json"), "-o", Out("m.json"), "--seed", n, say=("seed", "from 0"))
        for n in ("-1", str(2**63))
    ),
    refused("mixture", File("survey.json"), "-o", Out("m.json"), "--folds", "many", say="--folds"),
    refused("mixture", File("survey.json"), "-o", Out("m.json"), "--values", "luck", say=("luck", "taxonomy")),
    refused("mixture", File("survey.json"), "-o", Out("m.json"), "--no-passages", "--aggregator", "self",
            say=("--aggregator", "no effect")),
    *(
        refused("mixture", File(f"survey-{name}.json"), "-o", Out("m.json"), say="gold_distribution")
        for name in ("bare", "short", "zero", "below", "text")
    ),
)  # fmt: skip

CONFIG: tuple[Case, ...] = (
    *(
        refused(command, environment={"VISPA_CONFIG": File(f"config-{name}.toml")}, say=(f"config-{name}.toml", *words))
        for name, (_, words) in CONFIGS.items()
        for command in ("config", "values")
    ),
    refused("config", environment={"VISPA_CONFIG": File("x", "fifo")}, say=("no regular file",)),
    refused("config", environment={"VISPA_CONFIG": File("x", "folder")}, say=("is a folder",)),
    refused("config", environment={"VISPA_CONFIG": "/nowhere/c.toml"}, say=("/nowhere/c.toml", "cannot be read")),
    refused("config", environment={"VISPA_CONFIG": "c" * 5_000}, say=("cannot be read",)),
    refused("config", environment={"VISPA_MAX_NEW_TOKENS": "1e3"}, say=("VISPA_MAX_NEW_TOKENS", "1e3")),
    refused("config", environment={"VISPA_MAX_NEW_TOKENS": "9" * 5000}, say=("VISPA_MAX_NEW_TOKENS",)),
    refused("config", environment={"VISPA_K": "-3"}, say=("VISPA_K",)),
    refused("config", environment={"VISPA_POLARITY": "\x1b[1m"}, say=("VISPA_POLARITY", r"\x1b[1m")),
    refused("config", environment={"VISPA_MODEL": "a\udcffb"}, say=("field model", "surrogate")),
    refused("values", environment={"VISPA_TAXONOMY": "/nowhere"}, say=("/nowhere", "is not a folder")),
    done("config", environment={"VISPA_MODEL": "[/bold]\x1b[2J"}, say=(r"[/bold]\x1b[2J", "environment VISPA_MODEL")),
    done("config", "--json", environment={"VISPA_CACHE": "/dev/null"}, say="/dev/null"),
)

EVAL: tuple[Case, ...] = (
    refused("eval", say=("--task",)),
    refused("eval", "--task", "vital/overtone", "-o", Out("r"), say=("vital/overtone", "Did you mean vital/overton?")),
    refused("eval", "--task", "../../x", "-o", Out("r"), say=("../../x", "is not known")),
    refused("eval", "--task", "\x1b[31m", "-o", Out("r"), say=(r"\x1b[31m", "is not known")),
    refused("eval", "--task", "vital/overton", "-o", Out("r"), say=("folder", "is needed")),
    refused("eval", "--task", "vital/overton", "--data", "/nowhere", "-o", Out("r"), say=("/nowhere", "is missing")),
    *(
        refused("eval", "--task", File(f"task-{name}.toml"), "-o", Out("r"), say=words)
        for name, (_, words) in TASKS.items()
    ),
    *(
        refused("eval", "--task", File("task.toml"), "-o", Out("r"), *given, say=words)
        for given, words in (
            (("--methods", ""), ("methods", "names none")),
            (("--methods", "vanila"), ("methods", "'vanila'", "vanilla")),
            (("--methods", "vispa:../x"), ("methods", "vispa:../x")),
            (("--methods", "vanilla,vanilla"), ("methods", "twice")),
            (("--judge", "magic"), ("--judge", "magic", "embedding")),
            (("--judge", "nli:"), ("--judge", "nli:MODEL")),
            (("--judge", "embedding:x"), ("--judge", "nli:MODEL")),
            (("--limit", "0"), ("--limit",)),
            (("--personas", "4"), ("--personas", "no effect")),
            (("--community", "x"), ("--community", "no effect")),
            (("--no-score", "--judge", "nli"), ("--judge", "no effect")),
            (("--shuffles", "-1"), ("--shuffles",)),
            (("--no-score", "--shuffles", "2"), ("--shuffles", "no effect")),
            (("--methods", "vanilla", "--k", "3"), ("--k", "no effect")),
            (("--weights", "relevance"), ("--weights", "no effect")),
            (("--k", "40"), ("k", "1 to 31")),
            (("--values", "\x1b"), ("value", "taxonomy")),
        )
    ),
    refused("eval", "--task", File("task.toml"), "--data", File("task.json"), "-o", Out("r"), say=("task.json",)),
)  # fmt: skip
