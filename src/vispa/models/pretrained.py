"""Reading a model and its tokenizer with transformers; what cannot serve is refused in our own words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from vispa.errors import ModelError
from vispa.files.visible import first_line
from vispa.models.checking import known_tokens
from vispa.models.quiet import quietly

_CONFIG = "config.json"


def expanded(name: str, field: str = "model") -> str:
    """The name or path of a model, a `~` at its beginning replaced by the user's home.

    Args:
        name: a name, a folder, a file, or a hub id.
        field: what the caller named the model in.

    Raises:
        ModelError: it is another user's home, and nobody knows where that is.
    """
    try:
        return str(Path(name).expanduser()) if name.startswith("~") else name
    except RuntimeError as error:
        raise ModelError(field, f"{name} is in a home that is not known.", "Write the whole path.") from error


@dataclass(frozen=True)
class Checkpoint:
    """Where a model's files are, and how errors speak of it.

    Attributes:
        name: what the caller asked for.
        path: a folder or a hub id.
        options: of every reading, such as the revision.
        field: what the caller named the model in.
        advice: what to do where it cannot be read.
    """

    name: str
    path: str
    options: Mapping[str, Any] = field(default_factory=dict)
    field: str = "model"
    advice: str = "Name a folder with config.json, tokenizer and *.safetensors, or a hub id that can be reached."

    def read(
        self, kind: Any, check: Callable[[PreTrainedConfig], object], **options: Any
    ) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, Mapping[str, Iterable[Any]]]:
        """The model in evaluation mode, from safetensors; its tokenizer, with a padding token; and the loading info.

        The loading info holds the keys that are missing, unexpected or mismatched: the caller checks them.

        Args:
            kind: the class of transformers that makes the model.
            check: raises where a configuration is none of a model that can serve.
            **options: of reading the weights.

        Raises:
            ModelError: missing or damaged files; or what `check` raises.
        """
        self._check_folder()
        where = {**self.options, **self._on_hub()}
        try:
            with quietly():
                config = AutoConfig.from_pretrained(self.path, **where)
                check(config)
                tokenizer = AutoTokenizer.from_pretrained(self.path, **where)
                model, report = kind.from_pretrained(
                    self.path,
                    config=config,
                    use_safetensors=True,
                    # Reported, so that our own message can say what does not fit.
                    ignore_mismatched_sizes=True,
                    output_loading_info=True,
                    **where,
                    **options,
                )
        except ModelError:
            raise
        except Exception as error:
            # transformers raises a dozen kinds of errors here; all mean that these files cannot serve.
            raise ModelError(self.field, f"{self.name} cannot be loaded: {first_line(error)}.", self.advice) from error
        _set_padding(tokenizer, known_tokens(model))
        return model.eval().requires_grad_(False), tokenizer, report

    def _on_hub(self) -> dict[str, bool]:
        """What tells transformers not to ask a hub that cannot be reached, which it would do for half a minute.

        Raises:
            ModelError: the hub cannot be reached, and nothing of the model was fetched before.
        """
        if self.options.get("local_files_only") or Path(self.path).is_dir():
            return {}
        from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError

        revision = self.options.get("revision")
        try:
            get_hf_file_metadata(hf_hub_url(self.path, _CONFIG, revision=revision))
        except (HfHubHTTPError, HFValidationError):
            # It answers, or there is no such name: what that means, transformers says.
            return {}
        except Exception as error:
            # Each library of connections has errors of its own; all mean that nobody answers.
            if not isinstance(try_to_load_from_cache(self.path, _CONFIG, revision=revision), str):
                problem = f"{self.name} is no folder here, and the hub cannot be reached ({first_line(error)})."
                raise ModelError(self.field, problem, self.advice) from error
            return {"local_files_only": True}
        return {}

    def _check_folder(self) -> None:
        folder = Path(self.path)
        looks_local = self.name.startswith((".", "/", "~")) or folder.exists() or self.name.count("/") > 1
        if looks_local and not folder.is_dir():
            raise ModelError(self.field, f"{self.name} is not a folder.", self.advice)
        if looks_local and not (folder / _CONFIG).is_file():
            raise ModelError(self.field, f"{self.name} holds no {_CONFIG}.", self.advice)


def _set_padding(tokenizer: PreTrainedTokenizerBase, known: int) -> None:
    """Padding is masked, so any token serves where there is none, or one that the weights do not know."""
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id >= known:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id >= known:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(0)
