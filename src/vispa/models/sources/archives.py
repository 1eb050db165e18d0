"""Sentence encoders that come as a zip archive of their folder."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path, PurePosixPath

from vispa.errors import ModelError
from vispa.files.writing import replacing_folder

#: What an encoder is loaded from; whatever else the archive holds is left out.
ENCODER_FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
)


def unpack(archive: Path, folder: Path) -> None:
    """Write an encoder's files, which lie in the one folder of an archive, into a folder that is there whole or not.

    Args:
        archive: the zip file; its content has been checked.
        folder: to be made.

    Raises:
        ModelError: a file is missing.
    """
    with replacing_folder(folder) as whole:
        try:
            with zipfile.ZipFile(archive) as packed:
                # By its place in the archive: folders within hold files of the same name.
                inside = {PurePosixPath(name).parts[1:]: name for name in packed.namelist()}
                for file in ENCODER_FILES:
                    with packed.open(inside[(file,)]) as source, (whole / file).open("wb") as target:
                        shutil.copyfileobj(source, target)
        except (KeyError, zipfile.BadZipFile) as error:
            # Its content has been checked: it is the package's description of the archive that is wrong.
            advice = "Install vispa anew, or do without it (`--selector embedding`)."
            raise ModelError("model", f"is not in its archive as expected ({error}).", advice) from error
